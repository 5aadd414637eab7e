package outlet

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/smtp/smtptest"
)

// atGoogle is a site whose DNS gives Gmail's and a customer's MX this address.
func atGoogle(t *testing.T, g gateway, addr netip.Addr) *site {
	t.Helper()
	s := newSite(t, g)
	s.dns.MXs["gmail.com."], s.dns.MXs["hosted.example."] = "gmail-smtp-in.l.google.com.", "aspmx.l.google.com."
	s.dns.Addrs = []netip.Addr{addr}
	return s
}

func (s *site) stopAt(provider string, ips ...netip.Addr) {
	s.t.Helper()
	for _, ip := range ips {
		if err := s.book.Stop(standing.Key{IP: ip, Provider: provider}, "asked", "me"); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Any mail to a provider teaches whose the MX's address is, not only one that is refused; and that is known from the start after a
// restart, with whatever DNS does then.
func TestSuspensionHoldsFromTheFirstSession(t *testing.T) {
	for _, domain := range []string{"gmail.com", "hosted.example"} {
		s := atGoogle(t, poolOf(2).byTenant(), mxAddr.Addr())
		m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@" + domain, mx: mxAddr.String()}
		s.send(m)
		smtptest.WaitUntil(t, "the MX is known to be Google's", func() bool { return s.providers.At(mxAddr.Addr()) == "google" })
		first := s.send(m)
		s.stopAt("google", first)
		s.dns = &smtptest.DNS{MXs: map[string]string{}} // nothing more is to be heard
		s.restart(poolOf(2).byTenant())
		if ip, ok := s.dialled(request{Source: msa, Destination: mxAddr}); ip == first || !ok {
			t.Errorf("%s: the first session after a restart begins at %s, which is stopped at google", domain, ip)
		}
		s.moves = 0
		if ip := s.send(m); ip == first || !ip.IsValid() || s.moves != 0 {
			t.Errorf("%s: its mail leaves from %s, with %d moves", domain, ip, s.moves)
		}
	}
}

// As long as nobody knows whose an MX is, what stands at the provider of the recipient's domain counts: the mail moves at RCPT, or is not
// sent.
func TestRecipientsDomainTellsTheProvider(t *testing.T) {
	for name, recipient := range map[string]string{
		"the provider's own domain": "x@gmail.com", "a carrier's, which has no MX of a known name": "x@docomo.ne.jp",
		"a domain that DNS must be asked about": "x@hosted.example",
	} {
		t.Run(name, func(t *testing.T) {
			provider := "google"
			if strings.Contains(recipient, "docomo") {
				provider = "docomo"
			}
			s := atGoogle(t, poolOf(2).byTenant(), netip.MustParseAddr("192.0.2.99")) // not the one that the MSA has dialled
			m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "y@example.org", mx: mxAddr.String()}
			usual := s.send(m)
			s.stopAt(provider, usual)
			m.recipient = recipient
			s.moves = 0
			other := s.send(m)
			if other == usual || !other.IsValid() || s.moves != 1 {
				t.Errorf("%s is stopped there, and the mail leaves from %s after %d moves", usual, other, s.moves)
			}
			s.stopAt(provider, other)
			if ip := s.send(m); ip.IsValid() {
				t.Errorf("both are stopped there, and the mail leaves from %s", ip)
			}
			m.recipient = "y@example.org"
			if ip := s.send(m); ip != usual {
				t.Errorf("other mail leaves from %s, want %s", ip, usual)
			}
		})
	}
}

// A suspension that has run out at the domain's provider holds nothing back: an MX that nobody knows cannot probe it.
func TestSuspensionThatHasRunOutHoldsNothing(t *testing.T) {
	s := atGoogle(t, poolOf(1).byTenant(), netip.MustParseAddr("192.0.2.99"))
	m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@gmail.com", mx: mxAddr.String()}
	if err := s.book.Suspend(standing.Key{IP: ip10, Provider: "google"}, s.clock.Now().Add(time.Hour), "asked", "me"); err != nil {
		t.Fatal(err)
	}
	if ip := s.send(m); ip.IsValid() {
		t.Errorf("suspended, and the mail leaves from %s", ip)
	}
	s.clock.Pass(2 * time.Hour)
	for range 3 {
		if ip := s.send(m); ip != ip10 {
			t.Errorf("it has run out, and the mail leaves from %s", ip)
		}
	}
	if got, _ := s.book.Show(standing.Key{IP: ip10, Provider: "google"}); got.State == standing.Probing {
		t.Error("a probe is under way of which nobody will hear")
	}
}

// A session waits for DNS only where something stands against its IP, and only once.
func TestOnlyASpottedIPWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answers = 300 * time.Millisecond
		s := atGoogle(t, poolOf(2).byTenant(), netip.MustParseAddr("192.0.2.99"))
		s.dns.Delay.Store(int64(answers))
		m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@hosted.example", mx: mxAddr.String()}
		sent := func() (ip netip.Addr, waited time.Duration) {
			began := time.Now()
			ip = s.send(m)
			return ip, time.Since(began)
		}
		usual, waited := sent()
		if waited > 0 {
			t.Errorf("nothing stands against %s, and the session has waited for %s", usual, waited)
		}
		s.stopAt("yahoo", usual)
		m.recipient = "x@second.example"
		if _, waited = sent(); waited != answers {
			t.Errorf("%s is stopped at Yahoo, nobody knows whose second.example is, and the session has waited for %s", usual, waited)
		}
		if _, waited = sent(); waited > 0 {
			t.Errorf("it is known that second.example is nobody's, and the session has waited for %s", waited)
		}
	})
}
