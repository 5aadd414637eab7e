package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp/replies"
	"kanmon/internal/who/mailbox"
)

// spellings are senders that are one person's.
var spellings = []string{
	"bob@acme.example", "BOB@acme.example.", "@r.example:bob@acme.example", " bob@acme.example", "bob@acme.example\t", "bob(x)@acme.example",
	`"bob"@acme.example`, `b\ob@acme.example`, "bob@acme。example", "bob+1@acme.example", "prvs=1234abcdef=bob@acme.example",
	"prvs=0000aaaaaa=bob+2@acme.example", "btv1==068a4973b3a==bob@acme.example",
}

// What a person blocks, a limit counts and evidence adds up is the account, in every spelling.
//
// law: I17
func TestEverySpellingIsOneAccount(t *testing.T) {
	bob := contain.Subject{Tenant: "acme", Account: "bob@acme.example"}
	t.Run("block", func(t *testing.T) {
		for _, blocked := range spellings {
			r := newRig(t, settingsWith(), nil)
			if err := r.Block(contain.Subject{Tenant: "acme", Account: blocked}, time.Time{}, "op", "stolen"); err != nil {
				t.Fatal(err)
			}
			v, _ := r.enter("10.0.1.1", mx)
			for _, sender := range spellings {
				if s := v.send(sender, rcpt, nil); s.refused.Refuse != session.RefuseNow {
					t.Errorf("%q is blocked, and %q passes", blocked, sender)
				}
			}
			if s := v.send("bobby@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
				t.Errorf("%q is blocked, and so is bobby", blocked)
			}
			v.Close()
		}
	})
	t.Run("limit", func(t *testing.T) {
		r := newRig(t, settingsWith(rule("hour", limit.PerAccount, 3)), nil)
		v, _ := r.enter("10.0.1.1", mx)
		passed := 0
		for _, sender := range spellings {
			if s := v.send(sender, rcpt, nil); s.refused.Refuse == session.RefuseNot {
				passed++
			}
		}
		if used := r.used(bob, "hour"); passed != 3 || used != 3 {
			t.Errorf("%d pass a limit of 3, %d are counted", passed, used)
		}
		v.Close()
	})
	t.Run("evidence", func(t *testing.T) {
		r := newRig(t, enforcing(settingsWith()), nil)
		for i := range 120 {
			v, _ := r.enter("10.0.1.1", [...]netip.AddrPort{mx, other}[i%2])
			name := fmt.Sprintf("%d@example.net", i)
			v.send(fmt.Sprintf("@r%d.example:%s", i, spellings[i%len(spellings)]), []string{name}, map[string]string{name: "recipient_invalid"})
			v.Close()
		}
		if x := r.Explain(bob); x.Level == contain.Normal || r.Explain(contain.Subject{Tenant: "acme"}).Level != contain.Normal {
			t.Errorf("bob is at %s, the tenant at %s", x.Level, r.Explain(contain.Subject{Tenant: "acme"}).Level)
		}
	})
}

// The null sender is one, and what cannot be read is a suspect of its own: neither is somebody else.
//
// law: I17
func TestNullAndUnreadableSenders(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	for spelled, want := range map[string]string{
		"": contain.NullSender, " ": contain.NullSender, "@r.example:": contain.NullSender, `""`: contain.NullSender,
		"bob@acme.example@evil.example": mailbox.Unreadable, "bob@": mailbox.Unreadable,
	} {
		v.ask(session.Question{Step: event.StepMail, Sender: spelled})
		if got := v.Pass.(*pass).account; got != want {
			t.Errorf("the account of %q is %q, want %q", spelled, got, want)
		}
	}
	v.Close()
}

// What a person blocks, or a limit counts, has no way around: who writes a sender that MXs read in another way than kanmon sends nothing.
//
// law: I17
func TestUnreadableSenderSendsNothing(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	for _, spelled := range []string{"bob@acme.example@evil.example", "bob@", "Bob <bob@acme.example>"} {
		d := v.ask(session.Question{Step: event.StepMail, Sender: spelled})
		if d.Refuse != session.RefuseForGood || !d.Say.Of(replies.UnreadableSender) || d.Sender != mailbox.Unreadable {
			t.Errorf("%q: %v %q, of %q", spelled, d.Refuse, d.Say, d.Sender)
		}
	}
	for _, spelled := range []string{"", "bob@acme.example"} {
		if d := v.ask(session.Question{Step: event.StepMail, Sender: spelled}); d.Refuse != session.RefuseNot {
			t.Errorf("%q: %v %q", spelled, d.Refuse, d.Say)
		}
	}
}

// naming lets a header of acme's name accounts.
func namingBy(a Accounts) Settings {
	s := settingsWith()
	a.Header = "X-Auth-User"
	s.Accounts = func(string) *Accounts { return &a }
	return s
}

// All fields that name the account count: one account in several spellings is that account, and a contradiction is never silently one.
//
// law: I17
func TestFieldsThatNameTheAccount(t *testing.T) {
	const none, eve, ceo, suspect = "a@acme.example", "eve@acme.example", "ceo@acme.example", mailbox.Unreadable
	for _, c := range []struct {
		fields      []string
		deferred    string // the account under each rule; "" under defer: it is deferred
		first, last string
	}{
		{nil, none, none, none},
		{[]string{"eve@acme.example"}, eve, eve, eve},
		{[]string{"Mallory <EVE+x@acme.example.>"}, eve, eve, eve},
		{[]string{"eve@acme.example (Eve)", "<eve@acme.example>", "prvs=1234abcdef=eve@acme.example"}, eve, eve, eve},
		{[]string{"alice"}, "alice", "alice", "alice"},
		{[]string{"ceo@acme.example", "eve@acme.example"}, "", ceo, eve},
		{[]string{"eve@acme.example", "ceo@acme.example", "eve@acme.example"}, "", eve, eve},
		{[]string{"", "eve@acme.example"}, "", suspect, eve},
		{[]string{"eve@acme.example", "<>"}, "", eve, suspect},
		{[]string{""}, "", suspect, suspect},
		{[]string{"<>"}, "", suspect, suspect},
		{[]string{"ceo@acme.example, eve@acme.example"}, "", suspect, suspect},
		{[]string{"ceo@acme.example!"}, "", suspect, suspect}, // cut
		{[]string{"ceo@acme.example!", "eve@acme.example"}, "", suspect, eve},
	} {
		for conflict, want := range map[mailbox.Conflict]string{mailbox.ConflictDefer: c.deferred, mailbox.ConflictFirst: c.first, mailbox.ConflictLast: c.last} {
			r := newRig(t, namingBy(Accounts{Conflict: conflict}), nil)
			v, _ := r.enter("10.0.1.1", mx)
			v.ask(session.Question{Step: event.StepMail, Sender: none})
			v.Tell(session.News{Step: event.StepMail, Code: 250})
			v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
			v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid})
			d := v.ask(session.Question{Step: event.StepAccount, Fields: saying(c.fields...)})
			got := v.Pass.(*pass).account
			if want == "" && (d.Refuse != session.RefuseNow || got != suspect || did(d.Notes) != "deferred by account_header X-Auth-User") {
				t.Errorf("%q, rule %d: %+v for %s, want it deferred and told", c.fields, conflict, d, got)
			}
			if want != "" && (d.Refuse != session.RefuseNot || got != want) {
				t.Errorf("%q, rule %d: %+v for %s, want %s", c.fields, conflict, d, got, want)
			}
			if told := len(d.Notes) == 1; told != (c.deferred == "") {
				t.Errorf("%q, rule %d: told %+v", c.fields, conflict, d.Notes)
			}
			v.Close()
			if x := r.Explain(contain.Subject{Tenant: "acme", Account: got}); x.Day.Unknown != 1 {
				t.Errorf("%q, rule %d: %d unknown recipients of %s", c.fields, conflict, x.Day.Unknown, got)
			}
		}
	}
}

// A client that writes the field itself, above its MSA's own, blames nobody else: the right one is contained, or nobody is.
//
// law: I17
func TestForgedFieldBlamesNobody(t *testing.T) {
	for conflict, guilty := range map[mailbox.Conflict]string{mailbox.ConflictDefer: mailbox.Unreadable, mailbox.ConflictLast: "eve@acme.example"} {
		s := enforcing(namingBy(Accounts{Conflict: conflict}))
		r := newRig(t, s, nil)
		for i := range 180 {
			v, _ := r.enter("10.0.1.1", [...]netip.AddrPort{mx, other}[i%2])
			v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"})
			v.Tell(session.News{Step: event.StepMail, Code: 250})
			v.ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("%d@example.net", i)})
			v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid})
			v.ask(session.Question{Step: event.StepAccount, Fields: saying("ceo@acme.example", "eve@acme.example")})
			v.Close()
		}
		for _, innocent := range []string{"ceo@acme.example", "a@acme.example"} {
			if x := r.Explain(contain.Subject{Tenant: "acme", Account: innocent}); x.Level != contain.Normal || x.Day.Unknown > 0 {
				t.Errorf("rule %d: %s is at %s", conflict, innocent, x.Level)
			}
		}
		if x := r.Explain(contain.Subject{Tenant: "acme", Account: guilty}); x.Level == contain.Normal {
			t.Errorf("rule %d: %s is at %s", conflict, guilty, x.Level)
		}
	}
}

// A field that was written elsewhere, in mail that is only forwarded, does not count and is told; where the MSA must have written one,
// the mail waits.
//
// law: I17
func TestForeignField(t *testing.T) {
	const srs = "srs0=4xkb=2q=other.example=x@acme.example"
	own := mailbox.NewDomains([]string{"acme.example", "*.acme.example"})
	for _, c := range []struct {
		name     string
		accounts Accounts
		sender   string
		fields   []string
		want     string // "": deferred
		told     string
	}{
		{"by its domain", Accounts{Domains: own}, srs, []string{"x@third.example"}, "<srs>@acme.example", "foreign_account"},
		{"beside the MSA's own", Accounts{Domains: own}, srs, []string{"x@other.example", "list@acme.example"}, "list@acme.example", "foreign_account"},
		{"the MSA's own alone", Accounts{Domains: own}, srs, []string{"list@mail.acme.example"}, "list@mail.acme.example", ""},
		{"a login name", Accounts{Domains: own}, srs, []string{"alice"}, "alice", ""},
		{"no domain is known", Accounts{}, "x@other.example", []string{"y@other.example"}, "y@other.example", ""},
		{"a realm of its own", Accounts{Senders: own}, "bob@acme.example", []string{"bob@ad.internal"}, "bob@ad.internal", ""},
		{"required, and there is none", Accounts{Required: true}, "bob@acme.example", nil, "", "deferred"},
		{"required, and it is foreign", Accounts{Required: true, Domains: own}, srs, []string{"x@other.example"}, "", "foreign_account, deferred"},
		{"required, and there is one", Accounts{Required: true, Domains: own}, srs, []string{"bob@acme.example"}, "bob@acme.example", ""},
	} {
		r := newRig(t, namingBy(c.accounts), nil)
		v, _ := r.enter("10.0.1.1", mx)
		if d := v.ask(session.Question{Step: event.StepMail, Sender: c.sender}); d.Header != "X-Auth-User" || d.Must != c.accounts.Required {
			t.Errorf("%s: %+v", c.name, d)
		}
		d := v.ask(session.Question{Step: event.StepAccount, Fields: saying(c.fields...)})
		var told []string
		for _, n := range d.Notes {
			told = append(told, n.Did)
		}
		if (d.Refuse == session.RefuseNow) != (c.want == "") || c.want != "" && v.Pass.(*pass).account != c.want || strings.Join(told, ", ") != c.told {
			t.Errorf("%s: %+v for %s", c.name, d, v.Pass.(*pass).account)
		}
		v.Close()
	}
}

// What an older kanmon has kept, by names that are folded now, goes on: a block holds, of two levels the stricter stays, and debts are owed.
func TestKeptNamesAreBroughtIntoForm(t *testing.T) {
	store := &memory{}
	old := func(account string, level contain.Level, block bool) contain.Saved {
		s := contain.Saved{Subject: contain.Subject{Tenant: "acme", Account: account}, Level: level, Outcomes: level > contain.Normal}
		if block {
			s.Block = &contain.SavedHand{ByHand: contain.ByHand{By: "op", Why: "stolen"}}
		}
		return s
	}
	if err := saved(store, State{
		Containment: contain.Snapshot{Version: contain.SnapshotVersion, At: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), Subjects: []contain.Saved{
			old("bob@acme.example", contain.Slow, false), old("bob+1@acme.example", contain.Normal, true), old("bob+2@acme.example", contain.Stop, false),
			old("eve@acme.example.", contain.Divert, false), old("<>", contain.Slow, false), old("", contain.Slow, false), old("alice", contain.Slow, false),
		}},
		Limits: limit.Snapshot{Version: limit.SnapshotVersion, Debts: []limit.Debt{{
			Limit: "hour", Measure: "messages", Of: "carol+x@acme.example", To: "acme", Owes: 50 * time.Minute, Taken: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC),
		}}},
		Given: []Given{{Subject: contain.Subject{Tenant: "acme", Account: `"dave"@acme.example`}, Limit: "hour", Amount: 77}},
	}); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, settingsWith(rule("hour", limit.PerAccount, 100)), store)
	var kept []string
	for _, one := range r.List() {
		kept = append(kept, fmt.Sprint(one.Subject, " ", r.Explain(one.Subject).Answer.Hand, " ", r.Explain(one.Subject).Level))
	}
	slices.Sort(kept)
	if want := []string{
		"acme false slow", "acme/<> false slow", "acme/alice false slow", "acme/bob@acme.example true normal", "acme/eve@acme.example false divert",
	}; !slices.Equal(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if used := r.used(contain.Subject{Tenant: "acme", Account: "carol@acme.example"}, "hour"); used < 80 {
		t.Errorf("carol owes %d", used)
	}
	if amount := r.Usages(contain.Subject{Tenant: "acme", Account: "dave@acme.example"})[0].Rule.Amount; amount != 77 {
		t.Errorf("dave has %d", amount)
	}
	// By their old names they would come back with the next start, whatever people say meanwhile.
	s, _, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range s.Containment.Subjects {
		if one.Subject != r.Normal(one.Subject) {
			t.Errorf("%v is kept still", one.Subject)
		}
	}
	if len(s.Containment.Subjects) != 5 || len(s.Given) != 1 || s.Given[0].Account != "dave@acme.example" {
		t.Errorf("%d senders are kept, and %+v", len(s.Containment.Subjects), s.Given)
	}
}

// A block holds where a reload folds what was not folded when it was made.
func TestBlockFromBeforeAReload(t *testing.T) {
	s := settingsWith()
	off, err := mailbox.NewFold(false)
	if err != nil {
		t.Fatal(err)
	}
	s.Accounts = func(string) *Accounts { return &Accounts{Fold: off} }
	r := newRig(t, s, nil)
	if err := r.Block(contain.Subject{Tenant: "acme", Account: "tom+anna@acme.example"}, time.Time{}, "op", ""); err != nil {
		t.Fatal(err)
	}
	for _, folding := range []bool{false, true} {
		if folding {
			s.Accounts = nil
			if err := r.Configure(s); err != nil {
				t.Fatal(err)
			}
		}
		v, _ := r.enter("10.0.1.1", mx)
		for sender, want := range map[string]session.Refuse{"tom+anna@acme.example": session.RefuseNow, "tom@acme.example": session.RefuseNot} {
			if got := v.send(sender, rcpt, nil).refused.Refuse; got != want {
				t.Errorf("folding %t, %s: %d, want %d", folding, sender, got, want)
			}
		}
		v.Close()
	}
}

// The record's causes hold nothing that its mode of addresses could not hide.
func TestCausesNameNoLogins(t *testing.T) {
	r := reading{names: []string{"alice", "bob@acme.example", mailbox.Null, mailbox.Unreadable}}
	if got, want := r.String(), "4 fields (a login name; bob@acme.example; nobody; cannot be read)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A list that codes its recipients into its sender, and a forwarder that writes SRS, are one account each: what MXs refuse of them
// contains that account, and neither the tenant nor its people.
//
// law: I17
func TestListAndForwarderAreOneAccount(t *testing.T) {
	for _, c := range []struct {
		name, sender, account string // %d: which mail
		class                 string
		every                 int // so many mails, one is refused
		dot                   bool
	}{
		{"VERP", "news-bounces+m%d=example.com@lists.acme.example", "news-bounces@lists.acme.example", "recipient_invalid", 2, false},
		{"VERP with numbers", "news-return-%d@lists.acme.example", "news-return@lists.acme.example", "recipient_invalid", 2, false},
		{"BATV over VERP", "prvs=1234abcdef=news-bounces+m%d=example.com@lists.acme.example", "news-bounces@lists.acme.example", "recipient_invalid", 2, false},
		{"SRS", "SRS0=4xKb=2Q=o%d.example=x@alumni.acme.example", "<srs>@alumni.acme.example", "content_rejected", 5, true},
		{"SRS of SRS", "SRS1=9fQz=o%d.example==4xKb=2Q=other.example=x@alumni.acme.example", "<srs>@alumni.acme.example", "content_rejected", 5, true},
	} {
		r := newRig(t, enforcing(settingsWith()), nil)
		for i := range 600 {
			v, _ := r.enter("10.0.1.1", [...]netip.AddrPort{mx, other}[i/c.every%2])
			name, replies := fmt.Sprintf("%d@example.net", i), map[string]string{}
			if i%c.every == 0 {
				replies[name] = c.class
				if c.dot {
					replies = map[string]string{"": c.class}
				}
			}
			v.send(fmt.Sprintf(c.sender, i), []string{name}, replies)
			if i%10 == 0 {
				if s := v.send(fmt.Sprintf("user%d@acme.example", i%30), rcpt, nil); s.refused.Refuse != session.RefuseNot {
					t.Fatalf("%s: mail %d of a user is held: %s", c.name, i, s.refused.Say)
				}
			}
			v.Close()
			r.Pass(time.Second)
		}
		account, tenant := r.Explain(contain.Subject{Tenant: "acme", Account: c.account}), r.Explain(contain.Subject{Tenant: "acme"})
		if account.Level == contain.Normal || tenant.Level != contain.Normal {
			t.Errorf("%s: %s is at %s, the tenant at %s", c.name, c.account, account.Level, tenant.Level)
		}
	}
}
