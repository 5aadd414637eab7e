package story

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
)

// A gateway is a kanmon that writes.
type gateway struct {
	name     string
	pool     string
	ips      []netip.Addr
	identify bool
	outs     []outage

	run   time.Time
	lines *journal.Encoder
	text  []byte
	last  time.Time // when it wrote last
}

// An outage is when a gateway is not there.
type outage struct {
	from, to time.Time
	killed   bool
}

func (g *gateway) out(at time.Time) bool {
	for _, o := range g.outs {
		if !at.Before(o.from) && at.Before(o.to) {
			return true
		}
	}
	return false
}

// drains reports whether it is about to stop, and takes nobody.
func (g *gateway) drains(at time.Time) bool {
	return g.out(at) || !g.out(at) && g.out(at.Add(drainTakes))
}

const drainTakes = 3*time.Minute + 5*time.Second

func (g *gateway) runName() string { return g.run.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// runs has a gateway run from the beginning, over its outages.
func (w *world) runs(g *gateway) {
	w.starts(g, w.First, nil)
	for _, o := range g.outs {
		if o.from.After(w.ledger.To) {
			continue
		}
		if !o.killed {
			w.news(g.name, o.from.Add(-drainTakes), event.Gateway{Did: event.Draining, Version: version, SendingIPs: len(g.ips), Sessions: 31, Rules: "in force"})
			w.later(o.from.Add(-time.Millisecond), g, func(bool) {
				w.put(g, g.lines.Due(nil, o.from, true))
				w.write(g, told(o.from.Add(-time.Millisecond), event.Gateway{Did: event.Stopped, Version: version, SendingIPs: len(g.ips), Rules: "in force"}))
			})
		}
		w.later(o.to, g, func(bool) {
			var unclean *event.Run
			if o.killed {
				unclean = &event.Run{Name: g.runName(), Line: g.lines.Lines(), At: g.last}
			}
			w.starts(g, o.to, unclean)
		})
	}
	w.beats(g, w.First.Add(time.Minute))
}

const version = "0.16.0"

func (w *world) starts(g *gateway, at time.Time, unclean *event.Run) {
	g.run = at
	lines, err := journal.NewEncoder(journal.Options{Gateway: g.name, Run: at, Identify: g.identify, Addresses: w.Addresses, HashKey: w.HashKey})
	if err != nil {
		w.err = err
		return
	}
	g.lines = lines
	w.write(g, told(at, event.Gateway{Did: event.Started, Version: version, SendingIPs: len(g.ips), Rules: "in force", Unclean: unclean}))
}

func told(at time.Time, n event.News) *event.Record {
	r := event.NewRecord()
	r.At, r.News = at, n
	return r
}

// beats has a gateway say each minute that it is there; then it also writes what only repeated itself.
func (w *world) beats(g *gateway, at time.Time) {
	w.later(at, g, func(heard bool) {
		if heard {
			g.last = at
			w.put(g, g.lines.Due(nil, at, false))
			w.write(g, told(at, event.Heartbeat{Up: at.Sub(g.run), Sessions: 20 + int(at.Unix()/60%17)}))
		}
		w.beats(g, at.Add(time.Minute))
	})
}
