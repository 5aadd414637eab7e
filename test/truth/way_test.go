package truth

import (
	"math/rand/v2"
	"strings"
	"time"
)

// pieces compares in how many pieces a reply came. Those that it was written in are read one by one, unless kanmon lets them gather, or they lie
// there until it has time: it says something to another MX.
func (j *judging) pieces(name string, p *reply, h *heard) {
	got := max(p.Pieces, 1)
	if got > h.pieces {
		j.errorf("pieces of "+name, "%d of %q, which was written in %d", got, p.Text, h.pieces)
	}
	if read := min(h.pieces, 255); got < read && h.ended.Sub(h.came) < 5*time.Second && !j.busy(h) {
		j.errorf("pieces of "+name, "%d of %q, which was written in %d over %s", got, p.Text, h.pieces, h.ended.Sub(h.began))
	}
}

// busy says that kanmon was connected, or was connecting, to another MX while a reply came.
func (j *judging) busy(h *heard) bool {
	for _, m := range j.mxs {
		for _, other := range m.heard {
			if other.line == connected && other.came.After(h.came.Add(-2*time.Second)) && other.came.Before(h.ended) && other != h {
				return true
			}
		}
	}
	return false
}

// window compares for how long the MX's window kept a message: never for longer than there was no room for it.
func (j *judging) window(x *transaction) {
	if most := x.Times["body_mx_ms"]; x.Times["rescue_ms"] == 0 && x.WindowMS > most+float64(tolerance/time.Millisecond) {
		j.errorf("window", "%.3f ms of %v", x.WindowMS, x.Times)
	}
}

// opened compares on which connection what was said to the steps of opening was said.
func (j *judging) opened(e *ending) {
	byLeg := map[int]*mx{}
	for _, l := range e.Legs {
		if l.Local != "" {
			byLeg[l.Leg] = j.mxs[len(byLeg)]
		}
	}
	for _, o := range e.Opening {
		if _, of := j.ofMX(o.Reply.Text); of != byLeg[o.Leg] {
			j.errorf("opening", "%q is not of connection %d", o.Reply.Text, o.Leg)
		}
	}
}

// failed compares how connections failed.
func (j *judging) failed(e *ending) {
	ways := map[string]int{}
	for _, l := range e.Legs {
		ways[l.Failed]++
		switch {
		case l.Local == "" && !strings.Contains(" refused unanswered not_dialled left ", " "+l.Failed+" "):
			j.errorf("failed", "%q without a connection", l.Failed)
		case l.Local != "" && strings.Contains(" refused unanswered not_dialled ", " "+l.Failed+" "):
			j.errorf("failed", "%q on a connection", l.Failed)
		}
	}
	if n := ways["refused"]; n > j.refused || n+ways["left"] < j.refused {
		j.errorf("failed", "%v, and %d were refused", ways, j.refused)
	}
	if n := ways["unanswered"]; n > j.unanswered || n+ways["left"] < j.unanswered {
		j.errorf("failed", "%v, and %d were not answered", ways, j.unanswered)
	}
}

// A still is a time in which the process is said to have stood still.
type still struct{ from, to time.Time }

// beat has the stream's pulse beat until rest is called, and now and then not for a while.
func (w *world) beat(seed uint64) (rest func()) {
	const every = 100 * time.Millisecond
	random := rand.New(rand.NewPCG(seed, 3))
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			w.stream.Pulse.Beat(time.Now(), every)
			wait := every
			if random.IntN(600) == 0 {
				wait += time.Duration(300+random.IntN(5000)) * time.Millisecond
				w.stills = append(w.stills, still{time.Now().Add(every), time.Now().Add(wait)})
			}
			select {
			case <-time.After(wait):
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// stalled compares for how long of a mail the process stood still. Of a time that has not ended it may not be known yet.
func (j *judging) stalled(x *transaction) {
	var want time.Duration
	end := x.Start.Add(time.Duration(x.Duration * float64(time.Millisecond)))
	for _, s := range j.world.stills {
		from, to := s.from, s.to
		if from.Before(x.Start) {
			from = x.Start
		}
		if to.After(end) {
			to = end
		}
		want += max(0, to.Sub(from))
	}
	if !near(x.StalledMS, want, 250*time.Millisecond) {
		j.errorf("stalled", "%.3f ms of %s, want %s", x.StalledMS, end.Sub(x.Start), want)
	}
}
