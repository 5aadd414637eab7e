package policy

import (
	"log/slog"
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// contained does what the detector has come to about the mail's sender.
func (a *pass) contained(d *session.Decision, step event.Step) {
	answer := a.standing()
	if answer.Would > answer.Level {
		a.wouldContain(d, answer)
	}
	switch answer.Level {
	case contain.Stop:
		d.Refuse, d.Say = session.RefuseNow, a.stopped(answer)
		a.noteContained(d, answer, "deferred")
	case contain.Divert:
		if pool := a.set.Containment.Pool; pool != "" && step == event.StepMail { // later the sending IP has been chosen
			d.Pool = pool
			a.noteContained(d, answer, "diverted")
		}
		a.slow(d, answer)
	case contain.Slow:
		a.slow(d, answer)
	}
}

// stopped is what a sender is told none of whose mail may pass. Who and why is in the records, and in kanmon account explain.
func (a *pass) stopped(answer contain.Answer) replies.Said {
	sending := "sending from this account"
	if answer.Tenant {
		sending = "sending from your organisation"
	}
	if !answer.Hand {
		return replies.Stopped.Say(sending)
	}
	until := ""
	if end := a.policy.detector.BlockedUntil(a.subject(answer)); !end.IsZero() {
		until = " until " + end.UTC().Format("2006-01-02 15:04 UTC")
	}
	return replies.Blocked.Say(sending, until)
}

// sender is how a tenant's postmaster calls an account, or the tenant.
func sender(tenant bool) string {
	if tenant {
		return "your organisation"
	}
	return "this account"
}

// standing returns what the detector says of the sender. Where a person has blocked it by another of its names, that
// holds, too: by one that was not folded then, as a stranger whose mail is forwarded, or with all accounts of its
// domain.
func (a *pass) standing() contain.Answer {
	names := a.names()
	answer, name := a.policy.detector.AskAs(a.tenant, names[0], names[1:]...)
	a.metAs = uint8(name + 1) //nolint:gosec // there are four
	return answer
}

// names are by what a person may have blocked the sender; the first one is the account that its mail counts for.
func (a *pass) names() [4]string {
	return [4]string{a.account, a.folded, a.spelled, domainPart(a.folded)}
}

// domainPart returns "@" and the domain of an account, by which all accounts of that are called; "" for one without a domain.
func domainPart(account string) string {
	if at := strings.LastIndexByte(account, '@'); at > 0 {
		return account[at:]
	}
	return ""
}

// suspect reports whether the sender of the mail at hand is contained at all, or would be if containment were enforced: what was refused
// is then rather the sender's doing than the sending IP's. To be wrong here costs the mail a retry; to be wrong the other way costs
// another sending IP its reputation, so neither the level nor whether it is enforced makes a difference.
func (a *pass) suspect() bool {
	if a.tenant == "" {
		return false
	}
	account := ""
	if a.begun {
		account = a.account
	}
	answer := a.policy.detector.Ask(a.tenant, account)
	return max(answer.Level, answer.Would) > contain.Normal
}

// slow lets a contained sender's mail pass at a rate of its own, which is not the limits': also what the MX refuses has passed.
func (a *pass) slow(d *session.Decision, answer contain.Answer) {
	subject, set := a.slowed(answer), a.policy.settings.Load() // of the numbers of containment the newest hold
	v := a.policy.limiter.Take([]limit.Want{{Limit: set.limitFor(set.slow, a), Subject: subject, N: 1}}, &a.slowing)
	if v.OK {
		return
	}
	d.Refuse = session.RefuseNow
	d.Say = replies.Slowed.Say(sender(answer.Tenant), inWords(v.Wait))
	did := "deferred"
	if a.hold(d, v.Wait, place{heldFor{subject, true}, usefullyHeld(v.Limit.Rule())}) {
		if a.waiting {
			return
		}
		a.waiting, did = true, "delayed"
	}
	a.noteContained(d, answer, did)
}

// slowed is whose rate it is.
func (a *pass) slowed(answer contain.Answer) limit.Subject {
	if answer.Tenant {
		return limit.Subject{Of: a.tenant}
	}
	return limit.Subject{Of: a.account, To: a.tenant}
}

// usefullyHeld is how many sessions of a contained sender there will be room for while they may be held. More would only keep the
// MSA, which has so many processes and no more, from the mail of its other accounts.
func usefullyHeld(r limit.Rule) int {
	return int(min(maxHeld, max(1, float64(r.Amount)*patience.Seconds()/r.Per.Seconds())))
}

func (a *pass) noteContained(d *session.Decision, answer contain.Answer, did string) {
	n := event.Note{Did: did, Tenant: a.tenant, Account: a.account, Rule: "containment: " + answer.Level.String()}
	if a.once(did + " " + a.account) {
		if last := a.policy.detector.Explain(a.subject(answer)).Last; last != nil {
			n.Why = last.Why
		}
	}
	d.Notes = append(d.Notes, n)
}

// wouldContain tells what is not enforced, once for each session and level.
func (a *pass) wouldContain(d *session.Decision, answer contain.Answer) {
	answer.Level = answer.Would
	did := map[contain.Level]string{contain.Slow: "would_delay", contain.Divert: "would_divert", contain.Stop: "would_defer"}[answer.Would]
	if !slices.Contains(a.told, did+" "+a.account) {
		a.noteContained(d, answer, did)
	}
}

// once reports whether it is asked about this for the first time in the session.
func (a *pass) once(about string) bool {
	if slices.Contains(a.told, about) {
		return false
	}
	if len(a.told) < maxTold {
		a.told = append(a.told, about)
	}
	return true
}

// maxTold bounds what a session of many senders remembers, and holds.
const maxTold = 64

func (a *pass) subject(answer contain.Answer) contain.Subject {
	s := contain.Subject{Tenant: a.tenant, Account: a.names()[a.metAs]}
	if answer.Tenant {
		s.Account = ""
	}
	return s
}

// blockFor blocks whoever a limit counts: the account, or the tenant. Who is blocked already, by a mail beside or by a person, stays so.
func (p *Policy) blockFor(a *pass, l *Limit) {
	s := contain.Subject{Tenant: a.tenant}
	if l.Rule().Scope.Of() == limit.OfAccount {
		s.Account = a.account
	}
	by, why := "limit "+l.Rule().Name, "the limit was reached"
	before := p.stateText(s)
	switch done, err := p.detector.BlockByRule(s, by, why); {
	case err != nil:
		p.tell(slog.LevelError, "sender not blocked", "tenant", s.Tenant, "limit", l.Rule().Name, "error", err)
		return
	case !done:
		return
	}
	s = p.detector.Explain(s).Subject // as it is kept: fit to be shown
	c := p.stamped(Change{By: by, Subject: s, Did: "block", Before: before, After: p.stateText(s), Why: why, Rule: true, Cause: a.cause()})
	ordered := due{Change: c, order: p.senderNow(s)}
	if p.store == nil {
		p.tellKept([]due{ordered})
		return
	}
	select {
	case p.pending <- ordered: // a session does not wait for the disk
	default:
		p.tellUnkept(&ordered)
		p.tell(slog.LevelError, "audit not written: too many changes at once")
	}
}
