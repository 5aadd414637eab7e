package outlet

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

var third = netip.MustParseAddr("192.0.2.12")

// inSession makes a refusal one of the first mail of a session.
func inSession(id event.ID, again bool) func(*refused) {
	return func(r *refused) { r.Session, r.Mails, r.Again = id, 1, again }
}

// told is a listing whose words are these.
func told(ip netip.Addr, to, text string, id event.ID) refused {
	return with(with(listed(1, ip, to), inSession(id, id > 0 && ip != first)), func(r *refused) { r.Text = []byte(text) })
}

// What two sending IPs are refused with for one mail is about the mail: it is not sent from a third, and no IP is suspended for it, neither
// by the second word nor by the first.
//
// law: I19
func TestTheSameWordsToTwoIPsAreNotAboutTheIP(t *testing.T) {
	for _, test := range []struct {
		name, to, one, two string
		session            event.ID // of the second; the first has 1
		change             func(*refused)
	}{
		{"the same words", "b@gmail.com", "550 5.7.1 Client host [203.0.113.10] is listed", "550 5.7.1 Client host [198.51.100.11] is listed", 1, func(r *refused) { r.Rule = "other" }},
		{"with another name, number and recipient", "b@gmail.com", "550 5.7.1 <b@gmail.com> id4711 mx1.example.net: out10.example.jp is listed", "550 5.7.1 <c@gmail.com> id8x4 mx2.example.net: out11.example.jp is listed", 1, func(r *refused) { r.Rule = "other" }},
		{"other words, the same rule", "b@gmail.com", "550 5.7.1 listed here", "550 5.7.1 you are listed, go away", 1, nil},
		{"and the same list", "b@gmail.com", "550 5.7.1 listed here", "550 5.7.1 you are listed, go away", 1, func(r *refused) { r.Lists = []classify.List{{Name: "spamhaus"}} }},
		{"when the MSA tries again", "b@gmail.com", "550 5.7.1 listed here", "550 5.7.1 listed here", 2, nil},
		{"words of a customer", "b@evil.example", "550 5.7.1 listed here", "550 5.7.1 listed here", 1, nil},
		{"a doubt behind a listing", "b@gmail.com", "550 5.7.1 listed here", "550 5.7.1 listed here", 1, func(r *refused) { r.Suspend = classify.May }},
	} {
		s := newSite(t, threeIPs)
		s.known(mxAddr.Addr(), "gmail-smtp-in.l.google.com")
		one, two := told(first, test.to, test.one, 1), told(second, test.to, test.two, test.session)
		two.Again = test.session == 1
		if test.change != nil {
			if test.change(&two); two.Lists != nil {
				one.Lists = two.Lists
			}
		}
		if j := s.judged(one); !j.Rescue {
			t.Fatalf("%s: a listing is not rescued: %+v", test.name, j)
		}
		if j := s.judged(two); j.Rescue || j.SoftenTo == 0 || j.Why != whyTwice {
			t.Errorf("%s: %+v", test.name, j)
		}
		for _, ip := range []netip.Addr{first, second} {
			for _, where := range []string{"google", "google/evil.example"} {
				if s.suspendedAt(ip, where) {
					t.Errorf("%s: %s is suspended at %s", test.name, ip, where)
				}
			}
		}
		if j := s.judged(with(told(third, test.to, test.two, 7), func(r *refused) { r.Again, r.Sender = false, []byte("other@t1.example") })); j.Rescue || j.SoftenTo == 0 || s.suspendedAt(third, "google") {
			t.Errorf("%s: the same words about another mail are more than a doubt: %+v", test.name, j)
		}
	}
}

// It makes no difference which of two sessions is heard first, nor what the one does in the middle of the other.
//
// law: I19
func TestTheSameWordsInTwoSessionsAtOnceAreNotAboutTheIP(t *testing.T) {
	for _, to := range []string{"b@gmail.com", "b@evil.example"} {
		s := newSite(t, threeIPs)
		s.known(mxAddr.Addr(), "gmail-smtp-in.l.google.com")
		const words = "550 5.7.1 listed here"
		one, two := told(first, to, words, 1), told(second, to, words, 2)
		two.Again = false
		s.judgedWhile(one, func() { s.judged(two) })
		for _, ip := range []netip.Addr{first, second} {
			for _, where := range []string{"google", "google/evil.example"} {
				if s.suspendedAt(ip, where) {
					t.Errorf("%s: %s is suspended at %s", to, ip, where)
				}
			}
		}
	}
}

// Two IPs that are refused for different reasons, or for different mail, are both believed; so are two of one netblock where the words are
// about that, and one that we have found on the list ourselves.
//
// law: I19
func TestOtherWordsToTwoIPsAreAboutBoth(t *testing.T) {
	here := []byte("550 5.7.1 listed here")
	for _, test := range []struct {
		name   string
		change func(one, two *refused)
	}{
		{"another list", func(one, two *refused) {
			one.Lists, two.Lists = []classify.List{{Name: "spamhaus"}}, []classify.List{{Name: "spamcop"}}
			two.Text = []byte("550 5.7.1 on SpamCop")
		}},
		{"another rule and other words", func(_, two *refused) { two.Rule, two.Text = "other", []byte("550 5.7.1 your IP is on our block list") }},
		{"another sender", func(_, two *refused) { two.Sender, two.Session = []byte("z@t1.example"), 2 }},
		{"another tenant", func(_, two *refused) { two.rejection.Source, two.Session = netip.MustParseAddr("10.20.2.5"), 2 }},
		{"a network that both are in", func(one, two *refused) {
			one.Scope, two.Scope = classify.ScopeNetblock, classify.ScopeNetblock
			two.Quoted = []netip.Prefix{netip.MustParsePrefix("192.0.0.0/2")}
		}},
	} {
		s := newSite(t, threeIPs)
		s.known(mxAddr.Addr(), "gmail-smtp-in.l.google.com")
		one, two := told(first, "b@gmail.com", string(here), 1), told(second, "b@gmail.com", string(here), 1)
		test.change(&one, &two)
		s.judged(one)
		if j := s.judged(two); j.Why == whyTwice || !s.suspendedAt(first, "google") || !s.suspendedAt(second, "google") {
			t.Errorf("%s: %+v", test.name, j)
		}
	}
}

// always has every IP on every list.
type always struct{}

func (always) Listed(context.Context, netip.Addr, string) (bool, error) { return true, nil }

func TestAnIPThatWeHaveFoundOnTheListIsMeantToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, end := threeIPs.begin(t, part{dns: &smtptest.DNS{}, check: always{}})
		defer end()
		refuse := func(ip netip.Addr, id event.ID) session.Judgement {
			return o.judged(with(told(ip, fmt.Sprintf("b@m%d.example", id), "550 5.7.1 listed at zen.spamhaus.org", id), func(r *refused) {
				r.Again = false
				r.Lists = []classify.List{{Name: "spamhaus", Zone: "zen.spamhaus.org", Weight: classify.Strong}}
			}))
		}
		refuse(second, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !o.book.Listed(second) || o.book.Listed(first) {
			t.Fatal("the list was not asked")
		}
		refuse(first, 2)
		if j := refuse(second, 2); j.Why == whyTwice {
			t.Errorf("%+v", j)
		}
		if o.book.Peek(standing.Key{IP: first, Provider: o.key(first, mxAddr.Addr()).Provider + "/m2.example"}).Answer != standing.No {
			t.Error("the first one's suspension is taken back")
		}
	})
}

// A greeting that is the same to two IPs does not lead a session through the pool, and the next session's is a doubt.
func TestAGreetingToTwoIPsIsNotTriedFromAThird(t *testing.T) {
	o := newOutlet(t, threeIPs)
	greeting := func(ip netip.Addr, id event.ID, again bool) session.Judgement {
		return o.judged(with(with(doubtful(1, ip, ""), inSession(id, again)), func(r *refused) {
			r.Phase, r.Code, r.Sender, r.Recipient, r.Mails = event.PhaseBanner, 554, nil, nil, 0
		}))
	}
	if j := greeting(first, 1, false); !j.Rescue {
		t.Fatalf("%+v", j)
	}
	if j := greeting(second, 1, true); j.Rescue || j.Why != whyTwice {
		t.Errorf("%+v", j)
	}
	if j := greeting(first, 2, false); j.Rescue || j.SoftenTo == 0 {
		t.Errorf("the next session: %+v", j)
	}
}
