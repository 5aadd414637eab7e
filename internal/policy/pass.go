package policy

import (
	"sync"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
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

	owner *whose.Owner // whose it is
	step  event.Step   // that was asked about last
	mail               // at hand
	delay              // of the command at hand

	told  []string // what the session has been told once
	*room          // nil but while it is asked
}

// room is what asking the limits needs, and no longer: not for each session that waits.
type room struct {
	groups [4]group     // what limits asks
	tries  []limit.Want // what attempt asks
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// leaveRoom gives it back, without what was asked of whom.
func (a *pass) leaveRoom() {
	for i := range a.groups {
		g := &a.groups[i]
		clear(g.wants)
		*g = group{wants: g.wants[:0]}
	}
	clear(a.tries)
	a.tries = a.tries[:0]
	rooms.Put(a.room)
	a.room = nil
}

// Enter implements [session.Gate].
func (g *Gate) Enter(origin session.Origin) session.Pass {
	mx := origin.Destination.Addr().Unmap()
	a := newPass(g.policy, g.set)
	a.origin, a.provider, a.internal = origin, g.set.Provider(mx), isInternal(g.set.Internal, mx)
	return a
}

func newPass(p *Policy, set *settings) *pass {
	a := &pass{policy: p, set: set}
	a.berths[0] = &a.own
	return a
}

// Ask implements [session.Pass].
func (a *pass) Ask(q session.Question) session.Decision {
	var d session.Decision
	switch q.Step {
	case event.StepRescue:
		d.Contained = a.suspect()
		return d
	case event.StepFirst:
		d.Suspicion = a.suspected(a.policy.hash(q.Recipient))
		return d
	case event.StepContent:
		return a.askContent(q)
	}
	a.room = rooms.Get().(*room)
	defer a.leaveRoom()
	a.step = q.Step
	switch q.Step {
	case event.StepConnect:
		d = a.connect(q.Unseen)
	case event.StepAccount:
		d = a.named(q)
	case event.StepMail:
		d = a.beginMail(q)
	case event.StepLeave:
		if q.Instead {
			return a.leaveInstead(q.SendingIP)
		}
		a.moor(a.at, q.SendingIP)
		d = a.limits(q.Step, a.size)
	case event.StepRecipient:
		d = a.askRecipient(q)
	}
	if q.Step == event.StepConnect || q.Step == event.StepMail {
		d.Owner = a.owner
	}
	if q.Step == event.StepMail || q.Step == event.StepAccount {
		d.Whose, d.Sender = a.tenant, a.account
		if d.Refuse == session.RefuseNot && !d.Again {
			d.Suspicion = a.suspected(0)
			d.Whole = a.set.Content.Scans(a.tenant)
		}
		if q.Step == event.StepAccount && a.judged != nil {
			a.judged.Named(a.contentOf())
		}
	}
	if !d.Again {
		a.decided(d.Refuse != session.RefuseNot)
	}
	return d
}

// askRecipient is asked before RCPT. A recipient that was put off is not counted again.
func (a *pass) askRecipient(q session.Question) session.Decision {
	hash := a.policy.hash(q.Recipient)
	d := a.meet(q.Recipient)
	a.retry = a.policy.retries.known(a.tenant, a.keyOf(hash), a.policy.clock)
	if d.Refuse == session.RefuseNot {
		limits := a.limits(event.StepRecipient, 0)
		limits.Notes = append(d.Notes, limits.Notes...)
		d = limits
	}
	a.retry = false
	if d.Refuse == session.RefuseNot {
		if a.asked = append(a.asked, hash); a.set.Suspicion {
			a.askedAt = append(a.askedAt, a.policy.hash(mailbox.DomainOf(q.Recipient))|1)
		}
	}
	return d
}

// decided ends what was asked: there is no delay any more, and who is refused has no mail, or one recipient less.
func (a *pass) decided(refused bool) {
	a.release()
	switch {
	case !refused:
	case a.step == event.StepRecipient:
		a.partly = true
	default:
		a.endMail(false, 0)
		a.partly = false
	}
}

// connect is asked before the MX is connected to. Whose the session is may not be known yet: where it is not to be seen later either, it
// must be let in for every tenant that it may be of.
func (a *pass) connect(unseen bool) session.Decision {
	a.belongsTo(a.set.Identify(a.origin, nil))
	if unseen {
		for _, tenant := range a.set.Behind(a.origin) {
			if d, blocked := a.blocked(tenant); blocked {
				return d
			}
		}
	}
	switch {
	case a.tenant != "":
		if d, blocked := a.blocked(a.tenant); blocked { // nothing that the session can bring may pass: the MX is not bothered
			return d
		}
		return a.limits(event.StepConnect, 0)
	case a.owner.Later:
		return session.Decision{}
	default:
		return a.stranger(replies.UnknownServer.Say(a.origin.Source.Addr().Unmap().String()))
	}
}

// belongsTo takes down whose the session, or the mail, is.
func (a *pass) belongsTo(owner *whose.Owner) {
	a.owner = owner
	if a.tenant = owner.Name(); owner.Apart {
		a.tenant = a.origin.Source.Addr().String()
	}
}

// blocked refuses a tenant that a person has blocked.
func (a *pass) blocked(tenant string) (d session.Decision, blocked bool) {
	answer := a.policy.detector.Ask(tenant, "")
	if !answer.Hand {
		return d, false
	}
	a.tenant = tenant
	d.Refuse, d.Say = session.RefuseNow, a.stopped(answer)
	a.noteContained(&d, answer, "deferred")
	return d, true
}

// stranger refuses who is nobody's, so that the MSA's queue keeps the mail until somebody has seen to it.
func (a *pass) stranger(say replies.Said) session.Decision {
	return session.Decision{
		Refuse: session.RefuseNow, Say: say,
		Notes: []event.Note{{Did: "deferred", Account: a.account, Rule: "unknown tenant", Why: "no tenant has the source " + a.origin.Source.Addr().String() + " with this sender"}},
	}
}

// domainOf names the sender to its postmaster: its domain is what a tenant is known by.
func domainOf(sender string) string {
	if domain := mailbox.DomainOf(sender); domain != "" {
		return "domain " + domain
	}
	return "<>"
}

func (a *pass) beginMail(q session.Question) (d session.Decision) {
	a.endMail(false, 0)                                              // the one before, or the same one before its delay
	a.provider = a.set.Provider(a.origin.Destination.Addr().Unmap()) // it may have become known since the mail before
	a.number, a.size = int32(q.Number), q.Size                       //nolint:gosec // a session has not so many
	a.faces("")
	a.envelope = q.Sender
	owner := a.owner
	if owner == nil || !owner.Final {
		owner = a.set.Identify(a.origin, &a.envelope) // not of q, which would have to be made in memory for that
	}
	a.belongsTo(owner)
	a.sentBy(q.Sender, false)
	if a.sender = a.folded; a.tenant == "" {
		return a.stranger(replies.UnknownSender.Say(domainOf(q.Sender), a.origin.Source.Addr().Unmap().String()))
	}
	if q.Sender == mailbox.Unreadable {
		return session.Decision{Refuse: session.RefuseForGood, Say: replies.UnreadableSender.Say(), Notes: []event.Note{{
			Did: "rejected", Tenant: a.tenant, Account: a.account, Rule: "unreadable sender", Why: "an MX may read another sender in it than kanmon",
		}}}
	}
	a.begun = true
	var notes []event.Note
	if a.owner.Spoofed != "" && !a.waiting {
		notes = append(notes, event.Note{Did: "spoofed", Tenant: a.tenant, Account: a.account, Rule: "spoofing", Why: "the sender's domain is that of tenant " + a.owner.Spoofed})
		switch {
		case a.kind == contain.Forwarder: // a stranger's mail keeps its sender, whoever's customer that is
			notes[0].Why += "; it is forwarded mail"
		case a.set.RefuseSpoofing:
			notes[0].Did = "rejected"
			return session.Decision{Refuse: session.RefuseForGood, Say: replies.Spoofed.Say(mailbox.DomainOf(q.Sender)), Notes: notes}
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
	a.policy.limiter.Settle(&a.slowing, false, 0)
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
