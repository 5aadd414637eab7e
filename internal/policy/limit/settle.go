package limit

// A charge is what a ticket has of one rate, in units: what they cost may have changed by the time they are given back. Behind it on
// the timeline are the units that were taken since; time passes over what is ahead of these, and what it has passed over is free
// again without being given back.
type charge struct {
	entry *entry
	units int64
	upTo  int64 // of the entry's taken units, this charge's included
}

// mostUnits bounds what one charge counts, so that sums of them stay far from overflow.
const mostUnits = mostAmount

func (e *entry) charge(now, units int64) charge {
	units = min(units, mostUnits)
	e.free, e.dirty = max(e.free, now)+e.limit.cost(units), true
	e.taken += units
	return charge{entry: e, units: units, upTo: e.taken}
}

// follows reports that nobody came between the charge and the earlier one.
func (c *charge) follows(earlier *charge) bool {
	return c.units == 0 || earlier.units == 0 || c.upTo-c.units == earlier.upTo
}

// join adds a later charge of the same entry. If others came between, all of it counts as being where the first one is:
// less may be given back, never more than was taken.
func (c *charge) join(later *charge) {
	switch {
	case later.units == 0:
	case c.units == 0:
		*c = *later
	default:
		if later.follows(c) {
			c.upTo = later.upTo
		}
		c.units += later.units
	}
}

// giveBack gives back what time has not, of the last units of the charge. What others gave back may have been ahead of it, and
// have brought it forward by so much.
func (c *charge) giveBack(now, units int64) {
	e := c.entry
	owed := e.free - now - e.limit.cost(e.taken-c.upTo) // up to the end of the charge
	if rest := min(e.limit.cost(min(units, c.units)), owed); rest > 0 {
		e.free, e.dirty = e.free-rest, true
	}
}

// A taking is what a ticket has of one want.
type taking struct {
	limit        *Limit
	main, member charge // member.entry is nil without one
	fair, spent  bool
	units, times int64
}

// mostParts bounds a ticket: a transaction may have any number of recipients.
const mostParts = 32

// add adds what was taken to the ticket. What follows a part of the same counter joins it; octets and sessions always do.
func (t *Ticket) add(taken *taking) {
	rate := taken.limit.rule.Measure != Octets && taken.limit.rule.Measure != Sessions
	apart := rate && len(t.taken) < mostParts
	for i := range t.taken {
		has := &t.taken[i]
		if has.main.entry != taken.main.entry || has.member.entry != taken.member.entry || has.fair != taken.fair ||
			apart && !taken.main.follows(&has.main) {
			continue
		}
		has.limit = taken.limit
		has.units += taken.units
		has.times = max(has.times, taken.times)
		has.main.join(&taken.main)
		has.member.join(&taken.member)
		has.unpin() // it has one already
		return
	}
	t.taken = append(t.taken, *taken)
}

func (t *taking) unpin() {
	t.main.entry.pins--
	if t.member.entry != nil {
		t.member.entry.pins--
	}
}

func (t *taking) settle(now int64, delivered bool, octets int64) {
	switch {
	case t.limit.rule.Measure == Sessions:
		t.release()
	case t.limit.rule.Measure == Octets && (delivered || t.spent):
		t.correct(now, octets)
	case !delivered:
		t.main.giveBack(now, t.main.units)
		if t.times > 0 {
			t.member.giveBack(now, t.member.units)
		}
	}
	t.unpin()
}

// correct puts the octets that passed in the place of those that were declared. It may leave a debt, of Amount at most.
func (t *taking) correct(now, octets int64) {
	l := t.main.entry.limit
	if octets < t.units {
		units := t.units - octets
		t.main.giveBack(now, units)
		if t.times > 0 {
			t.member.giveBack(now, multiple(units, t.times))
		}
		return
	}
	units := octets - t.units
	t.main.entry.charge(now, units)
	t.main.entry.forgive(now, l.farthest())
	if t.times > 0 {
		t.member.entry.charge(now, multiple(units, t.times))
		t.member.entry.forgive(now, longest)
	}
}

// farthest is the most that may be owed: a full burst and all that comes back in Per, so that Per is the longest wait.
func (l *Limit) farthest() int64 { return l.full + int64(l.rule.Per) }

// release gives sessions back: first what the member has of the reserve, because that is for others too.
func (t *taking) release() {
	units := int32(t.units)
	t.main.entry.held -= units
	if !t.fair {
		return
	}
	p, m := t.main.entry.pool, t.member.entry
	if m != nil {
		m.held -= units
		if m.held == 0 {
			p.holders--
		}
		share := min(m.share, units)
		m.share -= share
		units -= share
	}
	p.over -= units
}
