package contain

import "slices"

// What is to be written is noted where it changes: nobody looks at all accounts to find it.

// Changes are what has changed since it was last given: rows of subjects, each in place of the one before.
type Changes struct {
	Snapshot
	Gone []Subject // nothing of them is worth keeping any more
}

// gone adds that a subject's row goes, and no other of it stays: it may have been taken before it was forgotten.
func (c *Changes) gone(s Subject) {
	for i := len(c.Subjects) - 1; i >= 0; i-- {
		if c.Subjects[i].Subject == s {
			c.Subjects = slices.Delete(c.Subjects, i, i+1)
		}
	}
	c.Gone = append(c.Gone, s)
}

// Empty reports that nothing has changed.
func (c *Changes) Empty() bool { return len(c.Subjects)+len(c.Gone) == 0 }

// Changed adds what has changed since it was last given, of at most so many subjects, and returns of about how many
// there is more to give. What could not be kept goes to [Detector.PutBack].
func (d *Detector) Changed(c *Changes, most int) (left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	d.stamp(c)
	for most > 0 {
		looks := 1
		if e, found := d.dirty.pop(); found {
			if e.dirty && !e.over() {
				d.take(c, e)
			}
		} else if s, found := d.forgotten.pop(); found {
			d.drop(c, s)
		} else if looks = d.dropTenant(c, most); looks == 0 {
			break
		}
		most -= looks
	}
	return len(d.dirty.all) + len(d.forgotten.all) + len(d.forgottenTenants.all)
}

// ChangedOf adds how one subject stands, whether that has changed or not.
func (d *Detector) ChangedOf(c *Changes, s Subject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	d.stamp(c)
	e := d.find(s)
	if e != nil {
		e.stored = true
		if d.take(c, e); !e.over() {
			return
		}
	}
	c.gone(s) // it has made room since: nothing stands against it, whatever the file says
}

// PutBack takes back what was not kept: it is still to be.
func (d *Detector) PutBack(c *Changes) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range c.Subjects {
		d.due(c.Subjects[i].Subject)
	}
	for _, s := range c.Gone {
		d.due(s)
	}
}

// stamp says as of when the changes are.
func (d *Detector) stamp(c *Changes) {
	c.Version, c.At, c.Age, c.Jumps = SnapshotVersion, d.time.now.Round(0), seconds(d.time.age), d.time.jumps
	c.Skipped, c.Secret = seconds(d.time.skipped), slices.Clone(d.secret[:])
}

// take adds how a subject stands.
func (d *Detector) take(c *Changes, e *entry) {
	d.settle(e)
	d.turnHour(e)
	if e.over() { // its row is among those to go
		return
	}
	e.dirty = false
	switch {
	case d.worth(e):
		c.Subjects = append(c.Subjects, d.saved(e))
		e.stored = true
	case e.stored:
		c.gone(e.Subject)
		e.stored = false
	}
}

// worth reports whether something is known of a subject that others do not have. The made-up senders of a flood, whom
// nobody knows for a day, cost the disk nothing.
func (d *Detector) worth(e *entry) bool {
	return e.stands() || e.seasoned && e.counted() || e.history != nil || d.volumeNow(e) > 0 || e.usual[0].cases+e.usual[1].cases > 0 ||
		e.seasoned && e.usual[0].casesToday+e.usual[1].casesToday > 0
}

// mark notes that what is worth keeping of a subject has changed.
func (d *Detector) mark(e *entry) {
	if !d.kept || e.dirty {
		return
	}
	e.dirty = true
	d.dirty.push(e)
	// While the disk takes nothing those that were forgotten must not pile up.
	for i := 0; i < 2 && len(d.dirty.all) > 2*(d.accounts+len(d.tenants))+walkBatch; i++ {
		if old, _ := d.dirty.pop(); old.dirty && !old.over() {
			d.dirty.push(old)
		}
	}
}

// lose notes that the row of a subject that is forgotten is to go. Beyond a bound that is left to the next process,
// which forgets it as others.
func (d *Detector) lose(s Subject) {
	if d.kept && len(d.forgotten.all) < d.maxAccounts {
		d.forgotten.push(s)
	}
}

// due has a subject's row written, or removed, at the next occasion.
func (d *Detector) due(s Subject) {
	if e := d.find(s); e != nil {
		e.stored = true
		d.mark(e)
		return
	}
	d.lose(s)
}

// drop adds that a row goes. Who is known again has one of his own.
func (d *Detector) drop(c *Changes, s Subject) {
	if d.find(s) != nil {
		d.due(s)
		return
	}
	c.gone(s)
}

// dropTenant does the same with accounts of a tenant that is forgotten, and with the tenant behind them. It returns how
// many it has looked at, no more than most: 0 if there is no such tenant.
func (d *Detector) dropTenant(c *Changes, most int) (looks int) {
	if len(d.forgottenTenants.all) == 0 {
		return 0
	}
	t := d.forgottenTenants.all[0]
	for name, e := range t.accounts {
		if looks == most {
			return looks
		}
		looks++
		delete(t.accounts, name)
		if e.stored {
			d.drop(c, e.Subject)
		}
	}
	if looks == most {
		return looks
	}
	if t.stored {
		d.drop(c, t.Subject)
	}
	d.forgottenTenants.pop()
	return looks + 1
}

// over reports that an entry is forgotten, or its tenant is.
func (e *entry) over() bool { return e.gone || e.owner.gone }

// A queue gives first what came first. An empty one costs nothing.
type queue[T any] struct{ all []T }

func (q *queue[T]) push(v T) { q.all = append(q.all, v) }

func (q *queue[T]) pop() (v T, found bool) {
	if len(q.all) == 0 {
		return v, false
	}
	var none T
	v, q.all[0] = q.all[0], none
	if q.all = q.all[1:]; len(q.all) == 0 {
		q.all = nil
	}
	return v, true
}
