package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
)

func enforcing(s Settings) Settings {
	s.Containment.Policy = contain.DefaultNumbers()
	s.Containment.Policy.Enforce.On = true
	s.Containment.Pool = "quarantine"
	return s
}

// abuse sends mails of which two of five recipients do not exist, over three MXs, a second apart. It counts what became of them.
func abuse(r *rig, from string, mails int) (passed, diverted, deferred int) {
	var visits []*visit
	for _, to := range []string{"192.0.2.25", "198.51.100.25", "203.0.113.99"} {
		v, _ := r.enter("10.0.1.1", addrPort(to))
		visits = append(visits, v)
	}
	for i := range mails {
		name := fmt.Sprintf("victim%d@example.net", i)
		replies := map[string]string{}
		if i%5 < 2 {
			replies[name] = "recipient_invalid"
		}
		s := visits[i%3].send(from, []string{name}, replies)
		switch {
		case s.refused.Refuse != session.RefuseNot:
			deferred++
		case s.pool == "quarantine":
			diverted++
		default:
			passed++
		}
		r.Pass(time.Second)
	}
	for _, v := range visits {
		v.Close()
	}
	return passed, diverted, deferred
}

// An account that sends to people who do not exist is slowed, diverted and stopped; its tenant and the others are left alone.
func TestAbuseIsContained(t *testing.T) {
	r := newRig(t, enforcing(settingsWith()), nil)
	passed, diverted, deferred := abuse(r, "bad@acme.example", 5000)
	t.Logf("of 5000 mails %d passed, %d were diverted, %d deferred", passed, diverted, deferred)
	if passed > 500 || deferred < 4000 {
		t.Error("not contained")
	}
	v, _ := r.enter("10.0.1.1", mx)
	if s := v.send("good@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot || s.pool != "" {
		t.Errorf("another account of the tenant: %+v", s)
	}
	if s := v.send("bad@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNow || !s.refused.Say.Of(replies.Stopped) && !s.refused.Say.Of(replies.Slowed) {
		t.Errorf("the account itself: %+v", s)
	}
	last := v.notes[len(v.notes)-1]
	if !strings.HasPrefix(last.Rule, "containment: ") || last.Why == "" {
		t.Errorf("the record does not say why: %+v", last)
	}
	v.Close()
}

// Without enforcement all of it passes, and the records tell what would have been.
func TestContainmentOnlyObserved(t *testing.T) {
	s := enforcing(settingsWith())
	s.Containment.Policy.Enforce.On = false
	r := newRig(t, s, nil)
	if passed, diverted, deferred := abuse(r, "bad@acme.example", 2000); passed != 2000 {
		t.Errorf("%d passed, %d diverted, %d deferred", passed, diverted, deferred)
	}
	v, _ := r.enter("10.0.1.1", mx)
	v.send("bad@acme.example", rcpt, nil)
	v.send("bad@acme.example", rcpt, nil)
	if got := did(v.notes); !strings.HasPrefix(got, "would_") || strings.Contains(got, ",") {
		t.Errorf("told: %q, want one thing that would be done", got)
	}
	v.Close()
}

// Whether a mail's sender is contained is asked when the mail is refused: enforced or not, and of that mail's sender alone.
//
// law: I19
func TestASuspectGetsNoOtherSendingIP(t *testing.T) {
	for _, enforced := range []bool{true, false} {
		s := enforcing(settingsWith())
		s.Containment.Policy.Enforce.On = enforced
		r := newRig(t, s, nil)
		v, _ := r.enter("10.0.1.1", mx)
		asked := func(sender string) bool {
			v.Ask(session.Question{Step: event.StepMail, Sender: sender})
			return v.Ask(session.Question{Step: event.StepRescue}).Contained
		}
		if v.Ask(session.Question{Step: event.StepRescue}).Contained || asked("bad@acme.example") {
			t.Error("contained before anything was refused")
		}
		abuse(r, "bad@acme.example", 2000)
		if !v.Ask(session.Question{Step: event.StepRescue}).Contained {
			t.Errorf("enforced %t: not contained in the middle of a mail", enforced)
		}
		if asked("good@acme.example") {
			t.Errorf("enforced %t: another account of the tenant is taken for contained", enforced)
		}
		v.Tell(session.News{Step: event.StepOver})
		if v.Ask(session.Question{Step: event.StepRescue}).Contained {
			t.Errorf("enforced %t: what a session without a mail meets is its last sender's", enforced)
		}
		v.Close()
	}
}

// Whom evidence contains, and whom a person blocks, stands in kanmon's own log with its name, its tenant and why: whoever looks there for
// why mail waits finds it.
//
// firstday-12
func TestTheLogNamesWhoIsContained(t *testing.T) {
	r := newRig(t, enforcing(settingsWith()), nil)
	abuse(r, "bad@acme.example", 500)
	if err := r.Block(contain.Subject{Tenant: "acme", Account: "other@acme.example"}, time.Time{}, "alice", "stolen"); err != nil {
		t.Fatal(err)
	}
	for range 200 { // and down again
		r.Pass(time.Hour)
		r.detector.Tick()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`level=WARN msg="containment changed" tenant=acme account=bad@acme.example from=normal to=slow in_force=slow by=evidence why=`,
		`level=INFO msg="containment changed" tenant=acme account=bad@acme.example from=slow to=normal in_force=normal by=quiet why=`,
		`msg="sender changed" by=alice tenant=acme account=other@acme.example did=block`,
	} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("no line with %s in\n%s", want, r.out.String())
		}
	}
	if n := strings.Count(r.out.String(), "other@acme.example"); n != 1 {
		t.Errorf("%d lines of one order", n)
	}
}

// However many accounts of a tenant are contained, its lines are bounded, and another tenant's are not crowded out.
func TestContainmentDoesNotFloodTheLog(t *testing.T) {
	r := newRig(t, enforcing(settingsWith()), nil)
	for i := range 1000 {
		r.tellContained(contain.Decision{At: r.Now(), To: contain.Slow, By: "evidence", Subject: contain.Subject{Tenant: "acme", Account: fmt.Sprintf("a%d@acme.example", i)}})
	}
	r.tellContained(contain.Decision{At: r.Now(), To: contain.Slow, By: "evidence", Subject: contain.Subject{Tenant: "blue", Account: "b@blue.example"}})
	r.Pass(time.Minute)
	r.tellContained(contain.Decision{At: r.Now(), To: contain.Slow, By: "evidence", Subject: contain.Subject{Tenant: "acme", Account: "last@acme.example"}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(r.out.String(), "tenant=acme"); n > 50 || !strings.Contains(r.out.String(), "b@blue.example") || !strings.Contains(r.out.String(), "left_out=980") {
		t.Errorf("%d lines:\n%s", n, r.out.String())
	}
}

// Each tenant has its lines, however many are configured at a start or with a reload.
func TestEachTenantHasItsLines(t *testing.T) {
	const many = contain.DefaultMaxTenants + 2_000
	s := enforcing(settingsWith())
	for i := range many {
		s.Tenants = append(s.Tenants, fmt.Sprint("t", i))
	}
	for _, reloads := range []bool{false, true} {
		first := s
		if reloads {
			first.Tenants = s.Tenants[:2]
		}
		r := newRig(t, first, nil)
		if err := r.Configure(s); err != nil {
			t.Fatal(err)
		}
		for _, tenant := range s.Tenants {
			r.tellContained(contain.Decision{At: r.Now(), To: contain.Slow, By: "evidence", Subject: contain.Subject{Tenant: tenant}})
		}
		if n := r.lines.Len(); n != len(s.Tenants) {
			t.Errorf("reloaded %t: lines of %d tenants are counted, of %d", reloads, n, len(s.Tenants))
		}
	}
}

// Levels survive a restart; a block by hand holds whatever is enforced, and ends when it is said to.
func TestBlockByHand(t *testing.T) {
	store := &memory{}
	s := settingsWith()
	r := newRig(t, s, store)
	acme := contain.Subject{Tenant: "acme"}
	if err := r.Block(acme, r.Now().Add(time.Hour), "alice", "invoice"); err != nil {
		t.Fatal(err)
	}
	v, d := r.enter("10.0.1.1", mx)
	if d.Refuse != session.RefuseNow || d.Say.String() != "sending from your organisation is blocked by this mail service until "+r.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04 UTC")+"; your mail stays queued; contact the service's support" || len(d.Notes) != 1 || d.Notes[0].Rule != "containment: stop" {
		t.Errorf("the MX is connected to for nothing: %+v", d)
	}
	if got := v.send("a@acme.example", rcpt, nil); !got.refused.Say.Of(replies.Blocked) {
		t.Errorf("not blocked: %+v", got)
	}
	blue, _ := r.enter("10.0.2.1", mx)
	if got := blue.send("a@blue.example", rcpt, nil); got.refused.Refuse != session.RefuseNot {
		t.Errorf("another tenant: %+v", got)
	}
	blue.Close()
	for range 61 { // a leap of the clock would free nobody
		r.Pass(time.Minute)
		r.detector.Tick()
	}
	if got := v.send("a@acme.example", rcpt, nil); got.refused.Refuse != session.RefuseNot {
		t.Errorf("after its end: %+v", got)
	}
	v.Close()
	if err := r.Block(contain.Subject{Tenant: "acne"}, time.Time{}, "alice", ""); !errors.Is(err, ErrTenant) {
		t.Errorf("a tenant that there is not: %v", err)
	}
}

// Mail of nobody gets 451. Where the sender may tell, it is waited for; a sender of another tenant's domain is told of, or refused.
func TestWhoseMail(t *testing.T) {
	r := newRig(t, settingsWith(rule("hour", limit.PerTenant, 1)), nil)
	if _, d := r.enter("10.0.9.1", mx); d.Refuse != session.RefuseNow || d.Say.String() != "mail server 10.0.9.1 is not registered at this gateway; your mail stays queued; contact the mail service's support" {
		t.Errorf("a stranger: %+v", d)
	}
	shared, d := r.enter("10.0.3.1", mx)
	if d.Refuse != session.RefuseNot {
		t.Errorf("behind a shared source: %+v", d)
	}
	for _, from := range []string{"a@acme.example", "a@blue.example"} { // each has a limit of its own
		if s := shared.send(from, rcpt, nil); s.refused.Refuse != session.RefuseNot {
			t.Errorf("%s: %+v", from, s.refused)
		}
		if s := shared.send(from, rcpt, nil); s.refused.Refuse != session.RefuseNow {
			t.Errorf("%s, the second: %+v", from, s.refused)
		}
	}
	if s := shared.send("a@nobody.example", rcpt, nil); s.refused.Refuse != session.RefuseNow || !strings.HasPrefix(s.refused.Say.String(), "sender domain nobody.example is not registered for mail server 10.0.3.1;") {
		t.Errorf("nobody's: %+v", s.refused)
	}
	acme, _ := newRig(t, settingsWith(), nil).enter("10.0.1.1", mx)
	if s := acme.send("a@blue.example", rcpt, nil); s.refused.Refuse != session.RefuseNot || did(acme.notes) != "spoofed by spoofing" {
		t.Errorf("%+v, told %s", s.refused, did(acme.notes))
	}
	strict := settingsWith()
	strict.RefuseSpoofing = true
	r2 := newRig(t, strict, nil)
	v, _ := r2.enter("10.0.1.1", mx)
	if s := v.send("a@blue.example", rcpt, nil); s.refused.Refuse != session.RefuseForGood {
		t.Errorf("%+v", s.refused)
	}
	for _, one := range []*visit{shared, acme, v} {
		one.Close()
	}
}

// A sender that MXs refuse at MAIL already is seen to be refused; the same mail, tried again and again as queues do, is one.
func TestSenderIsRefusedAtMail(t *testing.T) {
	for _, c := range []struct {
		name string
		to   func(i int) string
		code int
		want contain.Level
	}{
		{"many mails", func(i int) string { return fmt.Sprintf("b%d@example.net", i) }, 550, contain.Slow},
		{"one mail put off", func(int) string { return "b@example.net" }, 450, contain.Normal},
		{"one mail put off, no recipient told", func(int) string { return "" }, 450, contain.Normal},
		{"mail after mail to the same", func(int) string { return "b@example.net" }, 550, contain.Slow},
	} {
		r := newRig(t, settingsWith(), nil)
		for i := range 120 {
			v, _ := r.enter("10.0.1.1", []netip.AddrPort{mx, other}[i%2])
			v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
			v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
			if to := c.to(i); to != "" {
				v.ask(session.Question{Step: event.StepRecipient, Recipient: to})
			}
			v.Tell(session.News{Step: event.StepMail, Code: c.code, Class: event.SenderRejected, Text: []byte("550 5.7.1 your domain is not welcome"), SendingIP: ours})
			v.Tell(session.News{Step: event.StepOver})
			v.Close()
			if r.Pass(time.Second); c.code/100 == 4 {
				r.Pass(5 * time.Minute)
			}
		}
		if x := r.Explain(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); x.Level != c.want {
			t.Errorf("%s: %v, want %v: %+v", c.name, x.Level, c.want, x.Readings)
		}
	}
}
