package journal

import (
	"strconv"

	"kanmon/internal/event"
)

// content appends how the content of a message was judged, and what followed. Nothing of the message is in it.
func (o *object) content(c *event.Content) {
	if c == nil {
		return
	}
	o.open("content", '{')
	o.word("lane", c.Lane.String())
	if c.Wanted != event.LaneOff && c.Wanted != c.Lane {
		o.word("wanted", c.Wanted.String())
	}
	if c.Verdict != event.HandleNot {
		o.word("verdict", c.Verdict.String())
	}
	if c.Done != event.HandleNot {
		o.word("done", c.Done.String())
	}
	o.own("rule", c.Rule)
	o.foreign("why", c.Why)
	o.own("reference", c.Reference)
	if c.Octets > 0 {
		o.integer("octets", c.Octets)
	}
	if c.Prepended > 0 {
		o.integer("prepended", c.Prepended)
	}
	if c.Waited > 0 {
		o.milliseconds("waited_ms", c.Waited.Duration())
	}
	o.scans(c.Scans)
	o.dst = append(o.dst, '}')
}

func (o *object) scans(all []event.Scan) {
	if len(all) == 0 {
		return
	}
	o.open("scans", '[')
	for i := range all {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = append(o.dst, '{')
		o.scan(&all[i])
		o.dst = append(o.dst, '}')
	}
	o.dst = append(o.dst, ']')
}

func (o *object) scan(s *event.Scan) {
	o.own("scanner", s.Scanner)
	if s.State != event.ScanNot {
		o.word("state", s.State.String())
	}
	if s.Lack != event.LackNot {
		o.word("lack", s.Lack.String())
	}
	o.foreign("why", s.Why)
	o.foreign("action", s.Action)
	if s.Code > 0 {
		o.integer("code", int64(s.Code))
	}
	if s.Score != 0 {
		o.points("score", s.Score)
	}
	if s.Threshold != 0 {
		o.points("threshold", s.Threshold)
	}
	o.foreign("virus", s.Virus)
	if s.Took > 0 {
		o.milliseconds("took_ms", s.Took.Duration())
	}
	if s.Cached {
		o.boolean("cached", true)
	}
	if s.Changes > 0 {
		o.integer("changes", int64(s.Changes))
	}
	if len(s.Symbols) == 0 {
		return
	}
	o.open("symbols", '[')
	for i, y := range s.Symbols {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = append(o.dst, '{')
		o.foreign("name", y.Name)
		o.points("points", y.Points)
		o.dst = append(o.dst, '}')
	}
	o.dst = append(o.dst, ']')
}

// points appends what a scanner counts in, with two decimals.
func (o *object) points(name string, n float64) {
	o.open(name, 0)
	o.dst = strconv.AppendFloat(o.dst, n, 'f', 2, 64)
}

// judged gives the line of a message whose content was judged when its transaction had been told.
func (o *object) judged(n *event.Judged) {
	o.begin("judged", o.r.At)
	o.causedBy(n.Cause)
	o.own("tenant", n.Tenant)
	o.account(n.Account)
	o.content(n.Content)
	o.end()
}
