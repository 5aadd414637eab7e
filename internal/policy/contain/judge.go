package contain

import (
	"math"
	"time"
)

// judge looks at the numbers after an event and moves the level, one step at a time.
func (d *Detector) judge(e *entry, ev *fact) {
	d.turnHour(e)
	if ev.reached && (e.Account != "" || ev.ofTenant) {
		d.reach(e, ev.hash)
	}
	if ev.bad == "" {
		return
	}
	var worst Reading
	d.read(e, func(r Reading) {
		if r.worse(&worst) {
			worst = r
		}
	})
	if worst.Level > Normal {
		d.rise(e, &worst)
	}
}

func (r *Reading) worse(than *Reading) bool {
	if r.Overwhelming != than.Overwhelming {
		return r.Overwhelming
	}
	return r.Level > than.Level
}

// The signals about outcomes that an account is judged by.
var (
	ofAccounts = []Signal{UnknownRecipients, Content, SenderRefused, Listing}
	ofBounces  = []Signal{Backscatter, Content} // whoever would not be seen sends without a sender
)

// read gives the signals about outcomes, in both windows. It does not allocate: it is asked with each bad one.
func (d *Detector) read(e *entry, yield func(Reading)) {
	e.expire(d.time.minute)
	if e.Account == "" {
		t := e.owner
		t.spread.expire(d.time.minute)
		for i, s := range [...]Signal{SpreadUnknown, SpreadContent} {
			t.spreadFrom[i].expire(d.time.minute)
			accounts := int(t.spreadFrom[i].estimate() + 0.5)
			d.readBoth(e, s, &t.spread, &t.spreadBy[i], accounts, yield)
		}
		yield(d.many(t))
		return
	}
	signals := ofAccounts
	if e.Account == NullSender {
		signals = ofBounces
	}
	for _, s := range signals {
		d.readBoth(e, s, &e.windows, e.evidence.of(s), 0, yield)
	}
}

// many says whether enough of a tenant's accounts are contained for their outcomes to contain the tenant. Where as many
// are as there is room for, it stands for those that were forgotten.
func (d *Detector) many(t *tenant) Reading {
	need := max(float64(d.policy.ManyAccounts), math.Ceil(math.Sqrt(float64(len(t.accounts)))))
	r := Reading{Signal: ManyAccounts, Cases: len(t.accounts), Threshold: need}
	n := t.containedAt[Stop] + t.containedAt[Divert]
	if float64(n) >= need {
		r.Level = Divert
	} else if n += t.containedAt[Slow]; float64(n) >= need {
		r.Level = Slow
	}
	if t.held.n >= d.mostHeld() {
		n, r.Level = t.held.n, Divert
	}
	r.Bad, r.Accounts = n, n
	if r.Cases > 0 {
		r.Share = float64(n) / float64(r.Cases)
	}
	return r
}

// rise goes one level up if a reading is enough for it, or to Stop if it is overwhelming. The windows begin anew with
// every level, so that the next one rests on what happened after this one.
func (d *Detector) rise(e *entry, r *Reading) {
	age := d.time.age
	switch {
	case r.Signal == Volume && e.outcomes:
		return // volume says nothing of a subject with bad outcomes
	case r.Overwhelming && e.level < Stop:
		d.set(e, Stop, r, byEvidence)
	case r.Level > e.level && (e.level == Normal || age-e.since >= d.policy.Between.at(e.level)):
		d.set(e, e.level+1, r, byEvidence)
	case r.Level == Slow && e.level == Slow && !e.outcomes && r.Signal != Volume:
		d.set(e, Slow, r, byEvidence) // slowed for its volume, now for its outcomes
	default:
		e.lastBad = age
		d.mark(e)
	}
}

// settle does what time does: ends what was by hand until a time, steps down after quiet, forgets strikes.
func (d *Detector) settle(e *entry) {
	age := d.time.age
	if e.block.over(age) || e.exempt.over(age) || e.allow.over(age) {
		d.endHand(e)
	}
	if e.Account == "" {
		if many := d.many(e.owner); many.Level > Normal {
			d.rise(e, &many)
		}
	}
	switch {
	case e.level > Normal:
		quiet := d.quiet(e)
		if age-e.lastBad >= quiet {
			d.set(e, e.level-1, &Reading{Signal: Quiet, Level: e.level - 1, Threshold: quiet.Hours()}, "quiet")
		}
	case e.strikes > 0 && age-e.since >= d.policy.Forget:
		e.strikes, e.fell = 0, false
		d.mark(e)
		d.place(e)
	}
}

// quiet is how long it takes to come down: twice as long with every strike.
func (d *Detector) quiet(e *entry) time.Duration {
	quiet := d.policy.Quiet.at(e.level)
	for i := uint8(1); i < e.strikes && quiet < d.policy.Longest; i++ {
		quiet *= 2
	}
	return min(quiet, d.policy.Longest)
}

// set changes a level by a reading, and notes the decision.
func (d *Detector) set(e *entry, to Level, r *Reading, by string) {
	from, t := e.level, e.owner
	if to > from && (e.fell || from == Normal) {
		e.strikes = min(e.strikes+1, 30)
	}
	e.fell, e.pardoned = to < from, e.pardoned && to < from
	e.level, e.signal, e.since, e.lastBad = to, r.Signal, d.time.age, d.time.age
	e.outcomes = to > Normal && (e.outcomes || r.Signal != Volume)
	e.spoiled = e.spoiled || e.outcomes
	e.recount()
	looks, like := d.looks(e, r)
	d.decide(e, Decision{From: from, To: to, By: by, Why: r.why() + like, Reading: *r, Looks: looks})
	if r.Signal != Volume {
		e.startAfresh()
	}
	d.place(e)
	if e.Account != "" && to > from {
		if many := d.many(t); many.Level > Normal {
			d.rise(&t.entry, &many)
		}
	}
}

// recount brings an account's part in its tenant's count of contained ones up to date. Those that an operator has spoken
// of do not count, be it as a list or a forwarder.
func (e *entry) recount() {
	if e.Account == "" {
		return
	}
	t := e.owner
	if e.countedAt > Normal {
		t.containedAt[e.countedAt]--
		e.countedAt = Normal
	}
	if e.outcomes && e.kind == Plain && e.block == nil && e.exempt == nil && !e.pardoned {
		e.countedAt = e.level
		t.containedAt[e.level]++
	}
}

func (e *entry) startAfresh() {
	e.clear()
	if x := e.evidence; x != nil {
		x.from, x.ips, x.samples = [3]refusers{}, 0, nil
		x.all, x.verp, x.srs = 0, 0, 0
	}
	e.to = origins{turn: e.to.turn}
	if e.Account == "" {
		e.owner.spread.clear()
		e.owner.spreadFrom, e.owner.spreadBy, e.owner.foreign = [2]halves{}, [2]refusers{}, halves{}
	}
}
