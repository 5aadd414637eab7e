package event_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

const pulseEvery = 100 * time.Millisecond

// beating has a Pulse beat until stop is called, which is what happens to a process that is given no processor: nothing of it runs.
func beating(p *event.Pulse) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(pulseEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.Beat(time.Now(), pulseEvery)
			case <-done:
				return
			}
		}
	}()
	synctest.Wait()
	return func() {
		close(done)
		synctest.Wait()
	}
}

// The time in which nothing ran is known, as far as it lies in what is asked about, and nothing else is taken for it.
func TestPulseKnowsWhenTheProcessStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p event.Pulse
		if d := p.Stood(time.Now().Add(-time.Hour), time.Now()); d != 0 {
			t.Errorf("it has not beaten, and %s", d)
		}
		begun := time.Now()
		p.Beat(begun, pulseEvery)
		stop := beating(&p)
		time.Sleep(10*time.Second + 50*time.Millisecond)
		stop() // the next beat would be due in 50 ms
		still := time.Now()
		time.Sleep(2950 * time.Millisecond)
		stop = beating(&p) // which it does 100 ms later
		time.Sleep(150 * time.Millisecond)
		resumed := time.Now()
		time.Sleep(10 * time.Second)
		stop()
		for _, tc := range []struct {
			name     string
			from, to time.Time
			want     time.Duration
		}{
			{"all of it", begun, resumed.Add(10 * time.Second), 3 * time.Second},
			{"before it", begun, still, 0},
			{"behind it", resumed, resumed.Add(10 * time.Second), 0},
			{"its beginning", begun, still.Add(time.Second), 950 * time.Millisecond},
			{"its end", still.Add(time.Second), resumed.Add(time.Second), 2050 * time.Millisecond},
			{"within", still.Add(time.Second), still.Add(2 * time.Second), time.Second},
		} {
			if got := p.Stood(tc.from, tc.to); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
			}
		}
		if p.Total() != 3*time.Second {
			t.Errorf("%s in all", p.Total())
		}
		p.Rest()
		time.Sleep(time.Hour)
		if d := p.Stood(begun, time.Now()); d != 0 {
			t.Errorf("it does not beat any more, and %s", d)
		}
	})
}

// Who runs again before the beat does, knows as well; and it counts once.
func TestPulseIsAskedBeforeItsLateBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p event.Pulse
		begun := time.Now()
		p.Beat(begun, pulseEvery)
		time.Sleep(5 * time.Second)
		if got := p.Stood(begun, time.Now()); got != 4900*time.Millisecond {
			t.Errorf("before the beat: %s", got)
		}
		p.Beat(time.Now(), pulseEvery)
		if got := p.Stood(begun, time.Now()); got != 4900*time.Millisecond {
			t.Errorf("behind it: %s", got)
		}
	})
}

// A beat that is a little late is a busy host's, and no stall; and of many stalls the last ones are remembered.
func TestPulseForgetsAndTolerates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p event.Pulse
		begun := time.Now()
		p.Beat(begun, pulseEvery)
		for range 100 {
			time.Sleep(pulseEvery + 250*time.Millisecond)
			p.Beat(time.Now(), pulseEvery)
		}
		if d := p.Stood(begun, time.Now()); d != 0 {
			t.Errorf("%s of lateness counts", d)
		}
		for range 1000 {
			time.Sleep(pulseEvery + time.Second)
			p.Beat(time.Now(), pulseEvery)
		}
		if d := p.Stood(begun, time.Now()); d != 64*time.Second {
			t.Errorf("%s is remembered, want 64 s", d)
		}
		if p.Total() != 1000*time.Second {
			t.Errorf("%s in all", p.Total())
		}
	})
}

// What a stream tells says for how long the process stood still meanwhile: a transaction, the opening of a connection, a wait.
func TestStallIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s event.Stream
		s.Pulse.Beat(time.Now(), pulseEvery)
		stop := beating(&s.Pulse)
		begun := time.Now()
		time.Sleep(1050 * time.Millisecond)
		stop()
		time.Sleep(1950 * time.Millisecond)
		stop = beating(&s.Pulse)
		time.Sleep(7050 * time.Millisecond) // it stood still from 1.1 to 3.1 s

		var trans, leg, other, wait time.Duration
		s.Subscribe("test", func(f *event.Facts) {
			switch w, is := f.News.(event.Wait); {
			case is:
				wait = w.Stalled
			case f.End != nil:
				leg, other = f.End.Legs[0].Stalled.Duration(), f.End.Legs[1].Stalled.Duration()
			default:
				trans, leg = f.Transaction.Stalled, f.Session.Stalled.Duration()
			}
		})
		tell := func(set func(*event.Record)) {
			r := event.NewRecord()
			r.Session.Start = begun
			set(r)
			s.Record(r)
		}
		var notes []string
		s.Replace(later(func(r *event.Record) {
			for _, l := range r.Lines {
				notes = append(notes, string(r.Text(l.Text)))
			}
			r.Release()
		}))
		first := event.Leg{Number: 1, At: event.HundredthsOf(0), Opened: event.HundredthsOf(2 * time.Second)}
		second := event.Leg{Number: 2, At: event.HundredthsOf(4 * time.Second), Opened: event.HundredthsOf(5 * time.Second)}
		for _, tc := range []struct {
			begins            time.Duration
			of                event.Leg
			wantTrans, wantOf time.Duration
		}{
			{2 * time.Second, first, 1100 * time.Millisecond, 900 * time.Millisecond},
			{5 * time.Second, second, 0, 0},
			{500 * time.Millisecond, event.Leg{Number: 3}, 2 * time.Second, 0},
		} {
			tell(func(r *event.Record) {
				r.Session.Leg = tc.of
				r.Transaction = r.OwnTransaction()
				r.Transaction.At = tc.begins
				r.Lines = append(r.Lines, event.Line{})
			})
			if trans != tc.wantTrans || leg != tc.wantOf {
				t.Errorf("transaction from %s: %s, want %s; its connection: %s, want %s", tc.begins, trans, tc.wantTrans, leg, tc.wantOf)
			}
		}
		tell(func(r *event.Record) {
			r.End = r.OwnEnd()
			r.End.Legs = []event.Leg{first, second}
		})
		if leg != 900*time.Millisecond || other != 0 {
			t.Errorf("connections: %s, %s", leg, other)
		}
		if got, want := strings.Join(notes, ";"), ";kanmon stood still for 1.1s of this mail;;;kanmon stood still for 2s of this mail"; got != want {
			t.Errorf("notes %q, want %q", got, want)
		}
		tell(func(r *event.Record) { r.News = event.Wait{Waited: 8 * time.Second} })
		if wait != 1050*time.Millisecond {
			t.Errorf("wait: %s", wait)
		}
		stop()
	})
}

// later is a Later that wants what was said.
type later func(*event.Record)

func (l later) Record(r *event.Record) { l(r) }
func (later) Dialogue() bool           { return true }
func (later) Identity() bool           { return false }
