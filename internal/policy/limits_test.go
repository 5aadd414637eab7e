package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

var rcpt = []string{"b@example.net"}

// A limit counts what the MX has taken, says which one it was and when to come back, and has room again in time.
func TestLimitIsCounted(t *testing.T) {
	r := newRig(t, settingsWith(rule("hour", limit.PerAccount, 3)), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for range 3 {
		if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("refused within the limit: %+v", s)
		}
	}
	s := v.send("A@acme.example", rcpt, nil)
	if s.refused.Refuse != session.RefuseNow || s.refused.Say.String() != `sending limit reached for this account: 3 messages per hour (limit "hour"); retry in 20 minutes` {
		t.Errorf("the fourth: %+v", s.refused)
	}
	if got := did(v.notes); got != "deferred by limit hour" {
		t.Errorf("told: %s", got)
	}
	if s := v.send("other@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("another account: %+v", s.refused)
	}
	r.Pass(20 * time.Minute)
	if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("after its time: %+v", s.refused)
	}
	v.Close()
}

// What the MX refuses is given back, but for the recipients it was asked for.
func TestRefusedMailIsGivenBack(t *testing.T) {
	recipients := rule("rcpt", limit.PerTenant, 10, func(r *limit.Rule) { r.Measure = limit.Recipients })
	r := newRig(t, settingsWith(rule("hour", limit.PerTenant, 2), recipients), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for range 5 {
		if s := v.send("a@acme.example", rcpt, map[string]string{"b@example.net": "recipient_invalid"}); s.refused.Refuse != session.RefuseNot || s.rcpts != 1 {
			t.Fatalf("%+v", s)
		}
	}
	if s := v.send("a@acme.example", many(9), nil); s.rcpts != 5 {
		t.Errorf("%d recipients, 5 were left of 10", s.rcpts)
	}
	usage := r.Usages(contain.Subject{Tenant: "acme"})
	if len(usage) != 2 || usage[0].Used != 1 || usage[1].Used != 10 {
		t.Errorf("%+v", usage)
	}
	v.Close()
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("rcpt%d@example.net", i))
	}
	return list
}

// However many sessions there are, and however they come and go, no more is admitted than the limit allows.
func TestAdmittedIsWithinTheLimit(t *testing.T) {
	const allowed = 200
	r := newRig(t, settingsWith(rule("tenant", limit.PerTenant, allowed), rule("account", limit.PerAccount, 50)), nil)
	var admitted atomic.Int64
	var sessions sync.WaitGroup
	for i := range 500 {
		sessions.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for range 4 {
				v := &visit{Pass: r.Gate().Enter(session.Origin{Source: addrPort("10.0.1.1"), Destination: mx}), r: r}
				v.ask(session.Question{Step: event.StepConnect})
				for range random.IntN(4) {
					from := fmt.Sprintf("a%d@acme.example", random.IntN(10))
					if v.ask(session.Question{Step: event.StepMail, Sender: from}).Refuse != session.RefuseNot {
						continue
					}
					v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
					if random.IntN(4) == 0 {
						continue // given up, and the next MAIL or the end gives it back
					}
					v.Tell(session.News{Step: event.StepMail, Code: 250})
					v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
					v.Tell(news(event.StepRecipient, ""))
					v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 10})
					admitted.Add(1)
				}
				v.Close()
			}
		})
	}
	sessions.Wait()
	// The last places can be held by mails that are then given up.
	if n := admitted.Load(); n > allowed || n < allowed*9/10 {
		t.Errorf("%d admitted, the limit is %d", n, allowed)
	}
}

// Of several limits without room the one that lasts longest answers.
func TestStrictestLimitAnswers(t *testing.T) {
	minute := rule("minute", limit.PerTenant, 1, func(r *limit.Rule) { r.Per = time.Minute })
	reject := rule("day", limit.PerAccount, 1, func(r *limit.Rule) { r.Per = 24 * time.Hour })
	reject.Action = limit.Reject
	r := newRig(t, settingsWith(minute, reject), nil)
	v, _ := r.enter("10.0.1.1", mx)
	v.send("a@acme.example", rcpt, nil)
	if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseForGood || !strings.Contains(s.refused.Say.String(), `(limit "day"); the mail was not sent; send it again in `) {
		t.Errorf("%+v", s.refused)
	}
	if s := v.send("b@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow || !strings.Contains(s.refused.Say.String(), `"minute"`) {
		t.Errorf("%+v", s.refused)
	}
	v.Close()
}

// A limit that is not enforced changes nothing, and says once a session what it would have done.
func TestLimitOnlyObserved(t *testing.T) {
	l := rule("hour", limit.PerAccount, 1)
	l.Enforce, l.Action = false, limit.Reject
	r := newRig(t, settingsWith(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for range 5 {
		if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("%+v", s.refused)
		}
	}
	if got := did(v.notes); got != "would_reject by limit hour" {
		t.Errorf("told: %s", got)
	}
	v.Close()
}

// Sessions and connections are counted once for a session and tenant, wherever the tenant was found out.
func TestSessionsAreCounted(t *testing.T) {
	sessions := rule("sessions", limit.PerTenant, 2, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
	r := newRig(t, settingsWith(sessions), nil)
	one, d1 := r.enter("10.0.1.1", mx)
	two, d2 := r.enter("10.0.1.2", mx)
	three, d3 := r.enter("10.0.1.3", mx)
	if d1.Refuse != session.RefuseNot || d2.Refuse != session.RefuseNot || d3.Refuse != session.RefuseNow {
		t.Errorf("%+v %+v %+v", d1, d2, d3)
	}
	three.Close()
	for range 5 {
		if s := one.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("counted again at MAIL: %+v", s.refused)
		}
	}
	shared, _ := r.enter("10.0.3.1", mx) // whose it is shows at MAIL
	if s := shared.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow {
		t.Errorf("a third session: %+v", s)
	}
	if s := shared.send("a@blue.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("another tenant's mail in it: %+v", s.refused)
	}
	one.Close()
	if s := shared.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("with room again: %+v", s.refused)
	}
	two.Close()
	shared.Close()
	if used := r.Usages(contain.Subject{Tenant: "acme"})[0].Used; used != 0 {
		t.Errorf("%d sessions after the last one", used)
	}
}

// Bounces, and mail to the platform's own MXs, can be left out of a limit.
func TestExemptions(t *testing.T) {
	l := rule("hour", limit.PerTenant, 1)
	l.ExemptNull, l.ExemptInternal = true, true
	s := settingsWith(l)
	s.Internal = append(s.Internal, prefix("198.51.100.0/24"))
	r := newRig(t, s, nil)
	v, _ := r.enter("10.0.1.1", mx)
	inside, _ := r.enter("10.0.1.1", other)
	for range 5 {
		if s := v.send("", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("a bounce: %+v", s.refused)
		}
		if s := inside.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Fatalf("internal: %+v", s.refused)
		}
	}
	v.send("a@acme.example", rcpt, nil)
	if s := v.send("a@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow {
		t.Errorf("not counted: %+v", s)
	}
	v.Close()
	inside.Close()
}

// Limits by provider, by sending IP, of octets: each counts its own.
func TestScopes(t *testing.T) {
	octets := rule("octets", limit.PerAccount, 2500, func(r *limit.Rule) { r.Measure = limit.Octets })
	for name, c := range map[string]struct {
		limit          *Limit
		mails          int // that pass to the first MX
		elsewhere, two bool
	}{
		"tenant × provider":     {rule("tp", limit.PerTenantProvider, 2), 2, true, true},
		"sending IP × provider": {rule("ip", limit.PerIPProvider, 2), 2, true, false},
		"octets":                {octets, 3, false, true}, // the third begins with 500 left
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, settingsWith(c.limit), nil)
			v, _ := r.enter("10.0.1.1", mx)
			passed := 0
			for range 10 {
				if v.send("a@acme.example", rcpt, nil).refused.Refuse == session.RefuseNot {
					passed++
				}
			}
			w, _ := r.enter("10.0.1.1", other)
			elsewhere := w.send("a@acme.example", rcpt, nil).refused.Refuse == session.RefuseNot
			b, _ := r.enter("10.0.2.1", mx)
			two := b.send("a@blue.example", rcpt, nil).refused.Refuse == session.RefuseNot
			if passed != c.mails || elsewhere != c.elsewhere || two != c.two {
				t.Errorf("%d passed, elsewhere %t, another tenant %t", passed, elsewhere, two)
			}
			v.Close()
			w.Close()
			b.Close()
		})
	}
}

// A clock that is set by years, either way, neither opens nor closes a limit for longer than its own time.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{-3 * 365 * 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
		r := newRig(t, settingsWith(rule("hour", limit.PerAccount, 2)), nil)
		v, _ := r.enter("10.0.1.1", mx)
		passing(v, 5)
		r.Pass(jump)
		if n := passing(v, 5); n > 2 {
			t.Errorf("%s: %d pass", jump, n)
		}
		r.Pass(time.Hour)
		if n := passing(v, 5); n != 2 {
			t.Errorf("%s, an hour later: %d pass, want 2", jump, n)
		}
		v.Close()
	}
}

// A thousand recipients in one mail are each counted.
func TestThousandRecipients(t *testing.T) {
	l := rule("rcpt", limit.PerAccount, 600, func(r *limit.Rule) { r.Measure = limit.Recipients })
	r := newRig(t, settingsWith(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	if s := v.send("a@acme.example", many(1000), nil); s.rcpts != 600 {
		t.Errorf("%d recipients pass, want 600", s.rcpts)
	}
	v.Close()
}

// BenchmarkAsk is a mail with four limits and containment, of 100,000 accounts in turn.
func BenchmarkAsk(b *testing.B) {
	r := newRig(b, settingsWith(rule("t", limit.PerTenant, 1<<40), rule("a", limit.PerAccount, 1<<40),
		rule("tp", limit.PerTenantProvider, 1<<40), rule("ip", limit.PerIPProvider, 1<<40)), nil)
	v, _ := r.enter("10.0.1.1", mx)
	senders := make([]string, 100_000)
	for i := range senders {
		senders[i] = fmt.Sprintf("a%d@acme.example", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.send(senders[i%len(senders)], rcpt, nil)
	}
	v.Close()
}

// Whatever a limit can count, of whomever, is asked about somewhere: a measure or a scope that no step knows would limit nobody without a word.
func TestEveryMeasureOfEveryScopeIsCounted(t *testing.T) {
	for _, scope := range limit.Scope(0).Words() {
		for _, measure := range limit.Measure(0).Words() {
			var s limit.Scope
			var m limit.Measure
			if err := errors.Join(s.UnmarshalText([]byte(scope)), m.UnmarshalText([]byte(measure))); err != nil {
				t.Fatal(err)
			}
			if !s.Counts(m) {
				continue // it is refused where the rule is written
			}
			l := rule("it", s, 1_000_000, func(r *limit.Rule) {
				if r.Measure = m; m == limit.Sessions {
					r.Per, r.Burst = 0, 0
				}
			})
			r := newRig(t, settingsWith(l), nil)
			v, _ := r.enter("10.0.1.1", mx)
			v.send("a@acme.example", rcpt, nil)
			used := int64(0)
			for _, of := range []limit.Subject{{Of: "acme"}, {Of: "a@acme.example", To: "acme"}, {Of: "acme", To: "mx:192.0.2.25"}, {Of: ours.String(), To: "mx:192.0.2.25"}} {
				used += r.limiter.Explain([]limit.Want{{Limit: l.Limit, Subject: of, N: 1}})[0].Used
			}
			if used == 0 {
				t.Errorf("a limit of %s per %s counts nothing", measure, scope)
			}
			v.Close()
		}
	}
}

// Whatever can be done where a limit is reached has its words for the record.
func TestEveryActionHasItsWords(t *testing.T) {
	for _, action := range limit.Action(0).Words() {
		var a limit.Action
		if err := a.UnmarshalText([]byte(action)); err != nil || int(a) >= len(actionDone) || actionDone[a][0] == "" || actionDone[a][1] == "" {
			t.Errorf("%s: %v; refuse.go does not say what was done", action, err)
		}
	}
}
