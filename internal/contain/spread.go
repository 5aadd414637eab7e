package contain

// spreads says whether an account's outcomes count for its tenant's spread. Those of a contained one do not: it is being
// dealt with, and its tenant must not be contained for it.
func (d *Detector) spreads(a *entry) bool {
	return a == nil || a.Account != NullSender && a.block == nil && a.exempt == nil && (a.level == Normal || !a.outcomes)
}

// addSpread adds an event to what is spread over a tenant's accounts. Of one account a few bad outcomes a day count.
func (d *Detector) addSpread(t *tenant, a *entry, ev *event) {
	if ev.bad == UnknownRecipients || ev.bad == Content {
		if a != nil && a.day.sum[unknown]+a.day.sum[content] > uint32(d.policy.AccountCap) {
			return
		}
		i := originsOf(ev.bad)
		t.spreadFrom[i].add(d.time.minute, mix(d.hash(ev.account), d.seed))
		t.spreadBy[i].add(d.time.minute, uint32(d.hash(ev.provider)))
		if ev.traits&OwnDomain == 0 {
			t.foreign.add(d.time.minute, mix(d.hash(domainOf(ev.account)), d.seed))
		}
	}
	if ev.n[answered]+ev.n[judged] > 0 {
		t.to.add(d.time.minute, uint32(d.hash(ev.provider)))
	}
	t.spread.add(d.time.minute, &ev.n)
}
