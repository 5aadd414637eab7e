package limit

// A charge is what a ticket has of one rate. It lies on the timeline before end, which moves when others give back; time
// passes over it, and what time has passed over is free again without being given back.
type charge struct {
	entry *entry
	cost  int64
	end   int64
	back  int64 // of the entry, then
}

func (e *entry) charge(now, cost int64) charge {
	e.free = max(e.free, now) + cost
	return charge{entry: e, cost: cost, end: e.free, back: e.back}
}

// follows says that nobody came between the charge and the earlier one.
func (c *charge) follows(earlier *charge) bool {
	return c.cost == 0 || earlier.cost == 0 || c.end-c.cost == earlier.end
}

// join adds a later charge of the same entry. If others came between, all of it counts as being where the first one is:
// less may be given back, never more than was taken.
func (c *charge) join(later *charge) {
	switch {
	case later.cost == 0:
	case c.cost == 0:
		*c = *later
	default:
		if later.follows(c) {
			c.end = later.end
		}
		c.cost += later.cost
	}
}

// giveBack gives back what time has not, of the last cost of the charge. What others gave back may have been ahead of it, and
// have brought it forward by so much.
func (c *charge) giveBack(now, cost int64) {
	e := c.entry
	rest := min(cost, c.end-now-(e.back-c.back), e.free-now)
	if rest > 0 {
		e.free -= rest
		e.back += rest
	}
}

// A taking is what a ticket has of one want.
type taking struct {
	limit        *Limit
	main, member charge // member.entry is nil without one
	fair         bool
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
	case t.limit.rule.Measure == Octets:
		t.correct(now, octets)
	case !delivered:
		t.main.giveBack(now, t.main.cost)
		if t.times > 0 {
			t.member.giveBack(now, t.member.cost)
		}
	}
	t.unpin()
}

// correct puts the octets that passed in the place of those that were declared. It may leave a debt, of Amount at most.
func (t *taking) correct(now, octets int64) {
	if octets < t.units {
		cost := max(0, t.main.cost-t.limit.cost(octets))
		t.main.giveBack(now, cost)
		if t.times > 0 {
			t.member.giveBack(now, min(t.member.cost, multiple(cost, t.times)))
		}
		return
	}
	cost := t.limit.cost(octets - t.units)
	t.main.entry.charge(now, cost)
	t.main.entry.forgive(now, t.limit.farthest())
	if t.times > 0 {
		t.member.entry.charge(now, multiple(cost, t.times))
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
