package session_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A lifeOfWays notes what becomes of each session's way, by the session's ID.
type lifeOfWays struct {
	*testEngine
	entered map[event.ID]session.Origin
	life    map[event.ID][]string
}

func (l *lifeOfWays) Enter(origin session.Origin) session.Way {
	l.entered[origin.Session] = origin
	return oneLife{testWay{l.testEngine}, l, origin.Session}
}

type oneLife struct {
	testWay
	of *lifeOfWays
	id event.ID
}

func (w oneLife) note(what string) { w.of.life[w.id] = append(w.of.life[w.id], what) }

func (w oneLife) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	out, err := w.testWay.Dial(ctx, req)
	w.note("dial")
	out.Closed = func() { w.note("closed") }
	return out, err
}

func (w oneLife) Close() { w.note("over") }

// A breakingJudge panics about each message that an MX has taken.
type breakingJudge struct{ indifferent }

func (breakingJudge) Accepted(netip.Addr) { panic("judge broken") }

// A session has one way out, which is told who the session is and where it goes, and ends behind its last leg, however that ends.
func TestASessionHasOneWay(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*testEngine)
		mails  int
	}{
		"two mails":      {func(*testEngine) {}, 2},
		"no mail":        {func(*testEngine) {}, 0},
		"passed through": {func(e *testEngine) { e.Destination = passthroughTo }, 1},
		"it panics":      {func(e *testEngine) { e.Judge = breakingJudge{} }, 1},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			r := newRig()
			l := &lifeOfWays{&r.engine, map[event.ID]session.Origin{}, map[event.ID][]string{}}
			test.change(&r.engine)
			r.engine.Ways = l
			for range 2 {
				conn, _, ended := r.connect()
				msa := smtptest.NewMSA(t, conn)
				for range test.mails {
					msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
				}
				_ = msa.Quit()
				_ = conn.Close()
				<-ended
			}
			if len(l.entered) != 2 {
				t.Fatalf("entered by %d sessions, want 2", len(l.entered))
			}
			for id, origin := range l.entered {
				if id == 0 || origin.Source != msaAddr || origin.Destination != mxAddr {
					t.Errorf("session %s comes from %s for %s", id, origin.Source, origin.Destination)
				}
				if want := []string{"dial", "closed", "over"}; !slices.Equal(l.life[id], want) {
					t.Errorf("session %s: %v, want %v", id, l.life[id], want)
				}
			}
		}))
	}
}

func passthroughTo(netip.Addr) session.Destination { return session.Destination{Passthrough: true} }
