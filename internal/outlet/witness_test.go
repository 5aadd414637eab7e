package outlet

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// known makes an address that of an MX of this name.
func (s *site) known(mx netip.Addr, host string) {
	s.learnt.addresses.Put(mx, provider.MX{Host: host})
	if s.providers.At(mx) == "" {
		s.t.Fatalf("%s is no provider's", host)
	}
}

func (s *site) suspendedAt(ip netip.Addr, provider string) bool {
	return s.book.Peek(standing.Key{IP: ip, Provider: provider}).Answer == standing.No
}

// mayStay says whether another tenant's mail to a recipient may leave from the IP.
func (s *site) mayStay(ip netip.Addr, recipient string) bool {
	return s.MayStay(request{
		Source: netip.MustParseAddr("10.20.2.5"), Destination: mxAddr, DialRequest: session.DialRequest{Sender: "a@t2.example", SenderKnown: true, Recipient: recipient},
	}, ip)
}

// What one reply of a provider's MX may bring about goes by whose words they can be: those of one customer suspend where that customer is,
// two customers', or the provider's own, at all of it. In each case the mail goes on from another IP at once.
//
// audit-A2 law: I19
func TestOneCustomerDoesNotSpeakForHisProvider(t *testing.T) {
	say := func(phase event.Phase, to, text string) refused {
		return with(listed(1, first, to), func(r *refused) {
			if r.Phase, r.Text = phase, []byte(text); to == "" {
				r.Sender, r.Recipient = nil, nil
			}
		})
	}
	const own = "550 5.7.1 your IP is on our block list"
	dot := func(first, accepted, text string) refused { // accepted: the domain of all recipients that the MX took
		return with(say(event.PhaseDot, first, text), func(r *refused) { r.Domain = accepted })
	}
	for _, test := range []struct {
		name, host string
		refusals   []refused
		whole      string // "": not suspended
		part       string
	}{
		{"a customer of Workspace", "aspmx.l.google.com", []refused{say(event.PhaseRcpt, "b@evil.example", own)}, "", "google/evil.example"},
		{"who quotes a code in the text", "x.mail.protection.outlook.com", []refused{say(event.PhaseRcpt, "b@evil.example", "550 5.7.1 5.7.606 banned")}, "", "office365/evil.example"},
		{"with the provider's own code", "x.mail.protection.outlook.com", []refused{say(event.PhaseRcpt, "b@evil.example", "550 5.7.606 Access denied, banned sending IP")}, "office365", ""},
		{"the provider's own domain", "gmail-smtp-in.l.google.com", []refused{say(event.PhaseRcpt, "b@gmail.com", own)}, "google", ""},
		{"before a recipient is named", "gmail-smtp-in.l.google.com", []refused{say(event.PhaseBanner, "", "554 5.7.1 blocked")}, "google", ""},
		{"likewise, at an MX that a customer runs", "mx1.hc1-2.iphmx.com", []refused{say(event.PhaseBanner, "", "554 5.7.1 blocked")}, "", "cisco/[192.0.2.25]"},
		{"two customers", "aspmx.l.google.com", []refused{say(event.PhaseRcpt, "b@evil.example", own), say(event.PhaseRcpt, "b@honest.example", own)}, "google", ""},
		{"one with two names", "aspmx.l.google.com", []refused{say(event.PhaseRcpt, "b@a.evil.example", own), say(event.PhaseRcpt, "b@b.evil.example", own)}, "", "google/b.evil.example"},
		{"one with two mailboxes", "aspmx.l.google.com", []refused{say(event.PhaseRcpt, "a@evil.example", own), say(event.PhaseRcpt, "b@evil.example", own)}, "", "google/evil.example"},
		{"a customer, to the dot, behind a recipient of the provider's that was refused", "gmail-smtp-in.l.google.com", []refused{dot("dead@gmail.com", "evil.example", own)}, "", "google/evil.example"},
		{"likewise, to DATA", "x.mail.protection.outlook.com", []refused{with(dot("dead@honest.example", "evil.example", own), func(r *refused) { r.Phase = event.PhaseData })}, "", "office365/evil.example"},
		{"to recipients of several domains", "gmail-smtp-in.l.google.com", []refused{dot("a@gmail.com", "", own), dot("a@gmail.com", "", own), dot("b@evil.example", "", own)}, "", ""},
		{"likewise, with the provider's own code", "x.mail.protection.outlook.com", []refused{dot("a@honest.example", "", "550 5.7.606 Access denied, banned sending IP")}, "office365", ""},
		{"of a recipient without a domain", "gmail-smtp-in.l.google.com", []refused{say(event.PhaseRcpt, "postmaster", own)}, "", ""},
		{"of one at an address", "gmail-smtp-in.l.google.com", []refused{say(event.PhaseRcpt, "a@[192.0.2.25]", own)}, "", ""},
		{"the provider's own domain, to the dot", "gmail-smtp-in.l.google.com", []refused{dot("b@gmail.com", "gmail.com", own)}, "google", ""},
		{"two, of one message", "aspmx.l.google.com", []refused{
			with(say(event.PhaseRcpt, "b@evil.example", own), func(r *refused) { r.Session, r.Mails = 7, 1 }),
			with(say(event.PhaseRcpt, "b@honest.example", own), func(r *refused) { r.Session, r.Mails = 7, 1 }),
		}, "", "google/honest.example"},
	} {
		s := newSite(t, threeIPs)
		s.known(mxAddr.Addr(), test.host)
		for _, r := range test.refusals {
			if j := s.judged(r); !j.Rescue || j.SoftenTo == 0 {
				t.Errorf("%s: the mail does not go on: %+v", test.name, j)
			}
		}
		for _, provider := range []string{"google", "office365", "cisco"} {
			if got := s.suspendedAt(first, provider); got != (provider == test.whole) {
				t.Errorf("%s: suspended at %s: %t", test.name, provider, got)
			}
		}
		if test.whole+test.part == "" && len(s.book.List()) > 0 {
			t.Errorf("%s: it counts for somebody: %v", test.name, s.book.List())
		}
		if test.part != "" {
			_, place, _ := strings.Cut(test.part, "/")
			if !s.suspendedAt(first, test.part) || s.mayStay(first, "other@"+strings.Trim(place, "[]")) && place[0] != '[' {
				t.Errorf("%s: not suspended at %s", test.name, test.part)
			}
			if place[0] != '[' && !s.mayStay(first, "b@innocent.example") {
				t.Errorf("%s: mail of another tenant to another customer does not leave from there", test.name)
			}
		}
	}
}

// A suspension at one recipient domain ends by itself; the next refusal there suspends for twice as long. A restart does not end it.
func TestASuspensionAtADomainEndsByItself(t *testing.T) {
	s := newSite(t, threeIPs)
	s.known(mxAddr.Addr(), "aspmx.l.google.com")
	s.judged(listed(1, first, "b@evil.example"))
	s.restart(threeIPs)
	if s.mayStay(first, "x@evil.example") || !s.mayStay(first, "x@innocent.example") {
		t.Error("a restart has ended it, or made it one of the whole provider")
	}
	s.clock.Pass(2*time.Hour + time.Second)
	if !s.mayStay(first, "x@evil.example") {
		t.Error("it has run out and stands still")
	}
	s.judged(listed(1, first, "b@evil.example"))
	s.clock.Pass(3 * time.Hour)
	if s.mayStay(first, "x@evil.example") {
		t.Error("the second suspension is no longer than the first")
	}
	s.clock.Pass(2 * time.Hour)
	if !s.mayStay(first, "x@evil.example") {
		t.Error("it lasts for more than twice as long")
	}
}

// A customer's word neither slows an IP at his provider, nor refuses its probe.
func TestOneCustomerNeitherSlowsNorRefusesAProbe(t *testing.T) {
	s := newSite(t, threeIPs)
	s.known(mxAddr.Addr(), "aspmx.l.google.com")
	for range 5 {
		s.judged(with(listed(1, first, "b@evil.example"), func(r *refused) {
			r.Class, r.Scope, r.Suspend = classify.Throttled, classify.ScopeConnections, classify.No
		}))
	}
	key := standing.Key{IP: first, Provider: "google"}
	if p := s.book.Peek(key); p.Share != 1 {
		t.Errorf("slowed: %+v", p)
	}
	s.judged(listed(1, first, "b@a.example"))
	s.judged(listed(2, first, "b@b.example"))
	if !s.suspendedAt(first, "google") {
		t.Fatal("not suspended: the test shows nothing")
	}
	s.clock.Pass(2*time.Hour + time.Second)
	if p := s.book.May(key); p.Answer != standing.Probe {
		t.Fatalf("%+v", p)
	}
	s.judged(listed(1, first, "b@evil.example"))
	s.clock.Pass(3 * time.Minute)
	if p := s.book.Peek(key); p.Answer != standing.Probe {
		t.Errorf("the probe's refusal by one customer counts for the provider: %+v", p)
	}
}

// An MX that is no provider's suspends for mail to the domain that has refused, also where no other is known there, as behind every restart:
// it may serve others. A second domain's word is the MX's.
//
// law: I19
func TestAStrangerSuspendsAtHisOwnDomain(t *testing.T) {
	for _, known := range []bool{false, true} {
		for name, refuse := range map[string]func(s *site, to string){
			"a listing": func(s *site, to string) { s.judged(listed(1, first, to)) },
			"doubts": func(s *site, to string) {
				s.judged(doubtful(1, first, to))
				s.judged(doubtful(2, first, to))
			},
		} {
			if known && name == "doubts" {
				continue // of several domains they take several
			}
			s := newSite(t, threeIPs)
			if known {
				s.mayStay(first, "x@innocent.example")
			}
			refuse(s, "b@evil.example")
			if s.suspendedAt(first, "mx:192.0.2.25") || s.mayStay(first, "x@evil.example") || !s.mayStay(first, "x@innocent.example") {
				t.Errorf("%s, others known %t: one domain of an MX speaks for all, or not for itself", name, known)
			}
			if s.judged(listed(2, first, "b@another.example")); name == "a listing" && !s.suspendedAt(first, "mx:192.0.2.25") {
				t.Errorf("others known %t: two domains refuse, and it is not suspended at their MX", known)
			}
		}
	}
}

// One message is one word, whichever sending IP it meets: what the rescued mail of two customers meets, in other words each time, suspends no IP
// but the first at all of their provider. And one customer's word does not lead a mail through the pool.
//
// law: I19
func TestAWordIsNotSaidAgainByARescue(t *testing.T) {
	for name, host := range map[string]string{"a provider's": "x.mail.protection.outlook.com", "a stranger's": ""} {
		s := newSite(t, threeIPs)
		provider := "mx:192.0.2.25"
		if host != "" {
			s.known(mxAddr.Addr(), host)
			provider = "office365"
		}
		for i, domain := range []string{"one.example", "two.example"} {
			met := func(ip netip.Addr, again bool) session.Judgement {
				return s.judged(with(listed(1, ip, "b@"+domain), func(r *refused) {
					r.Session, r.Mails, r.Again = event.ID(i+1), 1, again
					if again {
						r.Rule, r.Text = "another", []byte("550 5.7.1 you are on a list of ours")
					}
				}))
			}
			if j := met(first, false); !j.Rescue {
				t.Errorf("%s: the mail does not go on: %+v", name, j)
			}
			if j := met(second, true); j.Rescue || j.SoftenTo == 0 || j.Why != whyOnce {
				t.Errorf("%s: it goes on from a third: %+v", name, j)
			}
			if !s.suspendedAt(second, provider+"/"+domain) {
				t.Errorf("%s: %s has refused the second IP, and it is not suspended there", name, domain)
			}
		}
		if !s.suspendedAt(first, provider) || s.suspendedAt(second, provider) {
			t.Errorf("%s: suspended: the first %t, the second %t", name, s.suspendedAt(first, provider), s.suspendedAt(second, provider))
		}
	}
}

// Doubts of one owner, whatever he calls his domains, are those of one destination; those of one MSA, whichever address of its /64 it has,
// are those of one tenant.
//
// law: I19
func TestDoubtsOfOneOwnerAreOnes(t *testing.T) {
	doubts := func(g gateway, to []string, from func(i int) string) bool {
		s := newSite(t, g)
		s.known(mxAddr.Addr(), "aspmx.l.google.com")
		var j session.Judgement
		for i := range 3 * len(to) {
			j = s.judged(with(doubtful(1, first, "x@"+to[i%len(to)]), func(r *refused) { r.rejection.Source = netip.MustParseAddr(from(i)) }))
		}
		return j.Rescue
	}
	tenants := func(i int) string { return fmt.Sprintf("10.20.%d.5", 1+i%3) }
	if !doubts(threeIPs, []string{"a.example", "b.example", "c.example", "d.example"}, tenants) {
		t.Error("three tenants at four domains: not heard, and the test shows nothing")
	}
	if doubts(threeIPs, []string{"a.evil.example", "b.evil.example", "c.evil.example", "d.evil.example"}, tenants) {
		t.Error("one owner's names are four destinations")
	}
	privacy := func(i int) string { return fmt.Sprintf("2001:db8:1:1::%d", i+1) } // one host, many addresses: no second tenant, and so one's word
	s := newSite(t, withoutTenants)
	for i := range 3 {
		s.sites.from(netip.MustParseAddr(privacy(i)))
	}
	if !s.sites.oneTenant(0) {
		t.Error("one host's addresses are several tenants")
	}
	s.sites.from(netip.MustParseAddr("2001:db8:1:2::1"))
	if s.sites.oneTenant(0) {
		t.Error("two networks are one tenant")
	}
}

// Whoever has a subscriber's line has its name as MX of his domain. What it says is about itself.
//
// audit-A2
func TestASubscribersMXSpeaksForItself(t *testing.T) {
	s := newSite(t, threeIPs)
	s.dns.MXs["evil.example."] = "wsip-70-10-20-30.ri.ri.cox.net."
	s.dns.Addrs = []netip.Addr{mxAddr.Addr()}
	if a := s.providers.Find(context.Background(), "evil.example", "acme"); a.Provider != "" || !a.Known {
		t.Fatalf("%+v", a)
	}
	s.judged(listed(1, first, "b@evil.example"))
	for _, standing := range s.book.List() {
		if standing.Provider != "mx:192.0.2.25/evil.example" {
			t.Errorf("suspended at %s", standing.Provider)
		}
	}
	if s.suspendedAt(first, "cox") {
		t.Error("it is suspended at Cox")
	}
}

// Two MXs are two witnesses only if nothing that is known of them is the same: DNS tells the names of MXs.
//
// audit-A3
func TestWhoOwnsTwoMXsIsOneWitness(t *testing.T) {
	s := newSite(t, threeIPs)
	marker := witness.NewMarker(witness.NewSecret())
	mark := func(mx, domain string) witness.Mark {
		r := s.Witness(netip.MustParseAddr(mx), domain)
		return marker.Mark(&r)
	}
	s.dns.MXs["a.example."], s.dns.MXs["b.example."] = "mx1.hoster.example.", "mx2.hoster.example."
	if one, two := mark("192.0.2.1", "a.example"), mark("198.51.100.1", "b.example"); one.Same(two) {
		t.Error("nothing is known yet that they have in common")
	}
	for _, domain := range []string{"a.example", "b.example"} {
		s.providers.Find(context.Background(), domain, "acme")
	}
	if one, two := mark("192.0.2.1", "a.example"), mark("198.51.100.1", "b.example"); !one.Same(two) {
		t.Error("their MXs have names of one organisation")
	}
	s.known(netip.MustParseAddr("203.0.113.200"), "aspmx.l.google.com")
	if m := mark("203.0.113.200", "a.example"); !m.Named() {
		t.Error("a provider's MX is a stranger's")
	}
}

// What many domains of one owner make kanmon remember does not push out providers.
func TestDomainsOfAProviderAreStrangersAmongTheKeys(t *testing.T) {
	s := newSite(t, threeIPs)
	s.known(mxAddr.Addr(), "aspmx.l.google.com")
	if s.judged(listed(1, first, "b@gmail.com")); !s.suspendedAt(first, "google") {
		t.Fatal("not suspended: the test shows nothing")
	}
	for i := range 2 * standing.DefaultMaxKeys {
		s.book.Observe(standing.Evidence{
			IP: second, Provider: "google", Place: fmt.Sprintf("n%d.example", i), Witness: "evil.example", Class: event.IPBlocklisted, Scope: event.ScopeIP, Suspend: event.SuspendYes,
		})
	}
	if !s.suspendedAt(first, "google") || len(s.book.List()) > standing.DefaultMaxKeys {
		t.Errorf("%d standings", len(s.book.List()))
	}
}
