package contain

import "time"

// Learn takes over how subjects stand for another process, which has had the store before this one and lets its sessions end: of each level the
// stricter one, and what was ordered there behind the time given, which is when this process has read the store. What the other has
// counted is left out: it has judged by it. Subjects that cannot be are passed over, and so are those that there is no room for.
func (d *Detector) Learn(c *Changes, read time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	for i := range c.Subjects {
		v := &c.Subjects[i]
		if v.validate() != nil {
			continue
		}
		e := d.find(v.Subject)
		if e == nil {
			if d.restore(v, &c.Snapshot) {
				d.mark(d.find(v.Subject))
			}
			continue
		}
		d.merge(e, v, &c.Snapshot, read)
	}
}

// merge takes over what is stricter, or newer, about a subject that is known.
func (d *Detector) merge(e *entry, v *Saved, of *Snapshot, read time.Time) {
	age := d.time.age - time.Duration(max(0, of.Age-v.Age))*time.Second
	if v.Level > e.level {
		e.level, e.signal, e.outcomes = v.Level, v.Signal, v.Level > Slow || v.Outcomes
		e.since, e.lastBad = age-time.Duration(v.Since)*time.Second, age-time.Duration(v.Quiet)*time.Second
		e.spoiled = e.spoiled || e.outcomes
		e.last = v.Last.bounded()
	}
	e.strikes = max(e.strikes, uint8(v.Strikes))
	for _, one := range [...]struct {
		mine  **hand
		their *SavedHand
	}{{&e.block, v.Block}, {&e.exempt, v.Exempt}, {&e.allow, v.Allow}} {
		if *one.mine == nil && one.their != nil && one.their.At.After(read) {
			*one.mine = one.their.restored(age)
		}
	}
	e.recount()
	d.place(e)
	d.mark(e)
}
