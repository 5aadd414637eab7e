package inspect

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// Scanners that fail, panic, hang, stop reading, come late or are busy, each message at random, and callers that give up at random: a bad
// message never has a verdict that it is good, the octets are the caller's again when Inspect returns (the race detector looks), late
// verdicts are right, and in the end nothing is left: no place, nobody who waits, no scan that nobody waits for.
func TestRandomFaults(t *testing.T) {
	messages := 2_000
	if os.Getenv("KANMON_CONTENT") == "full" {
		messages = 100_000
	}
	synctest.Test(t, func(t *testing.T) {
		var verdicts, late, none atomic.Int32
		s := Settings{Late: func(m Mail, said event.Scan) {
			late.Add(1)
			if (said.Action == ActionReject) != (m.ID == "bad") {
				t.Errorf("late, of a %s one: %+v", m.ID, said)
			}
		}}
		for i := range 3 {
			s.Scanners = append(s.Scanners, Scanner{
				Name: fmt.Sprint(i), Engines: []Engine{moody(i > 0), moody(i > 0)}, AtOnce: 4 + 8*i, Within: time.Duration(i+1) * 5 * time.Second,
			})
		}
		r := NewRoom(s)
		var all sync.WaitGroup
		for n := range messages {
			time.Sleep(rand.N(100 * time.Millisecond))
			all.Go(func() {
				m, body := randomMail(n)
				ctx, cancel := context.WithTimeout(t.Context(), rand.N(20*time.Second))
				defer cancel()
				if rand.N(8) == 0 {
					time.AfterFunc(rand.N(10*time.Second), cancel)
				}
				for _, said := range r.Inspect(ctx, m) {
					if said.State != event.Scanned {
						none.Add(1)
						if said.Lack == event.LackNot || said.Why == "" || said.Scanner == "" {
							t.Errorf("%+v", said)
						}
						continue
					}
					verdicts.Add(1)
					if (said.Action == ActionReject) != (m.ID == "bad") {
						t.Errorf("a %s one: %+v", m.ID, said)
					}
				}
				clear(body)
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		for _, st := range r.State() {
			if st.Taken != 0 || st.Waiting != 0 || st.Abandoned != 0 {
				t.Errorf("%+v", st)
			}
		}
		if n := len(r.cache.flights); n != 0 {
			t.Errorf("%d messages are still being scanned", n)
		}
		t.Logf("%d messages: %d verdicts, %d late, %d without one", messages, verdicts.Load(), late.Load(), none.Load())
		if verdicts.Load() == 0 || late.Load() == 0 || none.Load() == 0 {
			t.Error("one of the kinds is missing")
		}
		r.Close()
	})
}

func randomMail(n int) (m Mail, body []byte) {
	m = mail(fmt.Sprint(rand.N(8)))
	m.ID = "good"
	if n%3 == 0 {
		m.ID = "bad"
	}
	body = bytes.Repeat([]byte(m.ID+" "), 1+rand.N(2000))
	body = append(body, fmt.Sprint(n/2)...) // some are said twice
	m.Octets, m.Open = int64(len(body)), func() io.Reader { return bytes.NewReader(body) }
	return m, body
}

// moody judges by what it reads, or does anything else.
func moody(lingers bool) *fake {
	return &fake{lingers: lingers, scan: func(ctx context.Context, m *Mail) event.Scan {
		from := m.Open()
		head := make([]byte, 3)
		if _, err := io.ReadFull(from, head); err != nil {
			return Failed(event.LackUnavailable, "read: %v", err)
		}
		mood := rand.N(100)
		if mood < 6 {
			waitFor(ctx, rand.N(30*time.Second))
		}
		switch mood {
		case 0:
			<-ctx.Done()
		case 1:
			panic("a frame of length 0")
		case 6:
			return Failed(event.LackBusy, "it has hung up")
		case 7:
			return Failed(event.LackUnavailable, "refused")
		case 8:
			return Failed(event.LackTooLarge, "larger")
		}
		if _, err := io.Copy(io.Discard, from); err != nil {
			return Failed(event.LackUnavailable, "read: %v", err)
		}
		waitFor(ctx, rand.N(time.Second))
		if ctx.Err() != nil && !lingers {
			return Failed(event.LackUnavailable, "%v", ctx.Err())
		}
		if string(head) == "bad" {
			return event.Scan{State: event.Scanned, Action: ActionReject}
		}
		return clean
	}}
}

func waitFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
