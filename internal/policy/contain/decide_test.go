package contain

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kanmon/internal/event"
)

func TestExplainSaysItInWords(t *testing.T) {
	r := newRig(t, nil)
	r.send(alice, 80, 4, event.RecipientInvalid)
	x := r.Explain(alice)
	if !x.Known || x.Level != Slow || x.Answer != (Answer{Would: Slow}) || x.Last == nil || x.DownIn != 2*time.Hour || len(x.Readings) != 9 {
		t.Fatalf("%+v", x)
	}
	for _, want := range []string{"10 of 4", "surely", "do not exist", "less than 10.0 %"} {
		if !strings.Contains(x.Last.Why, want) {
			t.Errorf("%q does not say %q", x.Last.Why, want)
		}
	}
	s := x.Last.Samples[0]
	if s.Account != alice.Account || s.Class != "recipient_invalid" || s.Reply != "550 5.1.1 no such user" {
		t.Errorf("%+v", s)
	}
	if x := r.Explain(Subject{"nobody", ""}); x.Known {
		t.Errorf("%+v", x)
	}
	if l := r.List(); len(l) != 1 || l[0].Subject != alice || l[0].Level != Slow || l[0].Why != x.Last.Why {
		t.Errorf("%+v", l)
	}
}

// A stranger's text reaches nobody's terminal as it is.
func TestTextsAreClean(t *testing.T) {
	r := newRig(t, nil)
	evil := strings.Repeat("\x1b[2J\u202e\xff", 100)
	for i := range uint64(200) {
		r.Recipient(Recipient{
			Tenant: "acme", Account: "a" + evil, Provider: evil, Hash: mix(i, 1), Class: event.RecipientInvalid, Sample: evil,
		})
	}
	all := r.Decisions(0)
	if len(all) != 1 {
		t.Fatalf("%d decisions", len(all))
	}
	d := all[0]
	for _, text := range []string{d.Subject.Account, d.Samples[0].Account, d.Samples[0].Provider, d.Samples[0].Reply} {
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\u202e") || len(text) > maxName {
			t.Errorf("%q", text)
		}
	}
	if r.Explain(Subject{"acme", "a" + evil}).Level != Slow {
		t.Error("not found by the name it came with")
	}
}

// A decision by evidence names the mail whose answer was enough; one that time or a person makes names none.
func TestADecisionNamesItsCause(t *testing.T) {
	r := newRig(t, enforced())
	n := 0
	for ; r.level(alice) == Normal; n++ {
		r.leap(time.Second)
		r.one++
		cause := Cause{Session: 7, Transaction: n + 1}
		r.Recipient(Recipient{
			Tenant: alice.Tenant, Account: alice.Account, Provider: providers[n%4], Hash: mix(r.one, 99), Class: event.RecipientInvalid, Sample: "550", Cause: cause,
		})
	}
	if got := r.lastOf(alice).Cause; got != (Cause{Session: 7, Transaction: n}) {
		t.Errorf("caused by %+v, want transaction %d of session 7", got, n)
	}
	r.pass(3 * time.Hour)
	r.want(alice, Normal)
	if last := r.lastOf(alice); last.By != "quiet" || last.Cause != (Cause{}) {
		t.Errorf("%s is caused by %+v", last.By, last.Cause)
	}
	if err := r.Block(alice, time.Time{}, "carol", "phishing"); err != nil {
		t.Fatal(err)
	}
	if last := r.lastOf(alice); last.Cause != (Cause{}) {
		t.Errorf("a block is caused by %+v", last.Cause)
	}
	again := r.restart(time.Minute)
	if x := again.Explain(bob); x.Last != nil {
		t.Errorf("%+v", x.Last)
	}
}
