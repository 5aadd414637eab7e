package outlet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
)

// A verdicts is what the times say of sending IPs at the MX of the tests.
type verdicts struct {
	shares map[netip.Addr]float64
}

func (s *verdicts) Speaks() bool { return len(s.shares) > 0 }
func (s *verdicts) Share(k slow.Key) float64 {
	if share, said := s.shares[k.IP]; said && k.Provider == "mx:"+mxAddr.Addr().String() {
		return share
	}
	return 1
}

// says has the times speak against a sending IP from now on.
func (s *verdicts) says(ip netip.Addr, share float64) {
	if s.shares == nil {
		s.shares = map[netip.Addr]float64{}
	}
	s.shares[ip] = share
}

func ofSender(i int, sender string) request {
	return request{Session: event.ID(i), Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: sender, SenderKnown: sender != "", Recipient: "b@own.example"}}
}

// A sending IP that the times speak against keeps its share of the sessions that would begin there, and those alone go elsewhere. What leaves from
// another one in its place says so. Where a session has begun it goes on, whatever is said then.
//
// law: I11
func TestTheTimesMoveNewSessions(t *testing.T) {
	for name, g := range map[string]gateway{"by sender": poolOf(3), "by tenant": poolOf(3).byTenant()} {
		for _, share := range []float64{.5, .05} {
			t.Run(fmt.Sprint(name, " ", share), func(t *testing.T) {
				o, said := newOutlet(t, g), &verdicts{}
				o.times, o.dialer = said, instantDialer{}
				const sessions = 3000
				from := func(i int) (ip netip.Addr, way *event.Way) {
					out, err := o.Dial(t.Context(), ofSender(i, "a@sender.example"))
					if err != nil {
						t.Fatal(err)
					}
					return out.SendingIP, out.Way
				}
				own, _ := from(0)
				said.says(own, share)
				kept := 0
				for i := range sessions {
					req := ofSender(i, "a@sender.example")
					ip, way := from(i)
					if ip == own {
						kept++
					}
					if (way.Instead == own) != (ip != own) {
						t.Fatalf("session %d leaves from %v, instead of %v", i, ip, way.Instead)
					}
					for _, recipient := range []string{"", "b@own.example"} {
						if req.Recipient = recipient; !o.MayStay(req, ip) {
							t.Fatalf("session %d is sent away from %v, where the same draw has sent it", i, ip)
						}
						if g.pools[0].BySender || ip == own {
							continue
						}
						if !o.MayStay(req, own) {
							t.Fatalf("session %d has begun at %v, and is moved", i, own)
						}
					}
				}
				if part := float64(kept) / sessions; part < .9*share-.01 || part > 1.1*share+.01 {
					t.Errorf("%v of the sessions leave from it, want %v", part, share)
				}
			})
		}
	}
}

// A mail whose session has begun at another IP, and that stays there because the times speak against its own, says so, once; a session that has said so
// when it was connected does not say it again.
func TestAMailThatStaysForTheTimesSakeSaysSo(t *testing.T) {
	o, said := newOutlet(t, poolOf(3)), &verdicts{}
	o.times, o.dialer = said, instantDialer{}
	notesOf := func(req request, at netip.Addr) (notes []event.Note) {
		for _, recipient := range []string{"", "b@own.example"} {
			req.Recipient = recipient
			notes = append(notes, o.wayOf(req).MayStay(req.DialRequest, at).Notes...)
		}
		return notes
	}
	own := func(i int) netip.Addr {
		out, err := o.Dial(t.Context(), ofSender(i, "a@sender.example"))
		if err != nil {
			t.Fatal(err)
		}
		return out.SendingIP
	}(0)
	said.says(own, 1e-12)
	out, err := o.Dial(t.Context(), ofSender(1, "a@sender.example"))
	if err != nil || out.SendingIP == own || len(out.Notes) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	other := out.SendingIP
	if notes := notesOf(ofSender(1, "a@sender.example"), other); len(notes) > 0 {
		t.Errorf("told again: %+v", notes)
	}
	for _, mail := range []string{"first", "second"} {
		notes := notesOf(ofSender(2, "a@sender.example"), other)
		if told := len(notes) == 1 && notes[0].Did == "moved" && notes[0].Rule == "timing of "+own.String(); told != (mail == "first") {
			t.Errorf("%s mail: %+v", mail, notes)
		}
	}
	for name, at := range map[string]netip.Addr{"at its own": own} {
		if notes := notesOf(ofSender(3, "a@sender.example"), at); len(notes) > 0 {
			t.Errorf("%s: %+v", name, notes)
		}
	}
}

// A share is of what could as well go elsewhere: a greylister's mail, a pool of one, a pool whose others are suspended, a route whose standings are
// only shown, and a rescue are as they were.
//
// law: I11
// law: I19
func TestTheTimesMakeNoIPUnusable(t *testing.T) {
	const never = 1e-12
	leaves := func(o *rig, req request) netip.Addr {
		out, err := o.Dial(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return out.SendingIP
	}
	t.Run("a pin", func(t *testing.T) {
		s, said := newSite(t, poolOf(3)), &verdicts{}
		s.times, s.dialer = said, instantDialer{}
		req := ofSender(1, "a@sender.example")
		own := leaves(s.rig, req)
		r := refusedTo("10.20.1.5", own, mxAddr, req.Sender, req.Recipient, greylisted)
		r.Code = 450
		s.Judge(r)
		said.says(own, never)
		for i := range 100 {
			req := ofSender(100+i, "a@sender.example")
			if ip := leaves(s.rig, req); ip != own || !s.MayStay(req, ip) {
				t.Fatalf("a mail that was greylisted at %v leaves from %v", own, ip)
			}
		}
	})
	for name, test := range map[string]struct {
		gateway gateway
		change  func(o *rig, own netip.Addr)
	}{
		"a pool of one": {poolOf(1), nil},
		"the others are suspended": {poolOf(3), func(o *rig, own netip.Addr) {
			for i := range 3 {
				if ip := netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}); ip != own {
					_ = o.book.Suspend(standing.Key{IP: ip, Provider: standing.Every}, time.Now().Add(time.Hour), "asked", "me")
				}
			}
		}},
		"standings are only shown": {poolOf(3).handling(noSuspending), nil},
	} {
		t.Run(name, func(t *testing.T) {
			o, said := newOutlet(t, test.gateway), &verdicts{}
			o.times, o.dialer = said, instantDialer{}
			own := leaves(o, ofSender(1, "a@sender.example"))
			said.says(own, never)
			if test.change != nil {
				test.change(o, own)
			}
			for i := range 100 {
				req := ofSender(100+i, "a@sender.example")
				if ip := leaves(o, req); ip != own || !o.MayStay(req, ip) {
					t.Fatalf("leaves from %v, want %v", ip, own)
				}
			}
		})
	}
	t.Run("a rescue", func(t *testing.T) {
		o, said := newOutlet(t, sending("203.0.113.10", "203.0.113.11")), &verdicts{}
		o.times = said
		said.says(second, never)
		req := ofSender(1, "a@sender.example")
		req.Avoid, req.Rescue = []netip.Addr{first}, true
		choice, _ := o.router.Choose(o.query(req))
		if ip, _, err := o.permitted(choice, req); err == nil {
			t.Errorf("a rescue adds to the mail of %v, which is answered slowly", ip.Address)
		}
	})
}

// A sending IP that warms up takes no more for what is found of others, and no less for what is found of itself: that is for its plan to say, by a
// finding of the day.
//
// law: I11
func TestTheTimesLeaveAWarmingIPToItsPlan(t *testing.T) {
	warming := second
	r := newRamp(t, sending("203.0.113.10", "203.0.113.11").pool(route.DefaultPool, "203.0.113.10", "203.0.113.11"), amounts(1000, 1000), warming)
	said := &verdicts{}
	r.times = said
	from := func(n int) (count map[netip.Addr]int) {
		count = map[netip.Addr]int{}
		for i := range n {
			l := r.write(fmt.Sprintf("a@sender%d.example", i%10), "b@own.example", mxAddr.String())
			count[l.ip]++
			l.accepted()
		}
		return count
	}
	before := from(100)
	if before[first] == 0 || before[warming] == 0 {
		t.Fatalf("all mail leaves from one IP: %v", before)
	}
	for _, ip := range []netip.Addr{first, warming} {
		said.shares = map[netip.Addr]float64{ip: 1e-12}
		if after := from(100); after[warming] != before[warming] || after[first] != before[first] {
			t.Errorf("with findings of %v %v leave from where, before %v", ip, after, before)
		}
	}
	found := slow.Found{Key: slow.Key{IP: warming, Provider: "google"}}
	found.Scope = timing.ThisIPHere
	r.state.TimesSpeak(&found, "slow at google: rcpt")
	e, _ := r.state.Warming().Get(warming)
	if c := e.Classes["google"]; c.Finding != "slow at google: rcpt" || e.Finding != "" {
		t.Errorf("a finding at one destination is noted as %q, and of the IP as %q", c.Finding, e.Finding)
	}
	for i, want := range []string{"", "slow there, too"} { // of all others one is not all of them
		found.Key.Provider = fmt.Sprintf("mx:198.51.%d.1", i)
		r.state.TimesSpeak(&found, "slow there, too")
		e, _ = r.state.Warming().Get(warming)
		if c := e.Classes[warm.Others]; c.Finding != want {
			t.Errorf("of %d others it is noted as %q", i+1, c.Finding)
		}
	}
	found.Scope = timing.OneTenant
	found.Key.Provider = "outlook"
	r.state.TimesSpeak(&found, "slow at outlook: rcpt")
	found.Scope = timing.ThisIPEverywhere
	r.state.TimesSpeak(&found, "slow everywhere")
	if e, _ = r.state.Warming().Get(warming); e.Finding != "slow everywhere" || e.Classes["outlook"].Finding != "" {
		t.Errorf("%+v", e.State)
	}
}
