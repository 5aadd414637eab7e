package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/limit"
	"kanmon/internal/session"
)

// patience is how long a limit may hold a command back.
const patience = 30 * time.Second

// refuse does what the strictest limit without room says.
func (a *pass) refuse(d *session.Decision, v *limit.Verdict) {
	name := strings.TrimSuffix(v.Limit.Rule().Name, attemptsName)
	i := slices.IndexFunc(a.set.Limits, func(l *Limit) bool { return l.Rule().Name == name })
	l := a.set.Limits[i]
	d.Refuse, d.Text = session.RefuseNow, limitText(v)
	action := l.Action
	if action == Delay {
		if a.hold(d, v.Wait) {
			if !a.waiting {
				a.note(d, l, v, actionDone[Delay][0])
			}
			a.waiting = true
			return
		}
		action = Defer
	}
	a.note(d, l, v, actionDone[action][0])
	switch action {
	case Reject:
		d.Refuse = session.RefuseForGood
	case Block:
		a.policy.blockFor(a, l)
		d.Text = blockedText
	}
}

// hold has the command held for so long and asked again, if that is not too long in all, and there is a place of the tenant's and of those
// given.
func (a *pass) hold(d *session.Decision, wait time.Duration, also ...place) bool {
	wait = max(wait, time.Second)
	if a.trying || a.waited+wait > patience {
		return false
	}
	if len(a.holding) == 0 {
		places := append(also, place{heldFor{subject: limit.Subject{Of: a.tenant}}, maxHeld})
		if !a.policy.delaying(places) {
			return false
		}
		a.holding = places
	}
	a.waited += wait
	d.Delay, d.Again = wait, true
	return true
}

// note tells of a limit without room, once for each session and limit if it was a rule that only tells.
func (a *pass) note(d *session.Decision, l *Limit, v *limit.Verdict, did string) {
	rule := l.Rule()
	if !l.Enforce {
		if !a.once(rule.Name + " " + a.account) {
			return
		}
	}
	d.Notes = append(d.Notes, session.Note{Did: did, Tenant: a.tenant, Account: a.account, Rule: "limit " + rule.Name, Why: numbers(v)})
}

// numbers are those of a limit, for the record: "1000 of 1000 messages in 1h0m0s, room in 12s".
func numbers(v *limit.Verdict) string {
	r := v.Limit.Rule()
	text := fmt.Sprintf("%d of %d %s", v.Used, v.Max, r.Measure)
	if r.Measure != limit.Sessions {
		text += fmt.Sprintf(" at once, %d in %s, room in %s", r.Amount, r.Per, v.Wait.Round(time.Second))
	}
	return text
}

// limitText is for the MSA, and in the end for the tenant's postmaster.
func limitText(v *limit.Verdict) string {
	r := v.Limit.Rule()
	whose := map[limit.Scope]string{
		limit.PerTenant: "of your organisation", limit.PerAccount: "of this sender",
		limit.PerTenantProvider: "of your organisation to this provider", limit.PerIPProvider: "to this provider",
	}[r.Scope]
	if name, tries := strings.CutSuffix(r.Name, attemptsName); tries {
		return fmt.Sprintf("too many attempts at %s %s: limit %q allows %d in %s, whatever becomes of them; try again in %s",
			r.Measure, whose, name, r.Amount, r.Per, inWords(v.Wait))
	}
	if r.Measure == limit.Sessions {
		return fmt.Sprintf("too many sessions %s at once: limit %q allows %d, try again later", whose, r.Name, r.Amount)
	}
	return fmt.Sprintf("too many %s %s: limit %q allows %d in %s, try again in %s", r.Measure, whose, r.Name, r.Amount, r.Per, inWords(v.Wait))
}

// inWords rounds up to what somebody would say.
func inWords(d time.Duration) string {
	switch {
	case d <= time.Minute:
		return "a minute"
	case d <= 90*time.Minute:
		return fmt.Sprintf("%d minutes", (d+time.Minute-1)/time.Minute)
	default:
		return fmt.Sprintf("%d hours", (d+time.Hour-1)/time.Hour)
	}
}
