package policy

import (
	"fmt"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

// refuse does what the strictest limit without room says.
func (a *pass) refuse(d *session.Decision, v *limit.Verdict) {
	l := a.set.Limits[v.Number]
	d.Refuse, d.Say = session.RefuseNow, limitSaid(l, v)
	action := l.Action
	if action == limit.Delay {
		if a.hold(d, v.Wait) {
			if !a.waiting {
				a.note(d, l, v, actionDone[limit.Delay][0])
			}
			a.waiting = true
			return
		}
		action = limit.Defer
	}
	did := actionDone[action][0]
	if a.trying {
		did = passedOver
	}
	a.note(d, l, v, did)
	switch action {
	case limit.Reject:
		d.Refuse = session.RefuseForGood
	case limit.Block:
		a.policy.blockFor(a, l)
		if is := a.standing(); is.Hand { // else it could not be done, and the limit says why the mail waits
			d.Say = a.stopped(is)
		}
	}
}

// note tells of a limit without room, once for each session and limit if it was a rule that only tells.
func (a *pass) note(d *session.Decision, l *Limit, v *limit.Verdict, did string) {
	rule := l.Rule()
	if !l.Enforce {
		if !a.once(rule.Name + " " + a.account) {
			return
		}
	}
	d.Notes = append(d.Notes, event.Note{Did: did, Tenant: a.tenant, Account: a.account, Rule: "limit " + rule.Name, Why: numbers(v)})
}

// numbers are those of a limit, for the record: "1000 of 1000 messages at once, 1000 per hour, room in 12s".
func numbers(v *limit.Verdict) string {
	r := v.Limit.Rule()
	text := fmt.Sprintf("%d of %d %s", v.Used, v.Max, r.Measure)
	if r.Measure != limit.Sessions {
		text += fmt.Sprintf(" at once, %d %s, room in %s", r.Amount, every(r.Per), v.Wait.Round(time.Second))
	}
	return text
}

// limitSaid is for the MSA, and in the end for the tenant's postmaster.
func limitSaid(l *Limit, v *limit.Verdict) replies.Said {
	r, name, forGood := v.Limit.Rule(), l.Rule().Name, l.Action == limit.Reject
	whose := r.Scope.Told()
	if r.Measure == limit.Sessions {
		again := "retry later"
		if forGood {
			again = "the mail was not sent; send it again later"
		}
		return replies.LimitSessions.Say(whose, amountOf(r.Amount, r.Measure), name, again)
	}
	again := "retry in " + inWords(v.Wait)
	if forGood {
		again = "the mail was not sent; send it again in " + inWords(v.Wait)
	}
	much := amountOf(r.Amount, r.Measure) + " " + every(r.Per)
	if v.Spent {
		return replies.LimitAttempts.Say(whose, much, name, again)
	}
	return replies.LimitReached.Say(whose, much, name, again)
}

// amountOf is how much a limit allows: "1 message", "500 messages".
func amountOf(n int64, of limit.Measure) string {
	text := fmt.Sprintf("%d %s", n, of)
	if n == 1 {
		text = strings.TrimSuffix(text, "s")
	}
	return text
}

// every is the time of a limit as somebody would say it: "per hour", "per 10 minutes". A time that is no whole number of minutes is in
// seconds.
func every(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch n := d / unit.of; {
		case d%unit.of != 0:
		case n == 1:
			return "per " + unit.name
		default:
			return fmt.Sprintf("per %d %ss", n, unit.name)
		}
	}
	if d == time.Second {
		return "per second"
	}
	return fmt.Sprintf("per %d seconds", d/time.Second)
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
