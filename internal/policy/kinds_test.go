package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// acmeIs are the accounts of a tenant with domains of its own, and marks of the configuration.
func acmeIs(kinds map[string]contain.Kind) func(string) *Accounts {
	of := &Accounts{Senders: mailbox.NewDomains([]string{"acme.example", "*.acme.example"}), Kinds: kinds}
	return func(tenant string) *Accounts {
		if tenant == "acme" {
			return of
		}
		return nil
	}
}

func ofAcme(account string) contain.Subject { return contain.Subject{Tenant: "acme", Account: account} }

// Whose evidence a mail is: what is said of an account goes before what is said of its domain, that before what is said of its tenant, and a
// person's word before the configuration. Strangers' mail that is forwarded counts for nobody's mailbox.
//
// law: I17
func TestWhoseEvidence(t *testing.T) {
	configured := map[string]contain.Kind{
		"@lists.acme.example": contain.List, "boss@lists.acme.example": contain.Plain, "@alumni.acme.example": contain.Forwarder, "fax@acme.example": contain.Forwarder,
	}
	forwarding := map[string]contain.Kind{"": contain.Forwarder, "friend@other.example": contain.Plain}
	listing := map[string]contain.Kind{"": contain.List}
	list, forwarder, none := contain.List, contain.Forwarder, contain.Plain
	for _, c := range []struct {
		kinds   map[string]contain.Kind
		hand    string // that a person has spoken of
		is      *contain.Kind
		sender  string
		account string
		kind    contain.Kind
	}{
		{nil, "", nil, "bob@acme.example", "bob@acme.example", none},
		{configured, "", nil, "news-bounces+x=example.com@LISTS.acme.example", "news-bounces@lists.acme.example", list},
		{configured, "", nil, "news@sub.lists.acme.example", "news@sub.lists.acme.example", none},
		{configured, "", nil, "boss@lists.acme.example", "boss@lists.acme.example", none},
		{configured, "", nil, "SRS0=4xKb=2Q=other.example=bob@alumni.acme.example", mailbox.Forwarded, forwarder},
		{configured, "", nil, "anybody@alumni.acme.example", mailbox.Forwarded, forwarder},
		{configured, "", nil, "fax+9@acme.example", "fax@acme.example", forwarder},
		{configured, "", nil, "x@other.example", "x@other.example", none},
		{configured, "@lists.acme.example", &none, "news@lists.acme.example", "news@lists.acme.example", none},
		{configured, "", &list, "news@acme.example", "news@acme.example", list},
		{configured, "", &list, "fax@acme.example", "fax@acme.example", forwarder},
		{configured, "fax@acme.example", &list, "fax@acme.example", "fax@acme.example", list},
		{configured, "Prvs=1234abcdef=news@acme.example", &list, "news+7@acme.example", "news@acme.example", list},
		{nil, "<srs>@acme.example", &forwarder, "SRS0=4xKb=2Q=other.example=bob@acme.example", "<srs>@acme.example", forwarder},
		{nil, "@ALUMNI.acme.example.", &forwarder, "SRS0=4xKb=2Q=other.example=bob@alumni.acme.example", mailbox.Forwarded, forwarder},
		{forwarding, "", nil, "x+y@other.example", mailbox.Forwarded, forwarder},
		{forwarding, "", nil, "SRS0=4xKb=2Q=other.example=bob@acme.example", mailbox.Forwarded, forwarder},
		{forwarding, "", nil, "bob@acme.example", "bob@acme.example", none},
		{forwarding, "", nil, "bob@eu.acme.example", "bob@eu.acme.example", none},
		{forwarding, "", nil, "friend@other.example", "friend@other.example", none},
		{forwarding, "", nil, "", contain.NullSender, none},
		{forwarding, "", nil, "a@b@c", mailbox.Unreadable, none},
		{forwarding, "", &none, "x@other.example", "x@other.example", none},
		{listing, "", nil, "bob@acme.example", "bob@acme.example", list},
		{listing, "", nil, "", contain.NullSender, none},
	} {
		set := settingsWith()
		set.Accounts = acmeIs(c.kinds)
		r := newRig(t, set, nil)
		if c.is != nil {
			if err := r.SetKind(ofAcme(c.hand), c.is, "carol", "test"); err != nil {
				t.Fatal(err)
			}
		}
		v, _ := r.enter("10.0.1.1", mx)
		v.ask(session.Question{Step: event.StepMail, Sender: c.sender})
		a := v.Pass.(*pass)
		if a.account != c.account || a.kind != c.kind {
			t.Errorf("%v, by hand %q %v: <%s> counts for %s, a %v, want %s, a %v", c.kinds, c.hand, c.is, c.sender, a.account, a.kind, c.account, c.kind)
		}
		v.Close()
	}
}

// Whom the tenant's own MSA names is no stranger, whatever the domain.
func TestNamedAccountIsNoStranger(t *testing.T) {
	of := &Accounts{Header: "X-Auth-User", Kinds: map[string]contain.Kind{"": contain.Forwarder}}
	set := settingsWith()
	set.Accounts = func(string) *Accounts { return of }
	r := newRig(t, set, nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	v.ask(session.Question{Step: event.StepMail, Sender: "x@other.example"})
	a := v.Pass.(*pass)
	if a.account != mailbox.Forwarded {
		t.Errorf("without a name it counts for %s", a.account)
	}
	v.ask(session.Question{Step: event.StepAccount, Fields: saying("bob@mail.example")})
	if a.account != "bob@mail.example" || a.kind != contain.Plain {
		t.Errorf("named, it counts for %s, a %v", a.account, a.kind)
	}
}

// An order is in the audit and in the file before it is answered, holds at once for open sessions, too, and after a restart.
func TestKindByHand(t *testing.T) {
	kept := &memory{}
	set := settingsWith()
	set.Accounts = acmeIs(map[string]contain.Kind{"@lists.acme.example": contain.List})
	r := newRig(t, set, kept)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	list, forwarder, none := contain.List, contain.Forwarder, contain.Plain
	for _, o := range []struct {
		of            contain.Subject
		kind          *contain.Kind
		before, after string
	}{
		{ofAcme("news@acme.example"), &list, "none", "list, by carol"},
		{ofAcme("NEWS+1@acme.example"), &forwarder, "list, by carol", "forwarder, by carol"},
		{ofAcme("@lists.acme.example"), &none, "list, as configured", "none, by carol"},
		{ofAcme("@lists.acme.example"), nil, "none, by carol", "list, as configured"},
		{ofAcme("a@lists.acme.example"), &none, "list, as configured for @lists.acme.example", "none, by carol"},
		{ofAcme(""), &forwarder, "none", "forwarder, by carol"},
	} {
		if err := r.SetKind(o.of, o.kind, "carol", "because"); err != nil {
			t.Fatal(err)
		}
		c := kept.changes[len(kept.changes)-1]
		if c.Did != "kind" || c.Before != o.before || c.After != o.after || c.Why != "because" || c.Subject != r.Normal(o.of) {
			t.Errorf("%v: the audit has %+v", o.of, c)
		}
	}
	again := newRig(t, set, &memory{state: kept.state})
	for _, one := range []*rig{r, again} {
		if got := fmt.Sprint(one.CountsFor(ofAcme("news@acme.example")), one.CountsFor(ofAcme("x@other.example"))); got != "news@acme.example<forwarded>" {
			t.Errorf("mail counts for %s", got)
		}
		var names []string
		for _, m := range one.Marks() {
			names = append(names, m.Account+" "+m.Kind.String()+" "+m.By)
		}
		if got, want := strings.Join(names, ", "), " forwarder carol, @lists.acme.example list , a@lists.acme.example none carol, news@acme.example forwarder carol"; got != want {
			t.Errorf("marked are %s, want %s", got, want)
		}
	}
	v.ask(session.Question{Step: event.StepMail, Sender: "x@other.example"})
	if a := v.Pass.(*pass); a.account != mailbox.Forwarded {
		t.Errorf("in the open session a stranger's mail counts for %s", a.account)
	}
	for _, wrong := range []struct {
		of  contain.Subject
		err error
	}{{ofAcme(contain.NullSender), ErrKind}, {ofAcme("a@b@c"), ErrKind}, {contain.Subject{Tenant: "nobody"}, ErrTenant}} {
		if err := r.SetKind(wrong.of, &list, "carol", "because"); !errors.Is(err, wrong.err) {
			t.Errorf("%v: %v, want %v", wrong.of, err, wrong.err)
		}
	}
}

// Strangers' mail that a tenant forwards is refused for nobody's domain, and told of; that of its own accounts still is refused.
func TestForwardedMailIsNotSpoofed(t *testing.T) {
	for _, c := range []struct {
		kinds   map[string]contain.Kind
		refused bool
	}{{nil, true}, {map[string]contain.Kind{"": contain.Forwarder}, false}, {map[string]contain.Kind{"@blue.example": contain.Forwarder}, false}, {map[string]contain.Kind{"": contain.List}, true}} {
		set := settingsWith()
		set.RefuseSpoofing, set.Accounts = true, acmeIs(c.kinds)
		r := newRig(t, set, nil)
		v, _ := r.enter("10.0.1.1", mx)
		s := v.send("bob@blue.example", rcpt, nil)
		if refused := s.refused.Refuse != session.RefuseNot; refused != c.refused {
			t.Errorf("%v: refused %v, want %v", c.kinds, refused, c.refused)
		}
		if !strings.Contains(did(v.notes), "by spoofing") {
			t.Errorf("%v: it is not told of: %s", c.kinds, did(v.notes))
		}
		v.Close()
	}
}

// Who a person has blocked by name stays blocked where strangers' mail counts together, in every spelling; others are not.
func TestBlockedStranger(t *testing.T) {
	set := settingsWith()
	set.Accounts = acmeIs(map[string]contain.Kind{"": contain.Forwarder})
	r := newRig(t, set, nil)
	if err := r.Block(ofAcme("eve@other.example"), time.Time{}, "carol", "test"); err != nil {
		t.Fatal(err)
	}
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	for sender, blocked := range map[string]bool{"eve@other.example": true, "EVE+1@other.example": true, "bob@other.example": false, "bob@acme.example": false} {
		if got := v.send(sender, rcpt, nil).refused.Refuse != session.RefuseNot; got != blocked {
			t.Errorf("%s: refused %v, want %v", sender, got, blocked)
		}
	}
	if err := r.Block(ofAcme(mailbox.Forwarded), time.Time{}, "carol", "test"); err != nil {
		t.Fatal(err)
	}
	if s := v.send("bob@other.example", rcpt, nil); s.refused.Refuse == session.RefuseNot {
		t.Error("a stranger's mail passes the block of all of it")
	}
	if s := v.send("bob@acme.example", rcpt, nil); s.refused.Refuse != session.RefuseNot {
		t.Errorf("the tenant's own mail does not: %s", s.refused.Say)
	}
}

// Two strangers' mail to one recipient who is put off are two mails, though they count for one account.
func TestStrangersAreNotRetries(t *testing.T) {
	set := settingsWith()
	set.Accounts = acmeIs(map[string]contain.Kind{"": contain.Forwarder})
	r := newRig(t, set, nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	for i := range 3 {
		v.send(fmt.Sprintf("x%d@other.example", i), []string{"b@example.net"}, map[string]string{"b@example.net": "now mailbox_full"})
		v.send(fmt.Sprintf("x%d@other.example", i), []string{"b@example.net"}, map[string]string{"b@example.net": "now mailbox_full"})
	}
	a := v.Pass.(*pass)
	v.ask(session.Question{Step: event.StepMail, Sender: "new@other.example"})
	if a.policy.retries.known("acme", a.keyOf(r.hash("b@example.net")), r.Now) {
		t.Error("a new sender's mail is taken for another's retry")
	}
	v.ask(session.Question{Step: event.StepMail, Sender: "x1@other.example"})
	if !a.policy.retries.known("acme", a.keyOf(r.hash("b@example.net")), r.Now) {
		t.Error("a retry is not known")
	}
}

// Nothing that a sender chooses makes its evidence smaller: 500 times the same spam, with one length, one list of recipients and senders of
// VERP or SRS, contain; with the mark it is one message.
//
// law: I17
func TestIdenticalSpamContains(t *testing.T) {
	for _, sender := range []string{"eve@acme.example", "news-bounces+m%d=example.com@acme.example", "SRS0=4xKb=2Q=o%d.example=x@acme.example", "eve+%d@acme.example"} {
		for _, marked := range []bool{false, true} {
			kinds := map[string]contain.Kind{}
			if marked {
				kinds["@acme.example"] = contain.List
			}
			set := enforcing(settingsWith())
			set.Accounts = acmeIs(kinds)
			r := newRig(t, set, nil)
			passed := 0
			for i := range 500 {
				from := sender
				if strings.Contains(from, "%") {
					from = fmt.Sprintf(from, i)
				}
				mx := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 2 % 4)}), 25)
				if r.letterTo(mx, from, "b@example.net", [...]string{"", "content_rejected"}[i%2], 5000) {
					passed++
				}
				r.Pass(time.Second)
			}
			if contained := passed < 250; contained == marked {
				t.Errorf("%s, marked %v: %d of 500 passed", sender, marked, passed)
			}
			if x := r.Explain(ofAcme("")); x.Level != contain.Normal {
				t.Errorf("%s, marked %v: the tenant is %v", sender, marked, x.Level)
			}
		}
	}
}

// A list's copies are one message, whatever their recipients' names add; a forwarder's are those of one stranger.
func TestIdentity(t *testing.T) {
	set := settingsWith()
	set.Accounts = acmeIs(map[string]contain.Kind{"": contain.Forwarder, "@lists.acme.example": contain.List})
	r := newRig(t, set, nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	a := v.Pass.(*pass)
	of := func(sender string, octets int64) uint64 {
		v.ask(session.Question{Step: event.StepMail, Sender: sender})
		return a.identity(octets)
	}
	copies := []uint64{of("n-bounces+a=b.example@lists.acme.example", 20_000), of("n-bounces+longer.name=c.example@lists.acme.example", 20_040)}
	if copies[0] != copies[1] {
		t.Error("two copies are two messages")
	}
	others := []uint64{
		copies[0], of("n-bounces+a=b.example@lists.acme.example", 30_000), of("x@o1.example", 5000), of("x@o1.example", 5001), of("y@o1.example", 5000),
	}
	r.Pass(6 * time.Hour)
	others = append(others, of("n-bounces+a=b.example@lists.acme.example", 20_000), of("x@o1.example", 5000))
	if slices.Sort(others); len(slices.Compact(others)) != 7 {
		t.Errorf("of 7 messages %d are known apart", len(slices.Compact(others)))
	}
	if of("bob@acme.example", 5000) != 0 {
		t.Error("a person's message has an identity")
	}
}
