package limit

import "time"

// A bid is a want while Take has its shard locked. It charges at once what it is granted, so that another want of the same
// counter sees it, and undoes that if the whole is refused.
type bid struct {
	want   Want
	shard  *shard
	main   *entry
	fair   bool
	member *entry // of a fair limit, where there was a place for it

	granted bool
	units   int64
	times   int64 // granted within the member's share: its cost there, in multiples of the main's; else 0

	mainCharge, memberCharge charge
	mainFree, memberFree     int64 // before
	share, over              int32 // before: sessions of the member and of the pool
}

// sessionWait is what Verdict.Wait says where nobody can know: a session ends when it ends.
const sessionWait = 10 * time.Second

// find finds or makes the counters.
func (b *bid) find(now int64) {
	l := b.want.Limit
	if b.main = b.shard.find(b.want.key(), l, now); b.main == nil {
		b.main = b.shard.stranger(l, now) // whose members nobody knows
	} else if b.fair = l.rule.Fair; b.fair {
		if b.main.pool == nil {
			b.main.pool = &pool{}
		}
		if b.member = b.shard.find(b.want.shareKey(), l, now); b.member != nil {
			b.main.pool.note(b.member, now)
			b.memberFree, b.share = b.member.free, b.member.share
		}
		b.over = b.main.pool.over
	}
	b.main.forgive(now, l.farthest()) // the rule may have become a shorter one
	b.mainFree = b.main.free
}

// grant charges the counters if they have room.
func (b *bid) grant(now int64) Verdict {
	l := b.want.Limit
	b.units = max(0, b.want.N)
	if l.rule.Measure == Octets {
		b.units = min(b.units, l.burst)
	}
	v := Verdict{Limit: l, Subject: b.want.Subject, Spent: b.want.Spent, Number: b.want.Number, Used: b.main.used(now), Max: l.burst}
	switch {
	case b.units > l.burst:
		v.Never = true
	case l.rule.Measure == Sessions:
		if b.granted = b.hold(); !b.granted {
			v.Wait = sessionWait
		}
	default:
		wait := b.draw(now)
		b.granted = wait <= 0
		v.Wait = time.Duration(max(0, wait))
	}
	v.OK = b.granted
	return v
}

// draw charges a rate if no wait is needed, and gives the wait.
func (b *bid) draw(now int64) (wait int64) {
	l := b.want.Limit
	cost := l.cost(b.units)
	need := max(cost, 1) // nothing declared: not empty
	wait = b.main.debt(now) + need - l.full
	if b.fair {
		wait = b.drawFairly(now, wait, need)
	}
	if wait > 0 {
		return wait
	}
	b.mainCharge = b.main.charge(now, b.units)
	if b.times > 0 {
		b.memberCharge = b.member.charge(now, multiple(b.units, b.times))
	}
	return 0
}

// drawFairly corrects the wait. What is above the reserve is open to all; the reserve is for members within their share.
// One that owes nothing to its share always is, or one with more members than units in the reserve could not be served.
func (b *bid) drawFairly(now, wait, need int64) int64 {
	l := b.want.Limit
	open := wait + l.fullShare
	if open <= 0 || b.member == nil {
		return open
	}
	times := int64(b.main.pool.count(now)) + 1 // one more than there are: who comes next finds its share untouched
	debt := b.member.debt(now)
	own := max(wait, min(debt, debt+min(need, longest/times)*times-l.fullShare))
	if own <= 0 {
		b.times = times
	}
	return min(open, own)
}

// multiple is units × times, at most as many as count.
func multiple(units, times int64) int64 { return min(units, mostUnits/times) * times }

// hold takes sessions if there is room. Of a fair limit the last place is for a member that has none.
func (b *bid) hold() bool {
	l, p, m := b.want.Limit, b.main.pool, b.member
	total := int64(b.main.held) + b.units
	switch {
	case total > l.burst:
		return false
	case !b.fair:
	case m != nil && m.held > 0 && total == l.burst:
		return false
	case int64(p.over)+b.units <= l.burst-l.reserve:
		p.over += int32(b.units)
	case m != nil && int64(m.share)+b.units <= l.sessionShare(p):
		m.share += int32(b.units)
	default:
		return false
	}
	b.main.held += int32(b.units)
	if m != nil {
		if m.held == 0 {
			p.holders++
		}
		m.held += int32(b.units)
	}
	return true
}

// sessionShare is how many places of the reserve a member may have.
func (l *Limit) sessionShare(p *pool) int64 {
	return max(1, l.reserve/int64(max(p.now, p.last, p.holders)+1))
}

// undo puts everything back as it was, except that a member has asked.
func (b *bid) undo() {
	if b.granted && b.want.Limit.rule.Measure == Sessions {
		t := b.taking()
		t.release()
	}
	b.main.free = b.mainFree
	b.main.taken -= b.mainCharge.units
	b.main.pins--
	if b.fair {
		b.main.pool.over = b.over
	}
	if b.member != nil {
		b.member.free, b.member.share = b.memberFree, b.share
		b.member.taken -= b.memberCharge.units
		b.member.pins--
	}
}

func (b *bid) taking() taking {
	t := taking{
		limit: b.want.Limit, main: b.mainCharge, member: b.memberCharge, fair: b.fair, spent: b.want.Spent, units: b.units, times: b.times,
	}
	t.main.entry, t.member.entry = b.main, b.member
	return t
}
