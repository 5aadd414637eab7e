package outlet

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/store/keep"
)

// A provider that says that there is too much of us takes less from the sending IP than anybody knew: shape halves what
// it said so of. Only its own word does. One customer's MX, and what a message makes an MX say, would else slow
// everybody's mail there.

// tightKey is what a tightening is of.
type tightKey struct {
	ip       netip.Addr
	provider string
	count    event.Count
}

const (
	// tightLife is longer than any tightening holds.
	tightLife = 12 * time.Hour
	// mostTight bounds those that are kept over a restart.
	mostTight = 4096
)

// tightOptions are those of what replies have tightened or, by time, of what times have: each has a table of its own.
func tightOptions(log *slog.Logger, byTime bool) keep.Options[tightKey, shape.Tightening] {
	return keep.Options[tightKey, shape.Tightening]{
		Most: mostTight, Life: tightLife, Log: log,
		Encode: func(k tightKey, t shape.Tightening) (string, string) {
			whose := []string{k.ip.String(), k.provider}
			if !byTime {
				whose = append(whose, k.count.String())
			}
			return encoded(whose...), encoded(
				strconv.FormatInt(t.Base, 10), strconv.FormatFloat(t.Part, 'g', -1, 64), t.At.Format(time.RFC3339), t.Heard.Format(time.RFC3339),
			)
		},
		Decode: func(key, value string) (k tightKey, t shape.Tightening, ok bool) {
			parts := 3
			if byTime {
				parts = 2
			}
			whose, ok1 := decoded(key, parts)
			what, ok2 := decoded(value, 4)
			if !ok1 || !ok2 {
				return k, t, false
			}
			var errs [6]error
			k.ip, errs[0] = netip.ParseAddr(whose[0])
			if k.provider = whose[1]; !byTime {
				errs[1] = k.count.UnmarshalText([]byte(whose[2]))
			}
			t.Base, errs[2] = strconv.ParseInt(what[0], 10, 64)
			t.Part, errs[3] = strconv.ParseFloat(what[1], 64)
			t.At, errs[4] = time.Parse(time.RFC3339, what[2])
			t.Heard, errs[5] = time.Parse(time.RFC3339, what[3])
			t.IP, t.Provider, t.Count = k.ip, k.provider, k.count
			return k, t, errs == [6]error{} && t.Part > 0 && t.Part < 1 && t.Base >= 0
		},
	}
}

// openRooms makes what counts, and takes over what a process before has tightened.
func openRooms(clock func() time.Time, l *learnt) *shape.Memory {
	rooms := shape.New(shape.Options{Clock: clock, Changed: func(t shape.Tightening) {
		to := l.tight
		if t.ByTime() {
			to = l.timed
		}
		to.Put(tightKey{t.IP, t.Provider, t.Count}, t)
	}})
	for _, from := range [...]*keep.Memory[tightKey, shape.Tightening]{l.tight, l.timed} {
		from.All(func(_ tightKey, t shape.Tightening) bool {
			rooms.Restore(t)
			return true
		})
	}
	return rooms
}

// forgetTimes forgets what the times have tightened.
func (l *learnt) forgetTimes() {
	var keys []tightKey
	l.timed.All(func(k tightKey, _ shape.Tightening) bool {
		keys = append(keys, k)
		return true
	})
	for _, k := range keys {
		l.timed.Drop(k)
	}
}

// A Tightened is an amount that was halved, or several of which time does not tell which there is too much of.
type Tightened struct {
	shape.Tightening
	Left     string   // what holds now, for people
	Observed bool     // it is only shown
	Session  event.ID // whose mail met the reply; 0: the times say it
	Rule     string   // of the classification
}

// judgeAmount takes a refusal into account that says what there is too much of.
func (w *way) judgeAmount(p *plea) {
	s := w.o.shaping
	takes := s.of(w.mx(), p.receiver.Provider)
	if takes == nil || p.own || p.part != "" || p.nobodys || p.verdict.Class != classify.Throttled || mayRepeat(p) {
		return
	}
	count := p.verdict.Count
	switch {
	case count == event.Uncounted && standing.AboutIP(p.verdict.Scope):
		count = event.Messages
	case count == event.NewConnections && !takes.Keeps(count):
		count = event.Connections // of those nobody knows how many there were
	}
	var lane *shape.Lane
	if l := w.laneAt(p.SendingIP); l != nil {
		lane = l.Lane
	}
	if t, done := s.rooms.Tighten(takes, p.SendingIP, count, lane); done && w.o.tightened != nil {
		left := fmt.Sprintf("%d %s", s.rooms.Amount(takes, count, p.SendingIP), count)
		w.o.tightened(Tightened{Tightening: t, Left: left, Observed: s.observe, Session: w.session, Rule: p.verdict.Rule})
	}
}

// mayRepeat reports whether a refusal may say what the message has said: nobody has looked, or not all of it is known.
func mayRepeat(p *plea) bool {
	return p.Phase >= event.PhaseBody && (p.Partial || p.verdict.Suspend == classify.No)
}
