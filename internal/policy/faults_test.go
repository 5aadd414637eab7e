package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/who/whose"
)

var second = netip.MustParseAddr("203.0.113.11")

// used gives how much of a tenant's, or an account's, limit is used.
func (r *rig) used(s contain.Subject, name string) int64 {
	r.t.Helper()
	for _, u := range r.Usages(s) {
		if u.Rule.Name == name {
			return u.Used
		}
	}
	r.t.Fatalf("%v has no limit %s", s, name)
	return 0
}

// usedBy gives how much of a limit of a (sending IP × provider) is used.
func (r *rig) usedBy(l *Limit, ip string) int64 {
	return r.limiter.Explain([]limit.Want{{Limit: l.Limit, Subject: limit.Subject{Of: ip, To: "mx:192.0.2.25"}, N: 1}})[0].Used
}

// A mail that is to go on from another sending IP, which has no room, goes on from its own and is counted there, with all that it is.
func TestRescueThatHasNoRoom(t *testing.T) {
	for _, action := range []limit.Action{limit.Defer, limit.Delay} {
		tenant, ip := rule("tenant", limit.PerTenant, 10), rule("ip", limit.PerIPProvider, 2)
		ip.Action = action
		places := rule("places", limit.PerIPProvider, 5, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
		r := newRig(t, settingsWith(tenant, ip, places), nil)
		full, _ := r.enter("10.0.2.1", mx)
		for range 2 {
			full.ask(session.Question{Step: event.StepMail, Sender: "a@blue.example"})
			full.ask(session.Question{Step: event.StepLeave, SendingIP: second})
			full.Tell(session.News{Step: event.StepMessage, Code: 250, SendingIP: second})
		}
		v, _ := r.enter("10.0.1.1", mx)
		v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
		v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
		v.Tell(news(event.StepRecipient, ""))
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "c@example.net"})
		if d := v.Ask(session.Question{Step: event.StepLeave, SendingIP: second, Instead: true}); d.Refuse != session.RefuseNow || d.Again || d.Delay > 0 {
			t.Errorf("%d: %+v", action, d)
		} else if len(d.Notes) != 1 || d.Notes[0].Did != "passed_over" { // the mail is not what is refused
			t.Errorf("%d: it is told as %+v", action, d.Notes)
		}
		v.Tell(news(event.StepRecipient, "ip_blocklisted"))
		v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 10, Recipients: 1, SendingIP: ours})
		if n, m := r.used(contain.Subject{Tenant: "acme"}, "tenant"), r.usedBy(ip, ours.String()); n != 1 || m != 1 {
			t.Errorf("%d: %d counted for the tenant, %d for the sending IP, want 1 and 1", action, n, m)
		}
		if n, m := r.usedBy(places, ours.String()), r.usedBy(places, second.String()); n != 1 || m != 1 {
			t.Errorf("%d: sessions of the IPs: %d and %d, want 1 and 1", action, n, m)
		}
		if x := r.Explain(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); x.Day.Tried != 2 || x.Day.Delivered != 1 {
			t.Errorf("%d: evidence %+v", action, x.Day)
		}
		if len(r.delayedNow) != 0 {
			t.Errorf("%d: held: %v", action, r.delayedNow)
		}
		v.Close()
		full.Close()
		if n, m := r.usedBy(places, ours.String()), r.usedBy(places, second.String()); n+m != 0 {
			t.Errorf("%d: sessions of the IPs after the last one: %d and %d", action, n, m)
		}
	}
}

// A mail whose DATA is refused and then taken is counted, and so is one that gets its recipients only then.
func TestDataAgainIsCounted(t *testing.T) {
	l := rule("hour", limit.PerAccount, 5)
	r := newRig(t, settingsWith(l), nil)
	v, _ := r.enter("10.0.1.1", mx)
	passed := 0
	for range 20 {
		if d := v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); d.Refuse != session.RefuseNot {
			continue
		}
		passed++
		v.Tell(session.News{Step: event.StepMail, Code: 250})
		v.Tell(session.News{Step: event.StepData, Code: 503, Class: event.SystemError})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
		v.Tell(news(event.StepRecipient, ""))
		v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 10, Recipients: 1})
		v.Tell(session.News{Step: event.StepOver})
	}
	if x := r.Explain(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); passed != 5 || x.Day.Delivered != 5 || x.Day.Tried != 5 {
		t.Errorf("%d passed, %+v", passed, x.Day)
	}
	// Given up instead, it is given back.
	r.Pass(time.Hour)
	for range 10 {
		v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
		v.Tell(session.News{Step: event.StepMail, Code: 250})
		v.Tell(session.News{Step: event.StepData, Code: 451, Class: event.Greylisted})
		v.Tell(session.News{Step: event.StepOver})
	}
	if n := r.used(contain.Subject{Tenant: "acme", Account: "a@acme.example"}, "hour"); n != 0 {
		t.Errorf("%d counted of mails that were not taken", n)
	}
	v.Close()
}

// A mail that goes on from another sending IP counts for that one; where that comes to nothing, for its own. So do sessions.
func TestRescueIsCountedWhereTheMailLeaves(t *testing.T) {
	for _, rescued := range []bool{true, false} {
		ip := rule("ip", limit.PerIPProvider, 10)
		places := rule("places", limit.PerIPProvider, 5, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
		r := newRig(t, settingsWith(ip, places), nil)
		v, _ := r.enter("10.0.1.1", mx)
		v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
		v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
		if d := v.Ask(session.Question{Step: event.StepLeave, SendingIP: second, Instead: true}); d.Refuse != session.RefuseNot {
			t.Fatalf("%+v", d)
		}
		from, not := ours, second
		if rescued {
			from, not = second, ours
		}
		v.Tell(session.News{Step: event.StepRecipient, Code: 250, SendingIP: from})
		v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 10, Recipients: 1, SendingIP: from})
		for _, l := range []*Limit{ip, places} {
			if n, m := r.usedBy(l, from.String()), r.usedBy(l, not.String()); n != 1 || m != 0 {
				t.Errorf("rescued %t, %s: %d for the IP that it left from, %d for the other", rescued, l.Rule().Name, n, m)
			}
		}
		v.Close()
	}
}

// Whoever was held is not any more, however that ended, and for the tenant that it was.
func TestHeldSessionsAreLetGo(t *testing.T) {
	slow := rule("slow", limit.PerTenant, 6, func(r *limit.Rule) { r.Per, r.Burst = time.Minute, 1 })
	slow.Action, slow.Tenants = limit.Delay, []string{"acme"}
	r := newRig(t, settingsWith(slow), nil)
	v, _ := r.enter("10.0.3.1", mx) // behind a shared source
	v.send("a@acme.example", rcpt, nil)
	if d := v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); !d.Again {
		t.Fatalf("not held: %+v", d)
	}
	v.Tell(session.News{Step: event.StepGivenUp})
	if len(r.delayedNow) != 0 {
		t.Errorf("given up, and held: %v", r.delayedNow)
	}
	if n := r.used(contain.Subject{Tenant: "acme"}, "slow"); n != 1 {
		t.Errorf("%d counted, want 1", n)
	}
	// A reload makes the source another tenant's while it waits: this session stays under the settings that it began under.
	if d := v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); !d.Again {
		t.Fatalf("not held: %+v", d)
	}
	next := settingsWith(slow)
	next.Identify = func(session.Origin, *string) *whose.Owner { return &whose.Owner{Tenant: "blue"} }
	if err := r.Configure(next); err != nil {
		t.Fatal(err)
	}
	if d := v.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); !d.Again {
		t.Fatalf("not held: %+v", d)
	}
	if v.Close(); len(r.delayedNow) != 0 {
		t.Errorf("after a reload, held: %v", r.delayedNow)
	}
	later, _ := r.enter("10.0.3.1", mx)
	defer later.Close()
	if d := later.Ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}); d.Again || d.Refuse != session.RefuseNot {
		t.Fatalf("a session behind the reload: %+v", d)
	}
}

// One session with the mail of ever new accounts does not fill the memory of all: what it holds of them is bounded.
func TestSessionOfManyAccounts(t *testing.T) {
	places := rule("places", limit.PerAccount, 5, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
	all := rule("all", limit.PerTenant, 1, func(r *limit.Rule) { r.Measure, r.Per, r.Burst = limit.Sessions, 0, 0 })
	r := newRig(t, settingsWith(places, all), nil)
	v, _ := r.enter("10.0.1.1", mx)
	const accounts = 10_000
	for i := range accounts {
		if d := v.ask(session.Question{Step: event.StepMail, Sender: fmt.Sprintf("a%d@acme.example", i)}); d.Refuse != session.RefuseNot {
			t.Fatalf("%d: %+v", i, d)
		}
	}
	held := 0
	for i := range accounts {
		held += int(r.used(contain.Subject{Tenant: "acme", Account: fmt.Sprintf("a%d@acme.example", i)}, "places"))
	}
	if held > 2*maxTold || held == 0 {
		t.Errorf("the session counts for %d accounts", held)
	}
	if n := r.used(contain.Subject{Tenant: "acme"}, "all"); n != 1 {
		t.Errorf("and %d times for its tenant", n)
	}
	v.Close()
	if n := r.used(contain.Subject{Tenant: "acme", Account: fmt.Sprintf("a%d@acme.example", accounts-1)}, "places"); n != 0 {
		t.Errorf("%d sessions after the last one", n)
	}
}

// A limit that blocks does it once, however much is refused before the sender has noticed, and the audit can be shown to a person.
func TestLimitBlocksOnce(t *testing.T) {
	l := rule("rcpts", limit.PerAccount, 1, func(r *limit.Rule) { r.Measure = limit.Recipients })
	l.Action = limit.Block
	store := &memory{}
	r := newRig(t, settingsWith(l), store)
	v, _ := r.enter("10.0.1.1", mx)
	v.send("a\u202ex@acme.example", many(1000), nil)
	v.Close()
	if n := len(r.detector.Decisions(0)); n != 1 {
		t.Errorf("%d decisions", n)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(store.changes) != 1 || store.changes[0].Subject.Account != "a?x@acme.example" {
		t.Errorf("audit: %d lines, the first %+v", len(store.changes), store.changes[:min(1, len(store.changes))])
	}
}

// What an operator sets while the configuration is reloaded does not bring the old one back.
func TestLimitByHandDuringAReload(t *testing.T) {
	r := newRig(t, settingsWith(rule("hour", limit.PerAccount, 2)), nil)
	acme := contain.Subject{Tenant: "acme"}
	for i := range 3000 {
		next := settingsWith(rule("hour", limit.PerAccount, 2))
		next.Tenants = append(next.Tenants, fmt.Sprint("t", i))
		done := make(chan error)
		go func() { done <- r.SetLimit(acme, "hour", int64(i+1), "alice", "") }()
		if err := r.Configure(next); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Tenants(), next.Tenants) {
			t.Fatalf("reload %d is lost: tenants %q", i, r.Tenants())
		}
	}
}

// The word of another kanmon on the way is no evidence.
func TestOwnRepliesAreNoEvidence(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	for _, name := range many(40) {
		v.ask(session.Question{Step: event.StepRecipient, Recipient: name})
		v.Tell(session.News{
			Step: event.StepRecipient, Code: 451, Class: event.RecipientInvalid, Own: true,
			Text: []byte("451 4.7.1 kanmon: mail server 10.0.9.1 is not registered at this gateway; your mail stays queued"),
		})
	}
	v.Close()
	if x := r.Explain(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); x.Day.Unknown != 0 || len(x.Samples) != 0 {
		t.Errorf("evidence: %+v", x.Day)
	}
}

// A recipient that is named twice does not make all messages look like one that is tried again.
func TestRefusedMessagesAreToldApart(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for _, name := range many(20) {
		for range 5 { // its MSA tries again
			v.send("a@acme.example", []string{name, name}, map[string]string{"": "now content_rejected"})
		}
		v.send("a@acme.example", []string{name, name}, map[string]string{"": "content_rejected"})
	}
	v.Close()
	if x := r.Explain(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); x.Day.Content != 20 {
		t.Errorf("of 20 messages %d are refused", x.Day.Content)
	}
}

// While it is not known which account sends, the replies to a thousand recipients are kept. An MX does not make them large.
func TestRepliesThatWaitForAnAccountAreShort(t *testing.T) {
	s := settingsWith()
	s.Accounts = func(string) *Accounts { return &Accounts{Header: "X-Sent-By"} }
	r := newRig(t, s, nil)
	v, _ := r.enter("10.0.1.1", mx)
	v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	large := []byte("550 5.1.1 " + strings.Repeat("no such user ", 5000))
	for _, name := range many(1000) {
		v.ask(session.Question{Step: event.StepRecipient, Recipient: name})
		v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid, Text: large})
	}
	kept := 0
	for _, event := range v.Pass.(*pass).events {
		if event != nil {
			kept += len(event.Sample)
		}
	}
	if kept > 1000*sampleOctets || kept == 0 {
		t.Errorf("%d octets of replies are kept", kept)
	}
	v.Close()
}

// Where the message names the account, the sending IP has been chosen: nothing is diverted any more, and no record says so.
func TestNamedAccountIsNotDiverted(t *testing.T) {
	s := enforcing(settingsWith())
	s.Containment.SlowRate = 100_000
	s.Accounts = func(string) *Accounts { return &Accounts{Header: "X-Sent-By"} }
	r := newRig(t, s, nil)
	bob := contain.Subject{Tenant: "acme", Account: "bob"}
	if err := r.detector.Restore(contain.Snapshot{
		Version: contain.SnapshotVersion, At: r.Now(), Subjects: []contain.Saved{{Subject: bob, Level: contain.Divert, Outcomes: true}},
	}); err != nil {
		t.Fatal(err)
	}
	v, _ := r.enter("10.0.1.1", mx)
	v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
	v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
	if d := v.ask(session.Question{Step: event.StepAccount, Fields: saying("bob")}); d.Pool != "" || did(d.Notes) != "" {
		t.Errorf("pool %q, told %s", d.Pool, did(d.Notes))
	}
	v.Close()
}

// flaky is a Store that fails a number of times.
type flaky struct {
	memory
	failures int
}

func (f *flaky) Keep(ctx context.Context, changes []Change, part *Part) error {
	if f.failures--; f.failures >= 0 {
		return errors.New("disk I/O error")
	}
	return f.memory.Keep(ctx, changes, part)
}

// A decision that could not be saved, because somebody copies the file, is saved soon after, not with the counts.
func TestDecisionIsSavedSoonAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{failures: 1}
		p, err := New(Options{Settings: settingsWith(), Store: store})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.detector.Block(contain.Subject{Tenant: "acme"}, time.Time{}, "evidence", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*saveEvery + time.Second)
		if s, found, _ := store.Load(); !found || len(s.Containment.Subjects) != 1 {
			t.Errorf("after %s: %+v", 2*saveEvery, s.Containment)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Without a file there is no audit, and whoever asks for it is told so: an empty one would say that nobody has changed anything.
func TestAuditNeedsAFile(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	if changes, err := r.Audit(contain.Subject{}, netip.Addr{}, 10); !errors.Is(err, ErrNoStore) {
		t.Errorf("%v, %v", changes, err)
	}
}
