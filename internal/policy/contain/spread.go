package contain

// spreads reports whether an account's outcomes count for its tenant's spread. Those of a contained one do not: it is being
// dealt with, and its tenant must not be contained for it.
func (d *Detector) spreads(a *entry) bool {
	return a == nil || a.block == nil && a.exempt == nil && (a.level == Normal || !a.outcomes)
}

// forTenant is what of an event counts for the tenant: of mail without a sender what was thought of its messages, and not whom they did not
// find. Bounces to people who never wrote are part of any mail server's life.
func (ev *fact) forTenant() *fact {
	if accountName(ev.account) != NullSender {
		return ev
	}
	out := *ev
	out.n[answered], out.n[unknown], out.n[rejected], out.reached = 0, 0, 0, false
	if out.bad != Content {
		out.bad = ""
	}
	return &out
}

// addSpread adds an event to what is spread over a tenant's accounts. Of one account a few bad outcomes a day count.
func (d *Detector) addSpread(t *tenant, a *entry, ev *fact) {
	if ev.bad == UnknownRecipients || ev.bad == Content {
		if a != nil && a.badToday(ev.witness.Named()) > uint32(d.policy.AccountCap) {
			return
		}
		i := originsOf(ev.bad)
		t.spreadFrom[i].add(d.time.minute, mix(d.hash(ev.account), d.seed))
		t.spreadBy[i].add(d.time.minute, ev.witness)
		if ev.traits&OwnDomain == 0 {
			t.foreign.add(d.time.minute, mix(d.hash(domainOf(ev.account)), d.seed))
		}
	}
	if ev.n[answered]+ev.n[judged] > 0 {
		t.to.add(d.time.minute, ev.witness)
	}
	n := ev.n.by(ev.witness.Named())
	t.spread.add(d.time.minute, &n)
}

// badToday is how many bad outcomes of an account may have counted for its tenant today: all, or those of providers with a name.
func (e *entry) badToday(named bool) uint32 {
	n := e.day.sum
	if named {
		n = n.named()
	}
	if e.Account == NullSender {
		return n[content]
	}
	return n[unknown] + n[content]
}
