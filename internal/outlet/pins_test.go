package outlet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

const (
	greylisted = "450 4.2.0 Greylisted, see you in five minutes"
	silently   = "450 4.3.2 Service currently unavailable" // postscreen
)

// poolOf is a pool of so many addresses from 203.0.113.10 on.
func poolOf(n int) gateway {
	var ips []string
	for i := range n {
		ips = append(ips, fmt.Sprintf("203.0.113.%d", 10+i))
	}
	return sending(ips...).pool("default", ips...)
}

// Mails that may have met greylisting come again from the same IP, whatever has been learnt, lost or changed meanwhile.
//
// law: I11
func TestRetryLeavesFromTheSameIP(t *testing.T) {
	learnt := func(s *site) {
		for _, mx := range []string{"192.0.2.25", "198.51.100.77"} {
			s.learnt.addresses.Put(netip.MustParseAddr(mx), provider.MX{Host: "example-net.mail.protection.outlook.com"})
		}
	}
	day := func(s *site) { s.clock.Pass(24 * time.Hour) }
	for name, between := range map[string]struct {
		mx      string
		happens func(*site)
	}{
		"nothing":                {"192.0.2.25:25", func(*site) {}},
		"the provider is learnt": {"192.0.2.25:25", learnt},
		"a restart":              {"192.0.2.25:25", func(s *site) { s.restart(s.like(poolOf(4))) }},
		"the other MX":           {"198.51.100.77:25", func(*site) {}},
		"the IPs are slowed": {"192.0.2.25:25", func(s *site) {
			for i := range 4 {
				for range 8 {
					throttle(s.rig, standing.Key{IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}), Provider: "mx:192.0.2.25"})
				}
			}
		}},
		"a day":                 {"192.0.2.25:25", day},
		"the pool gains an IP":  {"192.0.2.25:25", func(s *site) { s.restart(s.like(poolOf(5))) }},
		"all of it, but slowed": {"198.51.100.77:25", func(s *site) { learnt(s); day(s); s.restart(s.like(poolOf(5))) }},
	} {
		for _, reply := range []string{greylisted, silently} {
			for sticky, g := range map[string]gateway{"by sender": poolOf(4), "by tenant": poolOf(4).byTenant()} {
				t.Run(fmt.Sprintf("%s, %q, %s", name, reply[:9], sticky), func(t *testing.T) {
					testRetry(t, newSite(t, g), reply, between.mx, between.happens)
				})
			}
		}
	}
}

// like makes the last pool of a gateway as sticky as the site's.
func (s *site) like(g gateway) gateway {
	choice, _ := s.router.Choose(route.Query{Source: msa, Destination: mxAddr, Suspicion: -1})
	if choice.BySender {
		return g
	}
	return g.byTenant()
}

// testRetry sends mails of many senders, each to be told apart from one that comes back from its IP by chance, and twice again.
func testRetry(t *testing.T, s *site, reply, mx string, happens func(*site)) {
	const mails = 12
	var met [mails]netip.Addr
	mail := func(i, try int, mx string) mailOf {
		return mailOf{
			source: fmt.Sprintf("10.20.%d.5", i), sender: fmt.Sprintf("a@d%d.example", i), recipient: "b@Example.net", mx: mx,
			session: event.ID(1000*try + i),
		}
	}
	for i := range mails {
		m := mail(i, 0, "192.0.2.25:25")
		met[i] = s.send(m)
		s.refuse(m, met[i], 450, reply)
	}
	happens(s)
	for try := 1; try <= 2; try++ {
		for i := range mails {
			m := mail(i, try, mx)
			ip := s.send(m)
			if ip != met[i] {
				t.Errorf("mail %d, retry %d: from %s, was told to come back from %s", i, try, ip, met[i])
			}
			s.refuse(m, ip, 450, reply)
		}
	}
}

// What is put off in the words of a mailbox, of a receiver, or of a throttle that does not say of what, comes again from the IP that met it.
func TestWhatDoesNotSayGreylistedComesBack(t *testing.T) {
	for _, reply := range []string{
		"452 4.2.0 deferred, first contact", "451 Resources temporarily unavailable. Please try again later [#4.16.5]",
		"451 4.7.500 Server busy. Please try again later from [203.0.113.11]. (AS77712304)", "450 4.2.1 mailbox temporarily unavailable",
		"450 4.1.1 <b@example.net>: Recipient address rejected: unverified address: Address verification in progress",
	} {
		s := newSite(t, poolOf(4))
		m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "b@example.net", mx: "192.0.2.25:25"}
		met := ip10
		if s.send(m) == met {
			met = ip11 // not where it would leave from by itself
		}
		var code int
		if _, err := fmt.Sscan(reply, &code); err != nil {
			t.Fatal(err)
		}
		s.refuse(m, met, code, reply)
		if ip := s.send(m); ip != met {
			t.Errorf("%s: the retry leaves from %s, want %s", reply, ip, met)
		}
	}
}

// A pin chooses among what may be used: it is never against a suspension, an operator, a pool, or what the session has met.
func TestPinMakesNothingUsable(t *testing.T) {
	for name, happens := range map[string]func(s *site, m *mailOf, met netip.Addr){
		"suspended by evidence": func(s *site, m *mailOf, met netip.Addr) {
			s.Judge(atMAIL(refusedTo(m.source, met, mxAddr, "other@example.org", "x@example.net", listing)))
		},
		"stopped by hand": func(s *site, _ *mailOf, met netip.Addr) {
			if err := s.book.Stop(standing.Key{IP: met, Provider: standing.Every}, "asked", "me"); err != nil {
				t.Fatal(err)
			}
		},
		"no more of the pool": func(s *site, _ *mailOf, met netip.Addr) {
			s.restart(without(met))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, poolOf(4))
			m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "b@example.net", mx: "192.0.2.25:25"}
			met := s.send(m)
			s.refuse(m, met, 450, greylisted)
			happens(s, &m, met)
			if ip := s.send(m); ip == met || !ip.IsValid() {
				t.Errorf("the retry leaves from %s, and it was from %s that it may not", ip, met)
			}
		})
	}
}

// without is the pool of four but for one, which goes to a pool of nobody's.
func without(gone netip.Addr) gateway {
	four, rest := poolOf(4), []string{}
	for _, ip := range four.ips {
		if ip != gone.String() {
			rest = append(rest, ip)
		}
	}
	return sending(four.ips...).pool("default", rest...).pool("other", gone.String())
}

// What is about the IP, and what is not greylisting, pins nothing; a pin ends with its time, and where the IP is refused.
func TestWhatPinsNot(t *testing.T) {
	pinsOf := func(code int, text string) int {
		s := newSite(t, poolOf(4))
		m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "b@example.net", mx: "192.0.2.25:25"}
		s.refuse(m, ip10, code, text)
		defer s.end()
		return s.learnt.pins.Len()
	}
	for _, c := range []struct {
		pins int
		text string
	}{
		{2, "450 4.2.0 Greylisted"},
		{2, "421 4.7.0 greylisted, come back in five minutes"},
		{2, "451 4.3.0 Temporary lookup failure"},
		{2, "451 DEFER"},
		{2, "452 4.2.0 deferred, first contact"},
		{2, "451 Resources temporarily unavailable. Please try again later [#4.16.5]"},
		{2, "451 4.7.500 Server busy. Please try again later from [203.0.113.10]. (AS77712304)"},
		{2, "450 4.2.1 mailbox temporarily unavailable"},
		{2, "450 mailbox unavailable"},
		{2, "450 4.1.1 <b@example.net>: Recipient address rejected: unverified address: Address verification in progress"},
		{2, "450 4.2.1 The user you are trying to contact is receiving mail too quickly"},
		{0, "451 4.7.1 rate limit exceeded"},
		{0, "451 4.7.1 too much mail from 203.0.113.10"},
		{0, "450 4.7.1 too many connections from your IP"},
		{0, "451 4.7.650 The mail server [203.0.113.10] has been temporarily rate limited due to IP reputation"},
		{0, "452 4.5.3 too many recipients"},
		{0, "452 4.2.2 mailbox full"},
		{0, "452 4.3.1 Insufficient system storage"},
		{0, "450 4.1.8 Sender address rejected: Domain not found"},
		{0, "450 4.7.1 Client host rejected: cannot find your reverse hostname"},
		{0, "451 4.7.1 Your IP 203.0.113.10 is on our block list, try again later"},
		{0, "421 4.3.0 Temporary server error"},
		{0, "550 5.1.1 no such user"},
		{0, "554 5.7.1 Service unavailable; Client host [203.0.113.10] blocked using zen."},
	} {
		var code int
		if _, err := fmt.Sscan(c.text, &code); err != nil {
			t.Fatal(err)
		}
		if n := pinsOf(code, c.text); n != c.pins {
			t.Errorf("%s: %d pins, want %d", c.text, n, c.pins)
		}
	}
	s := newSite(t, poolOf(4))
	m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "b@example.net", mx: "192.0.2.25:25"}
	s.refuse(m, ip10, 450, greylisted)
	s.refuse(m, ip11, 550, listing)
	if s.learnt.pins.Len() != 2 {
		t.Error("another IP is refused, and the pin is gone")
	}
	s.refuse(m, ip10, 550, listing)
	if s.learnt.pins.Len() != 0 {
		t.Error("the pinned IP is refused, and mail is held to it")
	}
	s.refuse(m, ip11, 450, greylisted)
	s.clock.Pass(pinLife)
	if ip, _, found := s.learnt.pins.Get(pinKey{source: msa, sender: "b.example", recipient: "example.net", mx: netip.IPv4Unspecified()}); found {
		t.Errorf("pinned to %s for ever", ip)
	}
}

// Where the recipients of a mail are pinned to different IPs, the first one's holds.
func TestFirstRecipientsPinHolds(t *testing.T) {
	s := newSite(t, poolOf(4))
	m := mailOf{source: "10.20.1.5", sender: "a@b.example", mx: "192.0.2.25:25"}
	to := map[string]netip.Addr{"x@one.example": ip10, "x@two.example": ip11}
	for recipient, ip := range to {
		m.recipient = recipient
		s.refuse(m, ip, 450, greylisted)
	}
	for recipient, want := range to {
		m.recipient = recipient
		if ip := s.send(m); ip != want {
			t.Errorf("to %s: from %s, want %s", recipient, ip, want)
		}
	}
}

// A retry that goes to the MX's address of the other family does not cost the first one its pin.
func TestPinsOfBothFamilies(t *testing.T) {
	both := []string{"203.0.113.10", "203.0.113.11", "203.0.113.12", "2001:db8::10", "2001:db8::11", "2001:db8::12"}
	s := newSite(t, sending(both...).pool("default", both...))
	met := map[string]netip.Addr{
		"192.0.2.25:25": netip.MustParseAddr("203.0.113.11"), "[2001:db8:2::25]:25": netip.MustParseAddr("2001:db8::12"),
	}
	for i := range 8 { // whichever the sender's own is
		m := mailOf{source: "10.20.1.5", sender: fmt.Sprintf("a@d%d.example", i), recipient: "b@example.net"}
		for m.mx = range met {
			s.refuse(m, met[m.mx], 450, greylisted)
		}
		for _, mx := range []string{"192.0.2.77:25", "[2001:db8:2::77]:25", "192.0.2.25:25", "[2001:db8:2::25]:25"} {
			want := met["192.0.2.25:25"]
			if m.mx = mx; mx[0] == '[' {
				want = met["[2001:db8:2::25]:25"]
			}
			if ip := s.send(m); ip != want {
				t.Errorf("%s by %s: from %s, was told to come back from %s", m.sender, mx, ip, want)
			}
		}
	}
}

// One tenant's greylisting does not cost another tenant its pins.
func TestPinsAreSharedAmongTenants(t *testing.T) {
	s := newSite(t, poolOf(4))
	quiet := mailOf{source: "10.20.2.5", sender: "a@b.example", recipient: "b@example.net", mx: "192.0.2.25:25"}
	s.refuse(quiet, ip10, 450, greylisted)
	for i := range mostPins {
		s.learnt.pins.Put(pinKey{source: msa, sender: "b.example", recipient: fmt.Sprintf("d%d.example", i)}, ip11)
	}
	for i := range 2 * mostPins { // a /64 is one MSA
		host := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		s.learnt.pins.Put(pinKey{source: host, sender: "b.example", recipient: "d.example"}, ip11)
	}
	if ip := s.send(quiet); ip != ip10 {
		t.Errorf("from %s, was told to come back from %s", ip, ip10)
	}
}

// The daemon begins a session at the IP of the sender that the MSA is likely to come with: always right where it has only one, and in a mix
// of many it spares most of the second connections that there were before.
func TestSessionsBeginAtTheirSendersIP(t *testing.T) {
	s := newSite(t, poolOf(4))
	for i := range 200 {
		s.send(mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@example.net", mx: fmt.Sprintf("192.0.2.%d:25", i%50)})
		if i == 0 {
			s.moves = 0
		}
	}
	if s.moves > 0 {
		t.Errorf("one sender domain: %d of 199 sessions are moved after the first", s.moves)
	}
	moved := map[bool]int{}
	for _, foretold := range []bool{false, true} {
		s.moves = 0
		if s.forecast = nil; foretold {
			s.forecast = route.NewForecast()
		}
		for i := range 2000 {
			domain := i / 4 * 7919 % 500   // in runs of four
			domain = domain * domain / 500 // few of them are most of the mail
			s.send(mailOf{source: "10.20.9.5", sender: fmt.Sprintf("a@d%d.example", domain), recipient: "x@example.net", mx: "192.0.2.25:25"})
		}
		moved[foretold] = s.moves
	}
	t.Logf("2000 sessions, a pool of four: %d moved without a forecast, %d with it", moved[false], moved[true])
	if 2*moved[true] > moved[false] {
		t.Error("more than half of them are still moved")
	}
}

// What is likely does not make an IP usable, nor does it take a session out of its pool.
func TestForecastMakesNothingUsable(t *testing.T) {
	s := newSite(t, poolOf(4))
	m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@example.net", mx: mxAddr.String()}
	own := s.send(m)
	req := request{Source: msa, Destination: mxAddr}
	if ip, ok := s.dialled(req); ip != own || !ok {
		t.Fatalf("the next session begins at %s, its sender's is %s: the test shows nothing", ip, own)
	}
	s.Judge(atMAIL(refusedTo(m.source, own, mxAddr, m.sender, m.recipient, listing)))
	if ip, ok := s.dialled(req); ip == own || !ok {
		t.Errorf("suspended, and the next session begins at %s", ip)
	}
	req.Destination = netip.MustParseAddrPort("192.0.2.26:25")
	elsewhere, _ := s.dialled(req)
	req.Avoid = []netip.Addr{elsewhere}
	if ip, ok := s.dialled(req); ip == elsewhere || !ok {
		t.Errorf("refused in this session, and it begins there again: %s", ip)
	}
}

// With all that is learnt, MayStay allocates nothing where nothing is to be learnt: it is asked for every mail.
func TestMayStayDoesNotAllocateWhereMuchIsKnown(t *testing.T) {
	for name, pinned := range map[string]bool{"nothing is pinned": false, "the mail is pinned": true} {
		s := atGoogle(t, poolOf(4), mxAddr.Addr())
		m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@gmail.com", mx: mxAddr.String()}
		s.send(m)
		smtptest.WaitUntil(t, "the MX is known to be Google's", func() bool { return s.providers.At(mxAddr.Addr()) == "google" })
		ip := s.send(m)
		if pinned {
			s.refuse(m, ip, 450, greylisted)
		}
		req := request{Session: 1, Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: m.sender, SenderKnown: true, Recipient: m.recipient}}
		if n := testing.AllocsPerRun(100, func() { s.MayStay(req, ip) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkMayStay(b *testing.B) {
	for _, mails := range []string{"first", "further"} { // of a session
		b.Run(mails, func(b *testing.B) {
			s := newSite(b, poolOf(4))
			m := mailOf{source: "10.20.1.5", sender: "a@b.example", recipient: "x@gmail.com", mx: mxAddr.String()}
			ip := s.send(m)
			req := request{Session: 1, Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: m.sender, SenderKnown: true}}
			w := s.wayOf(req)
			b.ReportAllocs()
			for b.Loop() {
				if mails == "first" {
					w.mails = 0
				}
				for _, req.Recipient = range []string{"", m.recipient} {
					w.MayStay(req.DialRequest, ip)
				}
			}
		})
	}
}
