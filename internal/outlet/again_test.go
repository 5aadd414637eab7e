package outlet

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"kanmon/internal/event"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/session"
)

// A connection that takes the place of another one is made from the same sending IP, whichever another mail would have, and there is room for
// it where the provider takes one connection from an IP: the other one is over in a moment. Afterwards one is counted.
//
// law: I11 I22
func TestAConnectionOnceMoreIsFromTheSameIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11", "203.0.113.12"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 1}))
		for id := range event.ID(3) {
			s := w.session(id, "a@example.com")
			if full := s.dial(t); full != nil {
				t.Fatal(full)
			}
			before := *s
			s.req.From, s.req.Further, s.req.Beside = before.out.SendingIP, true, true
			if full := s.dial(t); full != nil || s.out.SendingIP != before.out.SendingIP {
				t.Fatalf("session %d: from %s, and once more from %s (%v)", id, before.out.SendingIP, s.out.SendingIP, full)
			}
			before.hangUp()
			if l := s.laneAt(s.out.SendingIP); l == nil || l.more != 0 || s.lane.beside != nil {
				t.Error("it is not one connection that is counted")
			}
		}
		if full := w.session(9, "").dial(t); full == nil {
			t.Error("there is room for a fourth session")
		}
	})
}

// Where the sending IP is none of the mail's any more there is no such connection, and none from another.
func TestNoConnectionOnceMoreFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), Shaping{})
		s := w.session(1, "a@example.com")
		s.dial(t)
		s.req.From = netip.MustParseAddr("203.0.113.99")
		if _, err := s.Dial(t.Context(), s.req); !errors.Is(err, session.ErrNoOtherIP) {
			t.Errorf("dialled: %v", err)
		}
	})
}
