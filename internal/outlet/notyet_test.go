package outlet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// whoseOnlyV6 is a gateway that sends to the MX of the tests from an IPv6 address, by what it knows before any sender; mail of news.example has a route of
// its own, in front of that or behind it, and a tenant behind the same MSA a pool of its own.
func whoseOnlyV6(first, second route.Route) gateway {
	return sending("203.0.113.10", "2001:db8::10").pool(route.DefaultPool, "203.0.113.10").pool("six", "2001:db8::10").route(first, nil).route(second, nil)
}

var (
	toSix   = route.Route{Name: "route to six", Destinations: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Pool: "six"}
	ofNews  = route.Route{Name: "route of news", SenderDomains: []string{"news.example"}, Pool: route.DefaultPool}
	ofThere = route.Route{Name: "route of recipients", RecipientDomains: []string{"example.net"}, Pool: route.DefaultPool}
)

// Where what is known before the sender leads to a pool without an address of the MX's family, and the mail of some sender has one, the MSA is greeted: that
// mail leaves, and other mail is told at MAIL. A reset would keep mail from its MX that has a way there.
//
// law: I13
func TestAMailThatHasAWayFindsItsMSAGreeted(t *testing.T) {
	for name, g := range map[string]gateway{
		"a route by senders": whoseOnlyV6(ofNews, toSix),
		"a tenant behind the same MSA": sending("203.0.113.10", "2001:db8::10").pool(route.DefaultPool, "2001:db8::10").pool("four", "203.0.113.10").
			claimed(route.Tenant{Name: "acme", Sources: []netip.Prefix{netip.PrefixFrom(msa, 32)}, AllSenders: true, SenderDomains: []string{"acme.example"}, Pool: route.DefaultPool}).
			claimed(route.Tenant{Name: "news", Sources: []netip.Prefix{netip.PrefixFrom(msa, 32)}, SenderDomains: []string{"news.example"}, Pool: "four"}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newShutOutWorld(t, g)
				if ok, dialled, _ := w.deliverFor(t, "a@news.example"); !ok || !slices.Equal(dialled, []netip.Addr{first}) {
					t.Errorf("mail that has a way: delivered %v from %v", ok, dialled)
				}
				if ok, dialled, _ := w.deliverFor(t, "a@acme.example"); ok || len(dialled) > 0 {
					t.Errorf("other mail: delivered %v from %v", ok, dialled)
				}
			})
		})
	}
}

// Where what is known before the recipient leads to such a pool, and a route by recipients to one that has a way, MAIL is said from there. The mail to that
// recipient leaves, and another one is told at RCPT.
//
// law: I13
func TestAMailToARecipientThatHasAWayIsBegun(t *testing.T) {
	for domain, leaves := range map[string]bool{"example.net": true, "elsewhere.example": false} {
		synctest.Test(t, func(t *testing.T) {
			to := ofThere
			to.RecipientDomains = []string{domain}
			w := newShutOutWorld(t, whoseOnlyV6(to, toSix))
			ok, dialled, _ := w.deliverFor(t, "a@other.example") // to example.net
			if ok != leaves || !slices.Equal(dialled, []netip.Addr{first}) {
				t.Errorf("a route for %s: delivered %v from %v", domain, ok, dialled)
			}
			if got := w.fw.mx.Mailbox.Commands(); leaves != slices.ContainsFunc(got, func(c string) bool { return c == "RCPT TO:<b@example.net>" }) {
				t.Errorf("a route for %s: the MX has seen %q", domain, got)
			}
		})
	}
}

// What is asked of such a mail before its recipient is known is asked of the pool that it was begun with: a refusal of it is one of an IP of that pool, whose
// others may take it, and one that warms up and has had its amount gives way to them.
//
// law: I13 I19
func TestWhatAMailIsBegunWithIsWhatItIsJudgedBy(t *testing.T) {
	g := sending("203.0.113.10", "203.0.113.13", "2001:db8::10").pool(route.DefaultPool, "203.0.113.10", "203.0.113.13").pool("six", "2001:db8::10").
		route(ofThere, nil).route(toSix, nil)
	begin := func(t *testing.T) (*ramp, *letter) {
		r := newRamp(t, g, amounts(1, 1), new1)
		return r, r.begunAtNew()
	}
	t.Run("a refusal", func(t *testing.T) {
		_, l := begin(t)
		l.req.Recipient = ""
		if j := l.refused(event.PhaseMail, 550, "550 5.7.1 your IP 203.0.113.13 is on our block list"); !j.Rescue {
			t.Errorf("no other sending IP is spent: %q", j.Why)
		}
	})
	t.Run("warm-up", func(t *testing.T) {
		r, l := begin(t)
		l.mail(l.req.Sender, "b@example.net")
		l.accepted()
		l.req.Recipient = ""
		if stay := r.wayOf(l.req).MayStay(l.req.DialRequest, new1); !stay.Moves {
			t.Error("beyond the day's amount it stays, and another IP of its pool would take it")
		}
	})
}

// begunAtNew begins a mail at the IP that warms up, before its recipient is known.
func (r *ramp) begunAtNew() *letter {
	r.t.Helper()
	for i := range 1000 {
		l := &letter{r: r, req: request{Session: 1, Source: msa, Destination: netip.MustParseAddrPort(mailbox1), DialRequest: session.DialRequest{
			Sender: fmt.Sprintf("a@t%d.example", i), SenderKnown: true,
		}}}
		if l.dial(); l.ip == new1 {
			return l
		}
		l.close()
	}
	r.t.Fatal("no mail is begun there")
	return nil
}

// Where no mail can have a way there, the MSA's connection is reset as directly, so that it takes the MX's other family.
//
// law: I13
func TestWhereNoMailHasAWayTheConnectionIsReset(t *testing.T) {
	for name, g := range map[string]gateway{
		"no other route":              whoseOnlyV6(toSix, toSix),
		"a route by senders behind":   whoseOnlyV6(toSix, ofNews),
		"a route by recipients, also": whoseOnlyV6(toSix, ofThere),
	} {
		o := newOutlet(t, g)
		for _, sender := range []string{"", "a@other.example"} {
			req := ofSender(1, sender)
			if _, err := o.Dial(t.Context(), request{Session: 1, Source: req.Source, Destination: req.Destination, DialRequest: session.DialRequest{Sender: sender, SenderKnown: sender != ""}}); !errors.Is(err, session.ErrNoSendingIP) || errors.Is(err, session.ErrNotYet) {
				t.Errorf("%s, sender %q: %v", name, sender, err)
			}
		}
	}
}
