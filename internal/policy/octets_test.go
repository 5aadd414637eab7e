package policy

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// octets gives a limit of so many octets an hour.
func octets(scope limit.Scope, amount int64) *Limit {
	return rule("octets", scope, amount, func(r *limit.Rule) { r.Measure = limit.Octets })
}

// message plays a mail whose MAIL announces declared octets, 0: none, and of which as many as passed go to the MX, which answers the dot with code.
func (v *visit) message(declared, passed int64, code int) session.Decision {
	if d := v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example", Size: declared}); d.Refuse != session.RefuseNot {
		return d
	}
	if d := v.ask(session.Question{Step: event.StepLeave, SendingIP: ours}); d.Refuse != session.RefuseNot {
		return d
	}
	v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
	v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
	v.Tell(news(event.StepRecipient, ""))
	n := session.News{Step: event.StepMessage, Code: code, Octets: passed, Recipients: 1, SendingIP: ours}
	if code >= 400 {
		n.Class = event.ContentRejected
	}
	v.Tell(n)
	v.Tell(session.News{Step: event.StepOver})
	return session.Decision{}
}

// audit-D19: a limit of octets counts what was delivered, or may have been, as all limits do. What the MX has refused is given back, whether
// MAIL announced it or not, whoever the limit counts.
func TestOctetsOfRefusedMailAreGivenBack(t *testing.T) {
	for _, scope := range []limit.Scope{limit.PerTenant, limit.PerAccount, limit.PerTenantProvider, limit.PerIPProvider} {
		for _, declared := range []int64{0, 900, 1000, 5000} {
			l := octets(scope, 10_000)
			r := newRig(t, settingsWith(l), nil)
			v, _ := r.enter("10.0.1.1", mx)
			used := func() int64 {
				subject := map[limit.Scope]limit.Subject{
					limit.PerTenant: {Of: "acme"}, limit.PerAccount: {Of: "a@acme.example", To: "acme"},
					limit.PerTenantProvider: {Of: "acme", To: "mx:" + mx.Addr().String()}, limit.PerIPProvider: {Of: ours.String(), To: "mx:" + mx.Addr().String()},
				}[scope]
				return r.limiter.Explain([]limit.Want{{Limit: l.Limit, Subject: subject, Member: "acme"}})[0].Used
			}
			for _, mail := range []struct {
				code int
				want int64
			}{{550, 0}, {451, 0}, {250, 1000}, {550, 1000}, {0, 2000}} {
				if d := v.message(declared, 1000, mail.code); d.Refuse != session.RefuseNot {
					t.Fatalf("%s: %+v", scope, d)
				}
				if got := used(); got != mail.want {
					t.Errorf("%s, %d announced, behind a %d: %d octets used, want %d", scope, declared, mail.code, got, mail.want)
				}
			}
			v.Close()
		}
	}
}

// What MXs refuse costs them and kanmon what it costs: like refused recipients it has a bound, five times the limit.
func TestRefusedOctetsAreBounded(t *testing.T) {
	for _, declared := range []int64{0, 1000} {
		r := newRig(t, settingsWith(octets(limit.PerAccount, 10_000)), nil)
		v, _ := r.enter("10.0.1.1", mx)
		passed := 0
		var d session.Decision
		for ; d.Refuse == session.RefuseNot; passed++ {
			d = v.message(declared, 1000, 550)
		}
		if passed != 51 || !strings.HasPrefix(d.Say.String(), "too many attempts by this account: 50000 octets per hour, refused ones included") {
			t.Errorf("%d announced: the %dth of 1,000 octets, of 10,000 that may be delivered, is refused: %s", declared, passed, d.Say)
		}
		r.Pass(time.Hour)
		if d := v.message(declared, 1000, 250); d.Refuse != session.RefuseNot {
			t.Errorf("after its time: %+v", d)
		}
		if u := r.Usages(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); len(u) != 1 || u[0].Used != 1000 {
			t.Errorf("%+v", u)
		}
		v.Close()
	}
}
