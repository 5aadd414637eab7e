package outlet

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// forgets has it not known whose the MX is.
func (w *roomy) forgets() { w.learnt.addresses.Drop(mxAddr.Addr()) }

// A connection whose MX was nobody's that is known when it was made is counted from its next mail on, and like any other from then.
func TestAConnectionThatWasMadeBeforeItsProviderWasKnown(t *testing.T) {
	limits := []shape.Limit{{Count: shape.Connections, Amount: 1}, {Count: shape.MessagesPerConnection, Amount: 2}}
	t.Run("is followed by another one", roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, limits...))
		w.forgets()
		s := w.session(1, "")
		s.dial(t)
		w.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: "aspmx.l.google.com"})
		s.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		for range 2 {
			if stay := s.MayStay(s.req, s.out.SendingIP); stay.Moves || stay.Full != nil {
				t.Fatalf("%+v", stay)
			}
		}
		if full := w.session(2, "").dial(t); full == nil {
			t.Error("it has no place")
		}
		if stay := s.MayStay(s.req, s.out.SendingIP); !stay.Anew {
			t.Fatalf("the third mail: %+v", stay)
		}
		s.hangUp()
		if full := s.dial(t); full != nil {
			t.Error("its own place is in its way:", full)
		}
		s.hangUp()
		s.Close()
		if full := w.session(3, "").dial(t); full != nil {
			t.Error(full)
		}
	}))
	t.Run("is left for another sending IP", roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On, limits...))
		w.forgets()
		s := w.session(1, "")
		s.dial(t)
		w.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: "aspmx.l.google.com"})
		first := s.out.SendingIP
		s.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		s.MayStay(s.req, first)
		held := s.out
		s.req.Avoid = []netip.Addr{first} // it was refused there
		if full := s.dial(t); full != nil || s.out.SendingIP == first {
			t.Fatal(full)
		}
		held.Closed()
		s.MayStay(s.req, s.out.SendingIP)
		if full := w.session(2, "").dial(t); full != nil {
			t.Error("the connection that is over still has its place:", full)
		}
	}))
}

// The MX may end a connection whose place nobody gives back: it was made before anybody knew whose the MX is.
func TestAConnectionThatIsOverIsNotInTheWayOfTheNext(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 1}))
		w.forgets()
		s := w.session(1, "")
		s.dial(t)
		w.learnt.addresses.Put(mxAddr.Addr(), provider.MX{Host: "aspmx.l.google.com"})
		s.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		s.MayStay(s.req, s.out.SendingIP)
		s.hangUp()
		if full := s.dial(t); full != nil {
			t.Fatal("its own place is in its way:", full)
		}
		s.hangUp()
		if full := w.session(2, "").dial(t); full != nil {
			t.Error(full)
		}
	})(t)
}

// A connection that is to follow one that is over leaves from the same sending IP, as long as that may be used.
//
// law: I11
func TestWhatFollowsAConnectionLeavesFromNoIPThatMayNotBeUsed(t *testing.T) {
	for name, change := range map[string]func(w *roomy, s *roomySession, ip netip.Addr){
		"suspended meanwhile": func(w *roomy, _ *roomySession, ip netip.Addr) {
			_ = w.book.Suspend(standing.Key{IP: ip, Provider: "google"}, time.Now().Add(time.Hour), "asked", "me")
		},
		"to be avoided": func(_ *roomy, s *roomySession, ip netip.Addr) { s.req.Avoid = []netip.Addr{ip} },
	} {
		t.Run(name, roomTest(func(t *testing.T) {
			w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On, shape.Limit{Count: shape.MessagesPerConnection, Amount: 1}))
			s := w.session(1, "a@b.example")
			s.dial(t)
			ip := s.out.SendingIP
			if stay := s.MayStay(s.req, ip); !stay.Anew {
				t.Fatalf("%+v", stay)
			}
			s.hangUp()
			change(w, s, ip)
			if full := s.dial(t); full != nil || s.out.SendingIP == ip {
				t.Errorf("it leaves from %s, %v", s.out.SendingIP, full)
			}
		}))
	}
}

// Of what is shared the last place is for who has none: a mail is not sent to where there is room for others alone.
func TestAMailDoesNotMoveToWhereItsTenantHasNoRoom(t *testing.T) {
	roomTest(func(t *testing.T) {
		takes, err := shape.Compile("google", []shape.Limit{{Count: shape.Connections, Amount: 5, Keep: true}}, true)
		if err != nil {
			t.Fatal(err)
		}
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11").pool("default", "203.0.113.10", "203.0.113.11"), Shaping{Mode: shape.On, Takes: []*shape.Takes{takes}})
		s := w.session(1, "a@b.example")
		s.dial(t) // from its sender's own IP
		own, there := s.out.SendingIP, first
		if own == there {
			there = second
		}
		s.hangUp()
		fills := w.session(2, "a@b.example")
		for full := false; !full; { // all that its tenant may have of it
			fills.req.Avoid = []netip.Addr{there}
			if f := fills.dial(t); f != nil || fills.out.SendingIP != own {
				full = true
			}
		}
		if stay := s.MayStay(s.req, there); stay.Moves {
			t.Errorf("there is no room at %s for its tenant, and it is sent there: %+v", own, stay)
		}
	})(t)
}

// Whoever tries a sending IP whose suspension has run out makes a connection like any other.
func TestAProbeCounts(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, shape.Limit{Count: shape.NewConnections, Amount: 1, Per: time.Hour}))
		key := standing.Key{IP: weighted("203.0.113.10").Address, Provider: "google"}
		if err := w.book.Suspend(key, time.Now().Add(time.Minute), "asked", "me"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		s := w.session(1, "a@b.example")
		if full := s.dial(t); full != nil || s.probe == nil {
			t.Fatal("no probe", full)
		}
		if shown := w.Shaped(key.IP); !slices.ContainsFunc(shown, func(s Shaped) bool { return s.Count == shape.NewConnections && s.Used == 1 }) {
			t.Errorf("it has not counted: %+v", shown)
		}
	})(t)
}
