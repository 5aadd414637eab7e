package outlet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// shaped gives what "google" takes, whose MX the roomy ones are.
func shaped(t *testing.T, mode shape.Mode, limits ...shape.Limit) Shaping {
	t.Helper()
	for i := range limits {
		limits[i].Keep = true
	}
	takes, err := shape.Compile("google", limits, false)
	if err != nil {
		t.Fatal(err)
	}
	return Shaping{Mode: mode, Takes: []*shape.Takes{takes}, Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
}

type pipeDialer struct{ refuses *error }

func (d pipeDialer) DialFrom(_ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	if d.refuses != nil && *d.refuses != nil {
		return session.Outbound{SendingIP: from}, *d.refuses
	}
	near, far := net.Pipe()
	_ = far.Close()
	return session.Outbound{Conn: near, SendingIP: from}, nil
}

// newRoomy makes an outlet that knows the MX to be Google's.
func newRoomy(t *testing.T, g gateway, s Shaping) *roomy {
	t.Helper()
	dns := &smtptest.DNS{MXs: map[string]string{"hosted.example.": "aspmx.l.google.com."}, Addrs: []netip.Addr{mxAddr.Addr()}}
	o, state, end := g.begin(t, part{dns: dns, wait: 50 * time.Millisecond})
	t.Cleanup(func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
	o.dialer = pipeDialer{}
	o.shaping = s.begin(shape.New(shape.Options{}))
	o.learn("hosted.example", "")
	synctest.Wait()
	if got := o.Provider(mxAddr.Addr()); got != "google" {
		t.Fatalf("the MX is %s's", got)
	}
	return &roomy{o, state}
}

type roomy struct {
	*rig
	state *State
}

func (w *roomy) session(id event.ID, sender string) *roomySession {
	return &roomySession{w.enter(originOf(request{Session: id, Source: msa, Destination: mxAddr})), session.DialRequest{Sender: sender, SenderKnown: sender != ""}, session.Outbound{}}
}

type roomySession struct {
	*way
	req session.DialRequest
	out session.Outbound
}

func (s *roomySession) dial(t *testing.T) *session.NoRoom {
	t.Helper()
	var err error
	s.out, err = s.Dial(t.Context(), s.req)
	full := noRoom(err)
	if err != nil && full == nil {
		t.Fatal(err)
	}
	return full
}

func (s *roomySession) hangUp() {
	_ = s.out.Conn.Close()
	if s.out.Closed != nil {
		s.out.Closed()
	}
}

func roomTest(f func(t *testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

func TestAConnectionGoesElsewhereBeforeItWaits(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 1}))
		a, b, c := w.session(1, ""), w.session(2, ""), w.session(3, "")
		if full := a.dial(t); full != nil || len(a.out.Notes) != 0 {
			t.Fatal(full, a.out.Notes)
		}
		if full := b.dial(t); full != nil || b.out.SendingIP == a.out.SendingIP {
			t.Fatal("the second connection does not go elsewhere", full)
		}
		if len(b.out.Notes) != 1 || b.out.Notes[0].Did != "moved" || b.out.Notes[0].Rule != "shaping of google: connections" {
			t.Errorf("notes %+v", b.out.Notes)
		}
		full := c.dial(t)
		if full == nil || full.Provider != "google" || !full.Guess || full.Note.Why != "1 of 1 connections at once" {
			t.Fatalf("the third: %+v", full)
		}
		c.req.Rescue = true
		if _, err := c.Dial(t.Context(), c.req); !errors.Is(err, session.ErrNoOtherIP) || noRoom(err) != nil || !strings.Contains(err.Error(), "shaping of google: connections") {
			t.Errorf("a rescue gets %v", err)
		}
		c.req.Rescue = false
		a.hangUp()
		if full := c.dial(t); full != nil || c.out.SendingIP != a.out.SendingIP {
			t.Error("there is room, and it is not found", full)
		}
		for _, s := range []*roomySession{a, b, c} {
			s.Close()
		}
		if full := w.session(4, "").dial(t); full != nil {
			t.Error("sessions that are over have a place", full)
		}
	})(t)
}

// Greylisting: the mail comes again from the IP that it has come from before, and waits for that.
//
// law: I11
func TestAGreylistedMailWaitsForItsIP(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 1}))
		a, b := w.session(1, "a@b.example"), w.session(2, "a@b.example")
		a.dial(t)
		a.Judge(session.MXRefusal{SendingIP: a.out.SendingIP, Phase: event.PhaseRcpt, Code: 450, Text: []byte("450 4.2.0 Greylisted, try again later"), Sender: []byte("a@b.example"), Recipient: []byte("x@hosted.example"), Domain: "hosted.example"})
		if full := b.dial(t); full == nil {
			t.Errorf("it leaves from %s, and was told to come back from %s", b.out.SendingIP, a.out.SendingIP)
		}
		if full := w.session(3, "c@d.example").dial(t); full != nil {
			t.Error("another mail has the other IP", full)
		}
	})(t)
}

func TestAFailedDialHoldsNoPlaceAndCounts(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On,
			shape.Limit{Count: shape.Connections, Amount: 1}, shape.Limit{Count: shape.NewConnections, Amount: 12, Per: 3 * time.Minute}))
		refused := errors.New("refused")
		w.dialer = pipeDialer{&refused}
		s := w.session(1, "")
		for range 3 {
			if _, err := s.Dial(t.Context(), s.req); !errors.Is(err, refused) {
				t.Fatal(err)
			}
		}
		refused = nil
		full := s.dial(t)
		if full == nil || full.Guess || full.Wait != 20*time.Second {
			t.Fatalf("a fourth dial at once, of twelve in three minutes: %+v", full)
		}
		time.Sleep(full.Wait)
		if full := s.dial(t); full != nil {
			t.Error(full)
		}
	})(t)
}

func TestMessagesOfAConnectionAreFollowedByAnotherOneFromThere(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On,
			shape.Limit{Count: shape.Connections, Amount: 1}, shape.Limit{Count: shape.MessagesPerConnection, Amount: 2}))
		s := w.session(1, "")
		s.dial(t)
		s.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		ip := s.out.SendingIP
		for range 2 {
			if stay := s.MayStay(s.req, ip); stay.Moves || stay.Full != nil {
				t.Fatalf("%+v", stay)
			}
		}
		stay := s.MayStay(s.req, ip)
		if !stay.Moves || !stay.Anew || len(stay.Notes) != 1 || stay.Notes[0].Did != "reconnected" {
			t.Fatalf("the third: %+v", stay)
		}
		s.hangUp()
		other := w.session(2, "")
		if full := other.dial(t); full != nil || other.out.SendingIP == ip {
			t.Error("somebody else has its place", full)
		}
		if full := s.dial(t); full != nil || s.out.SendingIP != ip {
			t.Errorf("it goes on from %s: %v", s.out.SendingIP, full)
		}
		if stay := s.MayStay(s.req, ip); stay.Moves {
			t.Error("a connection with one message has no room for a second one")
		}
		s.hangUp()
		s.Close()
		if w.session(3, "").dial(t) != nil {
			t.Error("the place is not given back")
		}
	})(t)
}

func TestRecipientsBeyondWhatOneMayHaveEndWithTheMessage(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), shaped(t, shape.On, shape.Limit{Count: shape.RecipientsPerConnection, Amount: 3}))
		s := w.session(1, "a@b.example")
		s.dial(t)
		for range 3 {
			if stay := s.MayAdd(s.out.SendingIP); stay.Full != nil {
				t.Fatal(stay.Full)
			}
		}
		if stay := s.MayAdd(s.out.SendingIP); stay.Full == nil || !stay.Full.Ends {
			t.Errorf("the fourth: %+v", stay)
		}
		if stay := s.MayStay(s.req, s.out.SendingIP); !stay.Anew {
			t.Errorf("the next mail: %+v", stay)
		}
	})(t)
}

func TestAMailGoesElsewhereWhereMessagesAreTooMany(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.On, shape.Limit{Count: shape.Messages, Amount: 1, Per: time.Minute}))
		s := w.session(1, "a@b.example")
		s.dial(t) // with its mail
		first := s.out.SendingIP
		stay := s.MayStay(s.req, first)
		if !stay.Moves || stay.Anew {
			t.Fatalf("the second mail: %+v", stay)
		}
		held := s.out
		if full := s.dial(t); full != nil || s.out.SendingIP == first {
			t.Fatal("it does not go elsewhere", full)
		}
		held.Closed()
		stay = s.MayStay(s.req, s.out.SendingIP)
		if stay.Moves || stay.Full == nil || stay.Full.Wait > time.Minute {
			t.Fatalf("the third: %+v", stay)
		}
		time.Sleep(stay.Full.Wait)
		if stay := s.MayStay(s.req, s.out.SendingIP); stay.Full != nil && !stay.Moves {
			t.Errorf("behind the wait: %+v", stay)
		}
	})(t)
}

func TestWhoObservesIsToldAndNothingElse(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), shaped(t, shape.Observe,
			shape.Limit{Count: shape.Connections, Amount: 1}, shape.Limit{Count: shape.MessagesPerConnection, Amount: 1}, shape.Limit{Count: shape.RecipientsPerMessage, Amount: 1}))
		a, b := w.session(1, ""), w.session(2, "")
		a.dial(t)
		b.dial(t)
		if a.out.SendingIP != b.out.SendingIP || len(b.out.Notes) != 1 || b.out.Notes[0].Did != "would_move" {
			t.Errorf("from %s and %s: %+v", a.out.SendingIP, b.out.SendingIP, b.out.Notes)
		}
		b.req = session.DialRequest{Sender: "a@b.example", SenderKnown: true}
		for i, want := range []string{"", "would_reconnect"} {
			stay := b.MayStay(b.req, b.out.SendingIP)
			if stay.Moves || stay.Full != nil || (want == "") != (len(stay.Notes) == 0) || want != "" && stay.Notes[0].Did != want {
				t.Errorf("mail %d: %+v", i, stay)
			}
		}
		b.MayAdd(b.out.SendingIP)
		if stay := b.MayAdd(b.out.SendingIP); stay.Full != nil || len(stay.Notes) != 1 || stay.Notes[0].Did != "would_defer" {
			t.Errorf("a recipient: %+v", stay)
		}
	})(t)
}

func TestMXsOfOurOwnTakeAnything(t *testing.T) {
	roomTest(func(t *testing.T) {
		s := shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 1})
		s.Internal = []netip.Prefix{netip.PrefixFrom(mxAddr.Addr(), 32)}
		w := newRoomy(t, sending("203.0.113.10"), s)
		for i := range 5 {
			if full := w.session(event.ID(i), "").dial(t); full != nil {
				t.Error(full)
			}
		}
	})(t)
}
