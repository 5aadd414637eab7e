package policy

import (
	"fmt"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
)

// Of a contained account's sessions no more are held than there will be room for: the others are deferred at once, and do not keep the
// MSA from the mail of its other accounts.
func TestContainedHeldAsThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		rate int64 // mails an hour
		want int   // held
	}{{60, 1}, {100, 1}, {1200, 10}, {100_000, maxHeld}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			s := enforcing(settingsWith())
			s.Containment.SlowRate = c.rate
			r := newRig(t, s, nil)
			abuse(r, "bad@acme.example", 60) // enough to be slowed
			r.Pass(time.Hour)
			used, _ := r.enter("10.0.1.1", mx)
			used.send("bad@acme.example", rcpt, nil) // what there is room for now
			interval := time.Hour / time.Duration(c.rate)
			r.Pass(interval - min(interval, 20*time.Second)) // so that the next one comes soon enough to be waited for
			visits, held := []*visit{used}, 0
			for range maxHeld + 10 {
				v, _ := r.enter("10.0.1.1", mx)
				visits = append(visits, v)
				switch d := v.Ask(session.Question{Step: event.StepMail, Sender: "bad@acme.example"}); {
				case d.Again:
					held++
				case d.Refuse != session.RefuseNow:
					t.Fatalf("neither held nor deferred: %+v", d)
				}
			}
			if held != c.want {
				t.Errorf("%d are held, want %d", held, c.want)
			}
			for _, v := range visits {
				v.Close()
			}
			if len(r.delayedNow) != 0 {
				t.Errorf("still held: %v", r.delayedNow)
			}
		})
	}
}
