package policy

import (
	"cmp"
	"net/netip"
	"time"

	"kanmon/internal/contain"
	"kanmon/internal/limit"
	"kanmon/internal/session"
)

// A pass is a session's way through the gate.
type pass struct {
	policy *Policy
	set    *settings
	origin session.Origin

	provider string // of the MX
	internal bool

	visit    stay // sessions and connections of the tenants
	accounts stay // and of their accounts

	// The mail at hand.
	begun     bool
	taken     bool // the MX has accepted MAIL
	tenant    string
	envelope  string               // its sender, in the form of package mailbox
	spelled   string               // who sent it: the envelope's sender, or who a header names; in that form, with its tags
	folded    string               // the account of spelled
	sender    string               // the account of the envelope's sender, whoever a header names
	account   string               // that it counts for: folded, or all that the tenant forwards
	kind      contain.Kind         // of account
	traits    contain.Traits       // of spelled
	size      int64                // as announced
	mail      limit.Ticket         // what MAIL took, but for the account's
	ofAccount limit.Ticket         // what it took of the account's
	berths    [2]berth             // of the sending IP that the mail leaves from, and of one that it may go on from instead
	at        int                  // which of them is the first
	trying    bool                 // it is asked about the second: nobody can wait
	recipient limit.Ticket         // of the recipients
	attempts  limit.Ticket         // never given back
	partly    bool                 // a recipient was refused here
	asked     []uint64             // recipients that were let pass and not told of, in order
	tried     uint64               // hash of all recipients
	reached   []uint64             // recipients that the MX has accepted
	unnamed   bool                 // a header of the message may still name the account
	dataAsked bool                 // the MX has answered DATA, or the message
	retry     bool                 // of the recipient that is asked about: it was put off before
	events    []*contain.Recipient // for the detector, while it may; nil is the mail itself

	waited  time.Duration // by the command at hand
	waiting bool          // and it has been told of
	holding []place       // of the session that is held; counted in Policy.held
	step    session.Step  // that was asked about last

	groups [4]group     // room for what limits asks
	tries  []limit.Want // room for what attempt asks
	told   []string     // what the session has been told once
}

// A stay is what a session holds for as long as it lasts: its place among the sessions.
type stay struct {
	ticket  limit.Ticket
	entered []entrance
}

// An entrance is a limit that the session has been counted by.
type entrance struct {
	limit   string
	subject limit.Subject
}

// A berth is what a session and its mail have of a sending IP.
type berth struct {
	ip   netip.Addr
	text string
	mail limit.Ticket
	stay stay
}

// Enter implements [session.Gate].
func (g *Gate) Enter(origin session.Origin) session.Pass {
	mx := origin.Destination.Addr().Unmap()
	return &pass{policy: g.policy, set: g.set, origin: origin, provider: g.set.Provider(mx), internal: isInternal(g.set.Internal, mx)}
}

// Ask implements [session.Pass].
func (a *pass) Ask(q session.Question) session.Decision {
	var d session.Decision
	if q.Step == session.StepRescue {
		d.Contained = a.suspect()
		return d
	}
	a.step = q.Step
	switch q.Step {
	case session.StepConnect:
		d = a.connect()
	case session.StepAccount:
		d = a.named(q)
	case session.StepMail:
		d = a.beginMail(q)
	case session.StepLeave:
		if q.Instead {
			return a.leaveInstead(q.SendingIP)
		}
		a.moor(a.at, q.SendingIP)
		d = a.limits(q.Step, a.size)
	case session.StepRecipient:
		d = a.askRecipient(q)
	}
	if !d.Again {
		a.decided(d.Refuse != session.RefuseNot)
	}
	return d
}

// askRecipient is asked before RCPT. A recipient that was put off is not counted again.
func (a *pass) askRecipient(q session.Question) session.Decision {
	hash := a.policy.hash(q.Recipient)
	a.retry = a.policy.retries.again(a.tenant, a.keyOf(hash), a.policy.clock())
	d := a.meet(q.Recipient)
	if d.Refuse == session.RefuseNot {
		limits := a.limits(session.StepRecipient, 0)
		limits.Notes = append(d.Notes, limits.Notes...)
		d = limits
	}
	a.retry = false
	if d.Refuse == session.RefuseNot {
		a.asked = append(a.asked, hash)
	} else {
		a.partly = true
	}
	return d
}

// decided ends what was asked: there is no delay any more, and who is refused has no mail.
func (a *pass) decided(refused bool) {
	a.release()
	if refused && a.step != session.StepRecipient {
		a.endMail(false, 0)
		a.partly = false
	}
}

// release ends a delay.
func (a *pass) release() {
	a.policy.delayed(a.holding)
	a.holding, a.waiting, a.waited = nil, false, 0
}

// connect is asked before the MX is connected to. Whose the session is may not be known yet.
func (a *pass) connect() session.Decision {
	id := a.set.Identify(a.origin, nil)
	switch {
	case id.Tenant != "":
		a.tenant = id.Tenant
		if answer := a.policy.detector.Ask(a.tenant, ""); answer.Hand { // nothing that the session can bring may pass: the MX is not bothered
			d := session.Decision{Refuse: session.RefuseNow, Text: blockedText}
			a.noteContained(&d, answer, "deferred")
			return d
		}
		return a.limits(session.StepConnect, 0)
	case id.Later:
		return session.Decision{}
	default:
		return a.stranger()
	}
}

// stranger refuses who is nobody's, so that the MSA's queue keeps the mail until somebody has seen to it.
func (a *pass) stranger() session.Decision {
	return session.Decision{
		Refuse: session.RefuseNow, Text: "this sender belongs to no customer here; ask your provider",
		Notes: []session.Note{{Did: "deferred", Account: a.account, Rule: "unknown tenant", Why: "no tenant has the source " + a.origin.Source.Addr().String() + " with this sender"}},
	}
}

func (a *pass) beginMail(q session.Question) (d session.Decision) {
	a.endMail(false, 0)                                              // the one before, or the same one before its delay
	a.provider = a.set.Provider(a.origin.Destination.Addr().Unmap()) // it may have become known since the mail before
	a.size = q.Size
	id := a.set.Identify(a.origin, &q.Sender)
	a.tenant, a.envelope = id.Tenant, q.Sender
	a.sentBy(q.Sender, false)
	if a.sender = a.folded; a.tenant == "" {
		return a.stranger()
	}
	a.begun = true
	var notes []session.Note
	if id.Spoofed != "" && !a.waiting {
		notes = append(notes, session.Note{Did: "spoofed", Tenant: a.tenant, Account: a.account, Rule: "spoofing", Why: "the sender's domain is that of tenant " + id.Spoofed})
		switch {
		case a.kind == contain.Forwarder: // a stranger's mail keeps its sender, whoever's customer that is
			notes[0].Why += "; it is forwarded mail"
		case a.set.RefuseSpoofing:
			notes[0].Did = "rejected"
			return session.Decision{Refuse: session.RefuseForGood, Text: "this sender's domain belongs to another customer", Notes: notes}
		}
	}
	d.Notes = notes
	a.contained(&d, q.Step)
	if d.Refuse != session.RefuseNot {
		return d
	}
	limits := a.limits(q.Step, q.Size)
	limits.Notes = append(d.Notes, limits.Notes...)
	if d.Pool != "" {
		limits.Pool = d.Pool // containment knows more of the sender than a count does
	}
	of := a.telling()
	limits.Header, limits.Strip, limits.Must = of.Header, of.Strip, of.Required
	a.unnamed = of.Header != ""
	return limits
}

// named is asked when the header of the message has said which account sends: what the envelope sender's limits gave is given
// back, and this account's are asked. What is known of its recipients becomes the account's.
func (a *pass) named(q session.Question) (d session.Decision) {
	if !a.nameAccount(&d, q.Fields) || d.Refuse != session.RefuseNot {
		a.unnamed = false
		a.attribute()
		return d
	}
	a.policy.limiter.Settle(&a.ofAccount, false, 0)
	a.contained(&d, q.Step)
	if d.Refuse == session.RefuseNot {
		limits := a.limits(q.Step, a.size)
		limits.Notes = append(d.Notes, limits.Notes...)
		d = limits
	}
	a.unnamed = false
	a.attribute()
	return d
}

// moor makes a berth one of a sending IP. What the mail took there before is given back, and the session's place where it was another IP.
func (a *pass) moor(at int, ip netip.Addr) {
	b := &a.berths[at]
	a.policy.limiter.Settle(&b.mail, false, 0)
	if b.ip != ip {
		a.policy.end(&b.stay)
		b.ip, b.text = ip, ip.String()
	}
}

// leaveInstead asks for another sending IP behind a refusal. The mail keeps its own until there is news from the other.
func (a *pass) leaveInstead(ip netip.Addr) session.Decision {
	here := a.at
	a.at, a.trying = 1-here, true
	a.moor(a.at, ip)
	d := a.limits(session.StepLeave, a.size)
	if d.Refuse != session.RefuseNot {
		a.moor(a.at, netip.Addr{})
	}
	a.at, a.trying = here, false
	return d
}

// leftFrom is told which sending IP it was: the other one has nothing of the mail and of the session any more.
func (a *pass) leftFrom(ip netip.Addr) {
	other := 1 - a.at
	if !a.berths[other].ip.IsValid() {
		return
	}
	if ip == a.berths[other].ip {
		a.at, other = other, a.at
	}
	a.moor(other, netip.Addr{})
}

// end gives a stay back.
func (p *Policy) end(s *stay) {
	p.limiter.Settle(&s.ticket, true, 0)
	s.entered = s.entered[:0]
}

// Tell implements [session.Pass].
func (a *pass) Tell(n session.News) {
	if n.Step == session.StepGivenUp {
		a.decided(true)
	}
	if !a.begun {
		return
	}
	if n.SendingIP.IsValid() {
		a.leftFrom(n.SendingIP)
	}
	switch n.Step {
	case session.StepMail:
		a.toldMail(n)
	case session.StepRecipient:
		a.toldRecipient(n)
	case session.StepData:
		a.toldMessage(n)
	case session.StepMessage:
		a.toldMessage(n)
		a.endMail(n.Code < 400, n.Octets) // a dot without a reply may have been a message
	case session.StepOver:
		a.endMail(false, 0)
	}
}

func (a *pass) toldMail(n session.News) {
	switch {
	case n.Code/100 == 2:
		if !a.taken {
			a.events = append(a.events, nil)
			a.tell()
		}
		a.taken = true
	case !a.taken: // else it is a MAIL inside a transaction, and the first one stands
		a.senderRefused(n)
		a.giveBack()
	}
}

// senderRefused tells the detector of a mail that the MX did not want to hear of. Which mail it is, the recipients tell that the MSA has
// named with it; without any, all that one MX refuses are one.
func (a *pass) senderRefused(n session.News) {
	var mail uint64
	for _, hash := range a.asked {
		mail += hash
	}
	mail ^= a.policy.hash(a.provider)
	a.policy.detector.Message(contain.Message{
		Tenant: a.tenant, Account: a.account, Provider: a.provider, Hash: mail, IP: n.SendingIP, Class: n.Class,
		Sample: sampleOf(n.Text), Own: n.Own, Again: a.triedAgain(n.Code, mail, n.Class),
		Kind: a.kind, Traits: a.traits, Message: a.identity(a.size),
	})
}

func (a *pass) toldRecipient(n session.News) {
	if len(a.asked) == 0 {
		return
	}
	hash := a.asked[0]
	a.asked = a.asked[1:]
	class := n.Class
	if n.Code < 400 {
		class = contain.Accepted
	}
	a.tried += hash // in any order; and twice the same is not nothing
	a.events = append(a.events, &contain.Recipient{
		Tenant: a.tenant, Provider: a.provider, Hash: hash, IP: n.SendingIP, Class: class, Sample: sampleOf(n.Text), Own: n.Own,
		Again: a.triedAgain(n.Code, hash, class),
	})
	if n.Code/100 == 2 {
		a.reached = append(a.reached, hash) // what becomes of it, the reply to the dot says
	} else {
		a.answered(n.Code, hash)
	}
	a.tell()
}

// sampleOf is what of a reply is evidence: the detector shows no more, and an MX can say 64 KiB to each of a thousand recipients.
func sampleOf(reply []byte) string { return string(reply[:min(len(reply), sampleOctets)]) }

const sampleOctets = 160

// tell tells the detector what it is to know of the mail, as far as the account is known by now.
func (a *pass) tell() {
	if !a.unnamed && !a.calling() {
		a.attribute()
	}
}

// attribute tells the detector whose it was.
func (a *pass) attribute() {
	for i, r := range a.events {
		if r == nil {
			a.policy.detector.Begin(contain.Mail{Tenant: a.tenant, Account: a.account, Kind: a.kind, Traits: a.traits})
			continue
		}
		r.Account, r.Kind, r.Traits, r.Message = a.account, a.kind, a.traits, a.identity(a.size)
		a.policy.detector.Recipient(*r)
		a.events[i] = nil
	}
	a.events = a.events[:0]
}

func (a *pass) toldMessage(n session.News) {
	class := n.Class
	if n.Code > 0 && n.Code < 400 {
		class = contain.Accepted
	}
	a.dataAsked = true
	if a.attribute(); n.Code > 0 {
		a.policy.detector.Message(contain.Message{
			Tenant: a.tenant, Account: a.account, Provider: a.provider, Hash: a.tried, IP: n.SendingIP, Class: class,
			Octets: n.Octets, Recipients: n.Recipients, Sample: sampleOf(n.Text), Own: n.Own,
			Again: a.triedAgain(n.Code, ^a.tried, class), Kind: a.kind, Traits: a.traits, Message: a.identity(cmp.Or(n.Octets, a.size)),
		})
		for _, hash := range a.reached {
			a.answered(n.Code, hash)
		}
	}
}

// keyOf is what a recipient of this sender is remembered by, as long as it is put off.
func (a *pass) keyOf(recipient uint64) uint64 { return recipient ^ a.policy.hash(a.sender) }

// answered notes what became of a recipient: put off, or done with.
func (a *pass) answered(code int, recipient uint64) {
	if code/100 == 4 {
		a.policy.retries.note(a.tenant, a.keyOf(recipient), a.policy.clock())
	} else {
		a.policy.retries.over(a.tenant, a.keyOf(recipient))
	}
}

// triedAgain reports whether an outcome is that of a mail which was put off for the same reason before: same sender, recipients and
// announced size. It remembers the outcome, if the mail is put off again.
func (a *pass) triedAgain(code int, whose uint64, class string) bool {
	if code < 400 {
		return false
	}
	key, now := a.keyOf(whose)+uint64(a.size)*0x9e3779b97f4a7c15^a.policy.hash(class), a.policy.clock()
	again := a.policy.retries.again(a.tenant, key, now)
	if code/100 == 4 {
		a.policy.retries.note(a.tenant, key, now)
	} else {
		a.policy.retries.over(a.tenant, key)
	}
	return again
}

// giveBack is for a mail that the MX did not take.
func (a *pass) giveBack() {
	a.policy.limiter.Settle(&a.mail, false, 0)
	a.policy.limiter.Settle(&a.ofAccount, false, 0)
	a.policy.limiter.Settle(&a.berths[a.at].mail, false, 0)
}

// endMail settles what was taken for the mail at hand. Recipients that the MX was asked for stay counted, whatever it said; but where the
// MSA gives up a mail of which something was refused here, it will bring the others again.
func (a *pass) endMail(delivered bool, octets int64) {
	a.endCallout()
	a.attribute()
	a.policy.limiter.Settle(&a.mail, delivered, octets)
	a.policy.limiter.Settle(&a.ofAccount, delivered, octets)
	a.policy.limiter.Settle(&a.berths[a.at].mail, delivered, octets)
	a.moor(1-a.at, netip.Addr{})
	a.policy.limiter.Settle(&a.recipient, delivered || !a.partly, 0)
	a.begun, a.taken, a.unnamed, a.asked, a.tried = false, false, false, a.asked[:0], 0
	a.partly, a.dataAsked, a.reached = false, false, a.reached[:0]
}

// endCallout tells the detector of a mail with the null sender that came to no DATA: somebody's MX asks whether a recipient exists. That
// is no bounce.
func (a *pass) endCallout() {
	if !a.calling() {
		return
	}
	for _, r := range a.events {
		if r != nil {
			a.policy.detector.Callout(contain.Callout{Tenant: a.tenant, Dead: r.Class == "recipient_invalid"})
		}
	}
	a.events = a.events[:0]
}

// calling reports whether the mail at hand may be a callout.
func (a *pass) calling() bool { return a.begun && !a.dataAsked && a.account == contain.NullSender }

// Close implements [session.Pass].
func (a *pass) Close() {
	a.release()
	a.endMail(false, 0)
	for _, s := range []*stay{&a.visit, &a.accounts, &a.berths[a.at].stay} {
		a.policy.end(s)
	}
}
