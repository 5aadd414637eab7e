package contain

import (
	"slices"
	"time"
)

// What was counted of a subject lately is kept as octets, most of which are small numbers: an account that sends some
// mails a day has a hundred. What is of another form, or makes no sense, says nothing: the subject begins anew.

// countsForm is the version of the form.
const countsForm = 1

// savedCounts returns what was counted of a subject. Of lists and forwarders it is nothing: which of their messages and
// recipients were counted is not kept, and would count again.
func (d *Detector) savedCounts(e *entry) []byte {
	if e.Account == "" {
		e.owner.spread.expire(d.time.minute)
	}
	if e.expire(d.time.minute); e.kind != Plain || !e.counted() && e.distinct == 0 {
		return nil
	}
	c := codec{octets: []byte{countsForm}}
	d.codeCounts(&c, e)
	return c.octets
}

// counted reports whether anything of a subject is in its windows.
func (e *entry) counted() bool {
	return len(e.day.buckets) > 0 || e.Account == "" && len(e.owner.spread.day.buckets) > 0
}

// restoreCounts takes over what was counted, before the first event.
func (d *Detector) restoreCounts(e *entry, octets []byte) {
	if len(octets) == 0 || octets[0] != countsForm {
		return
	}
	c := codec{octets: octets[1:], reads: true}
	if d.codeCounts(&c, e); c.bad || len(c.octets) > 0 {
		e.evidence = nil
		e.startAfresh()
		e.recountVolume()
		return
	}
	if e.expire(d.time.minute); e.Account == "" {
		e.owner.spread.expire(d.time.minute)
	}
}

// codeCounts writes or reads it all, in the same order.
func (d *Detector) codeCounts(c *codec, e *entry) {
	e.codeWindows(c, d.time.minute)
	e.to.code(c)
	if c.flag(e.evidence != nil && e.evidence.all > 0) {
		if c.reads {
			e.evidence = &evidence{}
		}
		e.evidence.code(c, e.Account)
	}
	d.codeVolume(c, e)
	if e.Account != "" {
		return
	}
	t := e.owner
	t.spread.codeWindows(c, d.time.minute)
	for i := range t.spreadFrom {
		t.spreadFrom[i].code(c)
		t.spreadBy[i].code(c)
	}
	t.foreign.code(c)
	t.calls.code(c)
}

// codeVolume is of the recipients of this hour. If the hour is over, or the clock has jumped, they are of no use any more.
func (d *Detector) codeVolume(c *codec, e *entry) {
	hour, jumps := e.wallHour, e.jumps
	number(c, &hour)
	number(c, &jumps)
	var seen, reached sketch
	if !c.reads && hour == d.time.hour && jumps == d.time.jumps {
		seen = e.seen
		if e.Account == "" {
			reached = e.owner.reached
		}
	}
	seen.code(c)
	reached.code(c)
	if !c.reads || hour != d.time.hour || jumps != e.jumps {
		return
	}
	e.seen, e.distinct = seen, seen.estimate()
	if e.Account == "" {
		e.owner.reached = reached
	}
}

func (w *windows) codeWindows(c *codec, minute int32) {
	w.hour.code(c, minute, hourSpan)
	w.day.code(c, minute/60, daySpan)
}

func (w *window) code(c *codec, slot, span int32) {
	n := c.length(len(w.buckets), int(span))
	if c.reads {
		w.buckets = make([]bucket, n)
	}
	last := int32(-1)
	for i := range w.buckets {
		b := &w.buckets[i]
		number(c, &b.slot)
		c.must(b.slot > last && b.slot <= slot)
		last = b.slot
		var some uint32 // of the counters
		for j, n := range b.n {
			if n > 0 {
				some |= 1 << j
			}
		}
		number(c, &some)
		for j := range b.n {
			if some&(1<<j) != 0 {
				number(c, &b.n[j])
				if c.reads {
					w.sum[j] += b.n[j]
				}
			}
		}
	}
}

func (o *origins) code(c *codec) {
	number(c, &o.turn)
	for i := range o.n {
		if number(c, &o.n[i]); o.n[i] > 0 {
			number(c, &o.who[i])
		}
	}
	number(c, &o.rest)
	number(c, &o.restNamed)
}

func (o *refusers) code(c *codec) {
	o.origins.code(c)
	if c.flag(o.strangers != [len(o.strangers)][len(o.strangers[0])]uint8{}) {
		for i := range o.strangers {
			c.fixed(o.strangers[i][:])
		}
	}
}

func (x *evidence) code(c *codec, account string) {
	for i := range x.from {
		x.from[i].code(c)
	}
	number(c, &x.all)
	number(c, &x.verp)
	number(c, &x.srs)
	number(c, &x.ips)
	n := c.length(len(x.samples), maxSample)
	if c.reads {
		x.samples = make([]Sample, n)
	}
	for i := range x.samples {
		x.samples[i].code(c, account)
	}
}

// lastMilli is when years have more than four digits, which no text of a time has.
const lastMilli = 253_370_764_800_000 // begin of 9999, wherever

func (s *Sample) code(c *codec, account string) {
	at, of := s.At.UnixMilli(), s.Account
	number(c, &at)
	c.must(at < lastMilli)
	if of == account {
		of = ""
	}
	c.text(&of, maxName)
	c.text(&s.Provider, 64)
	c.text(&s.Class, 32)
	c.text(&s.Reply, maxReply)
	if !c.reads {
		return
	}
	if s.At, s.Account = time.UnixMilli(at), of; of == "" {
		s.Account = account
	}
}

func (h *halves) code(c *codec) {
	number(c, &h.turn)
	h.now.code(c)
	h.before.code(c)
}

func (c *calls) code(to *codec) {
	number(to, &c.hour)
	for i := range c.asked {
		number(to, &c.asked[i])
		number(to, &c.dead[i])
	}
}

func (s *sketch) code(c *codec) {
	if c.flag(*s != sketch{}) {
		c.fixed(s[:])
		c.must(slices.Max(s[:]) <= mostOfHash)
	}
}
