package policy

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/content"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
)

// scanners say the same of every message, and note whose it was.
type scanners struct {
	say    event.Scan
	asked  []string
	forgot []string
}

func (s *scanners) Inspect(_ context.Context, m inspect.Mail) []event.Scan {
	s.asked = append(s.asked, m.Tenant+"/"+m.Account)
	return []event.Scan{s.say}
}

func (s *scanners) Forget(tenant, account string) { s.forgot = append(s.forgot, tenant+"/"+account) }

// judgeWith makes a judge of all of acme's mail.
func (r *rig) judgeWith(s *scanners, enforce bool) *content.Judge {
	r.t.Helper()
	return content.New(content.Options{
		Settings: content.Settings{
			Enforce: enforce, Hold: 1 << 20, Verdict: time.Minute, Dot: 2 * time.Minute, Scanners: map[string]*content.Scanner{"rspamd": {Largest: 1 << 20}},
			Tenants: map[string]*content.Tenant{"acme": {Mode: content.All, OnReject: event.HandleRefuse, OnVirus: event.HandleRefuse}},
		},
		Scanners: s, Budget: inspect.NewBudget(1 << 20), Memory: content.NewMemory(), Clock: r.Now, Heard: func(o *content.Outcome) { r.Judged(o) },
	})
}

func refused() event.Scan {
	return event.Scan{Scanner: "rspamd", State: event.Scanned, Action: "reject", Score: 20, Threshold: 15}
}

// judged plays a mail as far as its dot, and what is judged of it; behind the MX's reply, if nobody waits.
func (v *visit) judged(from string, fields ...string) (d session.Decision, start session.Start) {
	if d = v.ask(session.Question{Step: event.StepMail, Sender: from}); d.Refuse != session.RefuseNot {
		return d, start
	}
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	v.ask(session.Question{Step: event.StepRecipient, Recipient: "eve@example.net"})
	v.Tell(session.News{Step: event.StepRecipient, Code: 250})
	d = v.ask(session.Question{Step: event.StepContent, Recipients: 1})
	if d.Inspect == nil {
		return d, start
	}
	i := d.Inspect
	i.Room(1, 0)
	start = i.Start()
	if len(fields) > 0 {
		var all []smtp.HeaderField
		for _, text := range fields {
			all = append(all, smtp.HeaderField{Text: text})
		}
		v.ask(session.Question{Step: event.StepAccount, Fields: all})
	}
	i.Judge(session.Message{Session: 7, Number: 2, Sender: from, Recipients: []string{"eve@example.net"}, Octets: 1, Open: func() io.Reader { return strings.NewReader("x") }})
	<-i.Done()
	i.Verdict()
	i.Close(session.Came{})
	v.Tell(session.News{Step: event.StepOver})
	return d, start
}

func TestContentIsJudgedOfTenantsThatHaveItScanned(t *testing.T) {
	set := settingsWith()
	set.Containment.Policy = contain.DefaultNumbers()
	set.Containment.Policy.Enforce.On = true
	r := newRig(t, set, nil)
	s := &scanners{say: refused()}
	judge := r.judgeWith(s, true)
	set.Content = judge
	if err := r.Configure(set); err != nil {
		t.Fatal(err)
	}
	other, _ := r.enter("10.0.2.7", mx)
	if d, _ := other.judged("carol@blue.example"); d.Inspect != nil {
		t.Error("another tenant's mail is scanned")
	}
	v, _ := r.enter("10.0.1.7", mx)
	if !v.ask(session.Question{Step: event.StepMail, Sender: "bob@acme.example"}).Whole || other.ask(session.Question{Step: event.StepMail, Sender: "carol@blue.example"}).Whole {
		t.Error("the envelope of what is scanned, and of that alone, is kept whole")
	}
	v.Tell(session.News{Step: event.StepOver})
	for n := range 3 {
		d, start := v.judged("bob@acme.example")
		if d.Inspect == nil || start.Lane != event.LaneBehind {
			t.Fatalf("mail %d: %+v", n, start)
		}
	}
	judge.Close()
	x := r.Explain(contain.Subject{Tenant: "acme", Account: "bob@acme.example"})
	if x.Level != contain.Divert || x.Last.Reading.Signal != contain.ScannersRefuse || x.Last.Session != 7 {
		t.Errorf("%v, %+v", x.Level, x.Last)
	}
	if x := r.Explain(contain.Subject{Tenant: "acme", Account: "carol@acme.example"}); x.Level != contain.Normal {
		t.Errorf("another account is at %v", x.Level)
	}
	v.Close()
	v, _ = r.enter("10.0.1.7", mx)
	r.Pass(time.Hour) // its slow rate has room again
	if _, start := v.judged("bob@acme.example"); start.Lane != event.LaneHold {
		t.Errorf("the mail of who is contained: %+v", start)
	}
}

func TestTheAccountOfTheHeaderIsJudged(t *testing.T) {
	set := settingsWith()
	set.Accounts = func(string) *Accounts { return &Accounts{Header: "X-Account"} }
	r := newRig(t, set, nil)
	s := &scanners{say: refused()}
	set.Content = r.judgeWith(s, true)
	if err := r.Configure(set); err != nil {
		t.Fatal(err)
	}
	v, _ := r.enter("10.0.1.7", mx)
	v.judged("bob@acme.example", "carol@acme.example")
	set.Content.Close()
	if len(s.asked) != 1 || s.asked[0] != "acme/carol@acme.example" {
		t.Errorf("asked about %q", s.asked)
	}
}

func TestWhatIsObservedIsNoEvidenceForContainment(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	set := settingsWith()
	set.Content = r.judgeWith(&scanners{say: refused()}, false)
	if err := r.Configure(set); err != nil {
		t.Fatal(err)
	}
	v, _ := r.enter("10.0.1.7", mx)
	for range 20 {
		v.judged("bob@acme.example")
	}
	set.Content.Close()
	if x := r.Explain(contain.Subject{Tenant: "acme", Account: "bob@acme.example"}); x.Level != contain.Normal {
		t.Errorf("%v", x.Level)
	}
}

func TestWhoseContentIsAllowedIsForgivenAndAudited(t *testing.T) {
	store := &memory{}
	set := settingsWith()
	r := newRig(t, set, store)
	s := &scanners{say: refused()}
	set.Content = r.judgeWith(s, true)
	if err := r.Configure(set); err != nil {
		t.Fatal(err)
	}
	bob := contain.Subject{Tenant: "acme", Account: "bob@acme.example"}
	if err := r.Allow(bob, r.Now().Add(time.Hour), "alice", "a newsletter"); err != nil {
		t.Fatal(err)
	}
	if len(s.forgot) != 1 || s.forgot[0] != "acme/bob@acme.example" {
		t.Errorf("forgot %q", s.forgot)
	}
	v, _ := r.enter("10.0.1.7", mx)
	for range 5 {
		v.judged("bob@acme.example")
	}
	set.Content.Close()
	for range 5 { // nobody waited for these any more
		set.Content.Late(inspect.Mail{Tenant: "acme", Account: "bob@acme.example", Sender: "bob@acme.example", Recipients: []string{"eve@example.net"}}, refused())
	}
	if x := r.Explain(bob); x.Level != contain.Normal || x.Allow == nil {
		t.Errorf("%+v", x)
	}
	s.say.Virus = "Test.EICAR" // that is not to be allowed
	v.judged("bob@acme.example")
	set.Content.Close()
	if x := r.Explain(bob); x.Level != contain.Slow {
		t.Errorf("a virus: %v", x.Level)
	}
	if err := r.Withdraw(bob, "alice", ""); err != nil {
		t.Fatal(err)
	}
	all, err := r.Audit(bob, netip.Addr{}, 10)
	if err != nil || len(all) != 2 || all[0].Did != "allow" || all[1].Did != "withdraw" || !strings.Contains(all[0].After, "content allowed by alice until ") {
		t.Errorf("%+v, %v", all, err)
	}
}
