package notify

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

var errDown = errors.New("connection refused")

// What cannot be sent is tried again behind 5 seconds and up to 10 hours, each time a little later, and given up then. It outlives the process.
func TestRetries(t *testing.T) {
	inTime(t, func(r *rig) {
		r.silent = true
		r.answer = func(int) error { return errDown }
		r.hear(standing("suspended"))
		r.told(6 * time.Second)
		began := r.tries[0]
		r.again()
		time.Sleep(22 * time.Hour)
		r.mu.Lock()
		defer r.mu.Unlock()
		want := []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
		var tries []time.Time // of the first event: that the gateway is silent was told, too
		for i, at := range r.tries[:min(len(r.tries), 40)] {
			if i == 0 || len(tries) < len(want) && at.Sub(tries[len(tries)-1]) >= want[len(tries)] {
				tries = append(tries, at)
			}
		}
		if len(tries) != len(want) || !tries[0].Equal(began) {
			t.Fatalf("%d tries, want %d: %v", len(tries), len(want), tries)
		}
		for i := 1; i < len(tries); i++ {
			if waited := tries[i].Sub(tries[i-1]); waited < want[i] || waited > want[i]*6/5+time.Second {
				t.Errorf("try %d came after %v, want %v and up to a fifth more", i+1, waited, want[i])
			}
		}
		if r.counted(failed) != 11 || r.counted(givenUp) != 2 || r.counted(sent) != 0 { // one has failed before
			t.Errorf("counted %d failed, %d given up, %d sent", r.counted(failed), r.counted(givenUp), r.counted(sent))
		}
	})
}

// A receiver that hangs costs the oldest, and they are counted; who waits behind it is told in order once it answers.
func TestTheOldestIsDropped(t *testing.T) {
	inTime(t, func(r *rig) {
		r.n.most = 2 * mostWaiting
		answers := make(chan struct{})
		r.answer = func(int) error { <-answers; return nil }
		r.hear(contained("stop", "first@acme.example"))
		time.Sleep(10 * time.Second) // it is under way
		var entries []event.Entry
		for i := range mostWaiting + 20 {
			entries = append(entries, contained("stop", fmt.Sprintf("a%d@acme.example", i)))
		}
		r.hear(entries...)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		close(answers)
		r.pass(30 * time.Second)
		if got := r.counted(dropped); got != 21 {
			t.Errorf("%d dropped, want 21", got)
		}
		if len(r.got) != mostWaiting+1 || r.got[0].Data.Account != "first@acme.example" || r.got[1].Data.Account != "a20@acme.example" {
			t.Errorf("%d told, want %d: %v, %v", len(r.got), mostWaiting+1, r.got[0].Data.Account, r.got[1].Data.Account)
		}
	})
}

// A receiver that says that it is gone is asked no more, also by the next process, until the configuration leads elsewhere.
func TestGoneIsGone(t *testing.T) {
	inTime(t, func(r *rig) {
		r.answer = func(int) error { return &refusedError{what: "410", gone: true} }
		r.hear(standing("suspended"))
		r.told(10 * time.Second)
		if r.counted(gone) != 1 {
			t.Errorf("%d counted", r.counted(gone))
		}
		r.again()
		r.hear(standing("slowed"), contained("stop", ""))
		r.told(time.Hour)
		if len(r.tries) != 1 {
			t.Errorf("%d tries", len(r.tries))
		}
		r.end()
		r.answer = nil
		r.beginWith(oneHook[:len(oneHook)-len("hook.example\"\nformat = \"slack\"\n")] + "elsewhere.example\"\nformat = \"slack\"\n")
		r.hear(contained("normal", ""))
		r.wants(10*time.Second, "tenant.released")
	})
}

// When a receiver says when to come back, nobody comes before.
func TestRetryAfter(t *testing.T) {
	inTime(t, func(r *rig) {
		r.answer = func(try int) error {
			if try == 1 {
				return &refusedError{what: "503", after: 10 * time.Minute}
			}
			return nil
		}
		r.hear(standing("suspended"))
		r.wants(9*time.Minute + 50*time.Second)
		r.wants(30*time.Second, "ip.suspended")
	})
}
