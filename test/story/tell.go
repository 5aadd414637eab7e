package story

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/journal"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/history"
)

// Options say what is told.
type Options struct {
	Seed      uint64
	First     time.Time // when it begins; zero: on a Monday in November 2026
	Days      int       // 0: 14. Stories that begin later are not told
	PerDay    int       // attempts of the many of which nothing is told, a day, about
	Without   bool      // no stories
	Addresses journal.AddressMode
	HashKey   []byte
}

// Fortnight is how many days stories take.
const Fortnight = 14

// Before is when so many days begin that end with a minute.
func Before(end time.Time, days int) time.Time {
	return end.UTC().Truncate(time.Minute).AddDate(0, 0, -days)
}

var monday = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

// Tell gives every line, with its newline, and who wrote it, in the order in which they were written; a line is valid until the next. An
// error ends it.
func Tell(o Options, line func(gateway string, line []byte) error) (*Ledger, error) {
	if o.First.IsZero() {
		o.First = monday
	}
	if o.Days == 0 {
		o.Days = Fortnight
	}
	w, err := newWorld(o, line)
	if err != nil {
		return nil, err
	}
	for _, g := range w.gateways {
		w.runs(g)
	}
	if !o.Without {
		w.stories()
	}
	for day := range o.Days {
		w.many(day)
	}
	w.until(w.ledger.To)
	return w.close()
}

// Lines gives the lines of one day of the many, of two gateways that begin and end with it: for measuring.
func Lines(seed uint64, day, n int, line func([]byte)) (*Ledger, error) {
	o := Options{Seed: seed + uint64(day)<<32, First: monday.AddDate(0, 0, day), Days: 1, PerDay: n, Without: true} //nolint:gosec // a day is no negative number
	return Tell(o, func(_ string, text []byte) error {
		line(text)
		return nil
	})
}

// A world is what happens in.
type world struct {
	Options
	rand     *rand.Rand
	rules    *classify.Rules
	gateways []*gateway
	line     func(gateway string, line []byte) error
	err      error
	ledger   *Ledger
	coming   items
	seq      uint64
	ids      uint64
	tellers  []*teller
	moods    []mood
}

func newWorld(o Options, line func(gateway string, line []byte) error) (*world, error) {
	rules, err := classify.Builtin()
	if err != nil {
		return nil, err
	}
	w := &world{Options: o, rules: rules, line: line, rand: rand.New(rand.NewPCG(o.Seed, 1))} //nolint:gosec // it is to be the same each time
	w.ledger = &Ledger{From: o.First, To: o.First.AddDate(0, 0, o.Days), Counts: make(map[CountKey]*Count), waits: make(map[*Mail]bool)}
	w.gateways = []*gateway{
		{name: Tokyo, pool: "main", ips: tokyoIPs, identify: true, outs: []outage{{from: w.day(9, "22:03:10"), to: w.day(9, "22:03:12")}}},
		{name: Osaka, pool: "osaka", ips: osakaIPs, outs: []outage{{from: w.day(5, "12:34:56.789"), to: w.day(5, "12:35:41"), killed: true}}},
	}
	if o.Without {
		for _, g := range w.gateways {
			g.outs = nil
		}
	}
	return w, nil
}

// day gives a time of a day, counted from the first.
func (w *world) day(n int, clock string) time.Time {
	layout := "15:04:05"[:min(len(clock), 8)]
	at, err := time.Parse(layout, clock)
	if err != nil {
		mistaken("time", clock)
	}
	return w.First.AddDate(0, 0, n).Add(at.Sub(at.Truncate(24 * time.Hour)))
}

func (w *world) gateway(name string) *gateway {
	for _, g := range w.gateways {
		if g.name == name {
			return g
		}
	}
	mistaken("gateway", name)
	return nil
}

// An item is something that is going to be written.
type item struct {
	at  time.Time
	seq uint64
	of  *gateway
	do  func(heard bool) // heard: the gateway is there
}

type items []item

func (x items) Len() int { return len(x) }
func (x items) Less(i, j int) bool {
	return x[i].at.Before(x[j].at) || x[i].at.Equal(x[j].at) && x[i].seq < x[j].seq
}
func (x items) Swap(i, j int) { x[i], x[j] = x[j], x[i] }

// Push implements [heap.Interface].
func (x *items) Push(one any) { *x = append(*x, one.(item)) }

// Pop implements it, too.
func (x *items) Pop() any {
	last := len(*x) - 1
	one := (*x)[last]
	(*x)[last] = item{}
	*x = (*x)[:last]
	return one
}

func (w *world) later(at time.Time, of *gateway, do func(heard bool)) {
	w.seq++
	heap.Push(&w.coming, item{at, w.seq, of, do})
}

// until lets happen what happens before.
func (w *world) until(at time.Time) {
	for len(w.coming) > 0 && w.coming[0].at.Before(at) && w.err == nil {
		next := heap.Pop(&w.coming).(item)
		next.do(!next.of.out(next.at))
	}
}

// close ends what is told, and gives the answers.
func (w *world) close() (*Ledger, error) {
	for _, g := range w.gateways {
		w.put(g, g.lines.Due(nil, w.ledger.To, true))
	}
	for _, t := range w.tellers {
		if t.Begin.Before(w.ledger.To) {
			t.close()
			w.ledger.Stories = append(w.ledger.Stories, t.Story)
		}
	}
	return w.ledger, w.err
}

// write has a gateway write a record, and gives the last line's key.
func (w *world) write(g *gateway, r *event.Record) history.Key {
	g.text = g.lines.Append(g.text[:0], r)
	w.put(g, g.text)
	return history.Key{Gateway: g.name, Run: g.runName(), Line: g.lines.Lines()}
}

// put gives text, line by line.
func (w *world) put(g *gateway, text []byte) {
	for begin, i := 0, 0; i < len(text) && w.err == nil; i++ {
		if text[i] == '\n' {
			w.ledger.Lines++
			w.err = w.line(g.name, text[begin:i+1])
			begin = i + 1
		}
	}
}

// news is told by a gateway, if it is there.
func (w *world) news(gateway string, at time.Time, n event.News) {
	g := w.gateway(gateway)
	w.later(at, g, func(heard bool) {
		if !heard {
			return
		}
		r := told(at, n)
		if c, of := n.(event.Changed); of {
			r.Session.ID = c.Session
		}
		if o, of := n.(event.Order); of {
			r.Session.ID = o.Session
		}
		w.write(g, r)
	})
}
