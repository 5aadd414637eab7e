package outlet

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/veil"
	"kanmon/internal/who/witness"
)

// Another sending IP stakes its reputation on a mail that one of ours was refused for. So it must be earned (docs/engine.md, I19):
// by words that say in so many words that the IP is listed or blocked, by a refusal that came before any mail was spoken of, or by
// what the standing has heard of others. Whatever else may be about our IP is softened, and the MSA's next try leaves from another.

// A plea is a refusal and what decides whether another sending IP is spent on its mail.
type plea struct {
	*session.MXRefusal
	*way
	choice  route.Choice
	tenant  string
	asker   string // Outlet.asker of the mail
	how     Handling
	key     standing.Key
	at      place
	before  standing.Permit // of the sending IP
	after   standing.Permit // the same, when the refusal itself has been heard
	verdict classify.Verdict

	receiver witness.Receiver
	domain   string // of the recipient that it is about; "": none, or nobody's
	nobodys  bool   // nobody can tell whose word it is
	part     string // of the provider, that has spoken; "": all of it
	own      bool   // it is another kanmon's
	doubted  bool   // its words were said of another sending IP as well, and so are a doubt
	twice    bool   // for this very mail
	mail     uint64 // what tells it from others, and what it has met; 0: nothing was noted
	met      met

	asked, guilty bool // whether the gate has something against the sender
}

// plead begins a plea: whose mail it is, where no tenant is configured the MSA's, and what its route says about refusals.
func (w *way) plead(r *session.MXRefusal) *plea {
	o := w.o
	q, choice := w.choiceOf(r)
	p := &plea{
		MXRefusal: r, way: w, choice: choice, tenant: tenantOf(&choice, w.source), asker: o.asker(q), how: o.handlings[choice.Number],
		key: w.key(r.SendingIP),
	}
	p.at = w.placeOf(string(r.Recipient))
	p.domain, p.nobodys = speaks(r)
	p.receiver = o.receiver(w.mx(), p.domain)
	if p.nobodys && p.receiver.Provider != "" && o.providers.OwnCode(p.receiver.Provider, r.Text) {
		p.nobodys = false // no customer can have written it
	}
	p.before = o.peek(p.how, r.SendingIP, p.at)
	p.after = p.before
	return p
}

func tenantOf(choice *route.Choice, source netip.Addr) string {
	return witness.Tenant(choice.Tenant, source)
}

// hear takes a refusal into account.
func (o *Outlet) hear(p *plea) {
	if p.SendingIP.IsValid() {
		o.listen(p)
		o.observe(p)
	}
}

// listen finds out who has spoken, and what else was said of the mail.
func (o *Outlet) listen(p *plea) {
	o.sites.from(p.source)
	if p.domain != "" {
		o.sites.to(p.key.Provider, p.domain)
	}
	p.part = o.partOf(p)
	o.weigh(p)
}

// observe has the standing hear of a refusal that was weighed.
func (o *Outlet) observe(p *plea) {
	domain, mx := p.domain, p.mx()
	v, part := &p.verdict, p.part
	o.book.Observe(standing.Evidence{
		Session: uint64(p.session), IP: p.SendingIP, Provider: p.key.Provider, Tenant: p.tenant, Destination: cmp.Or(domain, bracketed(mx)),
		Witness: witness.Destination(domain, mx), Place: part, Nobodys: p.nobodys, Again: p.Again, Speaker: p.receiver.Organisation(),
		Message: witness.Message(uint64(p.session), p.Mails), Class: v.Class,
		Scope: v.Scope, Suspend: v.Suspend, Lists: listsOf(v.Lists), Rule: v.Rule, Sample: p.sample(), Own: p.own,
		Final: p.Code >= 500, Contained: v.Suspend == classify.May && p.contained(),
		OneTenant: o.sites.oneTenant(o.tenants), OneDestination: o.oneDestination(p.key.Provider),
	})
	o.weighAgain(p)
	if p.after = o.book.Peek(p.key); p.after.Answer == standing.No {
		o.rescues.forget(p.key) // the standing alone decides from now on, and its probes must not be passed over
	} else if at := o.book.Peek(p.key.At(part)); part != "" && !p.nobodys && at.Answer == standing.No {
		p.after = at
	}
}

// sample is the reply as it is kept: whom it names is not kept with it, so nobody could hide that later.
func (p *plea) sample() string {
	return veil.Said(string(p.Text[:min(len(p.Text), sampleOctets)]), slices.Concat([]string{string(p.Sender), string(p.Recipient)}, p.Said)...)
}

// sampleOctets is how much of a reply is looked at for that: more than the standing keeps.
const sampleOctets = 1024

// What the record says where no other sending IP was spent.
const (
	whyContained = "the sender is contained"
	whyMixed     = "it is not our IP alone that is blamed"
	whyTwice     = "another sending IP was refused the same for this mail: it is hardly the IP"
	whyNotYet    = "nothing else speaks for our IP yet: the next try leaves from another"
	whyOnce      = "another sending IP was spent already, and it may be one customer's word"
	whyAlone     = "there is no other sending IP for it"
	whyNetblock  = "all other sending IPs of the pool are in the netblock that was refused"
)

// answer says what is done about a refusal of which it is known what it means.
func (o *Outlet) answer(p *plea, j *session.Judgement) {
	v := &p.verdict
	if p.own || p.how.Rescue == RescueOff {
		return
	}
	if classes[v.Class].stake == ofTooMuch && standing.AboutIP(v.Scope) {
		j.SoftenTo = p.softened() // the IP is shut out for a time; sending the rest through the others would shut those out, too
		if p.Code >= 500 {
			j.Why = "the IP is throttled there, at mail of tenant " + p.tenant
		}
		return
	}
	if v.Suspend == classify.No || classes[v.Class].stake != ofOurIP {
		return
	}
	alone := beforeMail(p.Phase) || v.Only
	if v.Suspend == classify.May && !alone {
		return // it blames something else as well: final as it is
	}
	j.SoftenTo = p.softened()
	if !alone {
		j.Why = whyMixed // the IP is listed, and suspended for that; this mail is not to show another one
		return
	}
	if p.contained() {
		j.Why = whyContained
		return
	}
	if v.Suspend == classify.May && p.after.Answer != standing.No && p.how.Rescue == RescueOn {
		o.rescues.remember(p.tenant, p.key)
	}
	if p.twice {
		j.Why = whyTwice
		return
	}
	if p.Again && (p.part != "" || p.nobodys) {
		j.Why = whyOnce
		return
	}
	if !p.earned() {
		j.Why = whyNotYet
		return
	}
	o.spend(p, j)
}

// softened is what the refusal is softened to, if its route has that done; 0: not at all.
func (p *plea) softened() int {
	if !p.how.Soften {
		return 0
	}
	return session.Temporary(p.Code)
}

// beforeMail reports that no mail has been spoken of: what is refused is who connects.
func beforeMail(phase event.Phase) bool { return phase <= event.PhaseEHLOTLS }

// contained asks about the sender, no sooner than it matters.
func (p *plea) contained() bool {
	if !p.asked {
		p.asked, p.guilty = true, p.Contained != nil && p.Contained()
	}
	return p.guilty
}

// silenced says what is done where the connection itself was refused or reset. The standing hears nothing of it: an MX that is
// down refuses all.
func (o *Outlet) silenced(p *plea, j *session.Judgement) {
	switch {
	case p.how.Rescue == RescueOff:
	case p.contained():
		j.Why = whyContained
	default:
		o.spend(p, j)
	}
}

// earned reports whether it is our IP that was refused: by the MX's own words, or because the standing has come to it.
func (p *plea) earned() bool {
	switch {
	case p.verdict.Suspend == classify.Yes:
		return true
	case beforeMail(p.Phase) && p.Code >= 500 && !p.doubted:
		return true
	}
	return p.after.Answer == standing.No
}

// spend gives the mail another sending IP, if there is one that would not be refused for the same reason, and the tenant has
// not had its share.
func (o *Outlet) spend(p *plea, j *session.Judgement) {
	if p.Stuck {
		return
	}
	others := o.others(p)
	avoid := o.refusedWith(p, others)
	if j.Why = o.whyNone(p, others, avoid); j.Why != "" {
		return
	}
	if !p.Unkept && !p.underWay() && !o.rescues.take(spending{p.tenant, p.key.Provider, p.Code == 0}, p.how.PerHour) {
		j.Why = fmt.Sprintf("%d rescues of tenant %s at %s within an hour already", p.how.PerHour, p.tenant, p.key.Provider)
		return
	}
	j.Rescue, j.Avoid = true, avoid
}

// others returns the other sending IPs that the mail may leave from.
func (o *Outlet) others(p *plea) (others []netip.Addr) {
	choice := p.choice
	if p.Pool != "" {
		choice, _ = o.router.Choose(route.Query{Owner: p.Owner, Source: p.source, Port: p.port, Destination: p.destination(), Suspicion: scoreOf(p.Suspicion), Pool: p.Pool})
	}
	for _, ip := range choice.IPs() {
		if ip.Address != p.SendingIP.Unmap() {
			others = append(others, ip.Address)
		}
	}
	return others
}

// underWay reports that the session began before its sending IP was suspended: it did not choose it, and is helped without being counted,
// once. Where suspensions are not heeded every session chooses it.
func (p *plea) underWay() bool {
	return p.how.Heeds() && !p.Again && p.before.Answer == standing.No && (p.before.State == standing.Suspended || p.before.State == standing.Stopped)
}

// refusedWith returns the other sending IPs that a refusal is about: those of the same netblock, or of the network that was quoted.
func (o *Outlet) refusedWith(p *plea, others []netip.Addr) (also []netip.Addr) {
	if p.verdict.Scope != classify.ScopeNetblock {
		return nil
	}
	networks := []netip.Prefix{o.block.Of(p.SendingIP)}
	for _, quoted := range p.verdict.Quoted {
		if quoted.Contains(p.SendingIP.Unmap()) {
			networks = append(networks, quoted)
		}
	}
	for _, ip := range others {
		if slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) }) {
			also = append(also, ip)
		}
	}
	return also
}

// whyNone says why there is no other sending IP for a mail; "" if there is one.
func (o *Outlet) whyNone(p *plea, others, refusedWith []netip.Addr) string {
	left := false
	for _, ip := range others {
		if slices.Contains(refusedWith, ip) {
			continue
		}
		left = true
		if o.peek(p.how, ip, p.at).Answer != standing.No && !o.hasWarmed(ip, &p.at) {
			return ""
		}
	}
	if !left && len(refusedWith) > 0 {
		return whyNetblock
	}
	return whyAlone
}

// turns reports whether a sending IP gives way because it may lately have been refused for what it is, with other mail of the tenant.
func (w *way) turns(choice *route.Choice, how Handling, ip netip.Addr) bool {
	if !w.o.rescues.any() || how.Rescue != RescueOn {
		return false
	}
	tenant, key := tenantOf(choice, w.source), w.key(ip)
	return w.o.rescues.refused(tenant, key) && w.o.rescues.room(spending{tenant: tenant, provider: key.Provider}, how.PerHour)
}

// turnedAway returns the sending IPs that give way, if there is another to take their place. That counts as a rescue: a
// sender whose mail is refused from one after another must not go through the pool by trying again.
func (w *way) turnedAway(choice *route.Choice, how Handling, req *session.DialRequest) (turned []netip.Addr) {
	if !w.o.rescues.any() || how.Rescue != RescueOn {
		return nil
	}
	tenant, mx := tenantOf(choice, w.source), w.mx()
	at := w.placeOf(req.Recipient)
	place, first := false, false // another one is there; it is instead of one that would have been first
	for _, ip := range choice.IPs() {
		switch {
		case slices.Contains(req.Avoid, ip.Address):
		case w.o.rescues.refused(tenant, w.o.key(ip.Address, mx)):
			turned = append(turned, ip.Address)
			first = first || !place && w.o.peek(how, ip.Address, at).Answer != standing.No
		case w.o.worthMoving(how, ip.Address, at, w.candidate(choice)):
			place = true
		}
	}
	switch {
	case req.Rescue || !first || req.Further && place: // the connection before this one was counted
		return turned
	case !place || !w.o.rescues.take(spending{tenant: tenant, provider: w.o.Provider(mx)}, how.PerHour):
		return nil
	}
	return turned
}
