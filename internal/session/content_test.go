package session_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A contentGate has every message judged in one way.
type contentGate struct {
	start  session.Start
	says   session.Opinion
	wait   time.Duration // for the verdict
	judged func()        // nil: nobody wants to know
	whole  bool          // nothing of an envelope may be missing
	put    []session.Message
	closed []session.Came
}

func (g *contentGate) Enter(session.Origin) session.Pass { return g }
func (*contentGate) Tell(session.News)                   {}
func (*contentGate) Close()                              {}

func (g *contentGate) Ask(q session.Question) session.Decision {
	if q.Step != event.StepContent {
		return session.Decision{Whole: g.whole}
	}
	return session.Decision{Inspect: &plainInspection{of: g, done: make(chan struct{})}}
}

type plainInspection struct {
	of   *contentGate
	done chan struct{}
}

func (*plainInspection) Room(int, time.Duration) <-chan struct{} { return nil }
func (i *plainInspection) Start() session.Start                  { return i.of.start }
func (*plainInspection) Grow(int) bool                           { return true }
func (*plainInspection) Full() session.Start                     { return session.Start{} }
func (i *plainInspection) Done() <-chan struct{}                 { return i.done }
func (i *plainInspection) Verdict() session.Opinion              { return i.of.says }
func (i *plainInspection) Close(came session.Came)               { i.of.closed = append(i.of.closed, came) }

func (i *plainInspection) Judge(m session.Message) {
	i.of.put = append(i.of.put, m)
	time.AfterFunc(i.of.wait, func() { close(i.done) })
	if i.of.judged != nil {
		i.of.judged()
	}
}

// Whoever judges a message is told all whom it goes to: those for whom there is no room are put off, so that the MSA sends them another one. Where
// nobody judges, the MX says how many there may be.
//
// law: B8
func TestAllRecipientsOfAJudgedMessageAreKnown(t *testing.T) {
	for _, whole := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			gate := &contentGate{start: session.Start{Lane: event.LaneBehind}, whole: whole}
			w.engine.Gate, w.engine.Observe = gate, false
			msa := smtptest.NewMSA(t, w.connect())
			msa.Expect(220)
			msa.Command("EHLO msa.example.com")
			for range 2 { // the second mail is counted anew
				msa.Command("MAIL FROM:<a@example.com>")
				taken := 0
				for i := range 500 {
					switch r := msa.Command(fmt.Sprintf("RCPT TO:<b%0200d@example.net>", i)); r.Code {
					case 250:
						taken++
					case 452:
					default:
						t.Fatalf("recipient %d: %s", i, r)
					}
				}
				if r := msa.Data([]byte("text\r\n")); r.Code != 250 {
					t.Fatal(r)
				}
				synctest.Wait() // it is handed over behind the reply
				put := gate.put[len(gate.put)-1]
				if whole && (taken < 250 || taken == 500 || len(put.Recipients) != taken || put.Unlisted != 0) || !whole && taken != 500 {
					t.Errorf("whole: %t: %d taken, %d told, %d not", whole, taken, len(put.Recipients), put.Unlisted)
				}
			}
			msa.Quit()
			w.close()
		})
	}
}

// An MX that takes the held message too slowly does not get its dot: its MSA would have given up, and have sent it again.
//
// law: I12 H6/MX-silent
func TestHeldMessageThatTheMXDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		gate := &contentGate{start: session.Start{Lane: event.LaneHold, Dot: 50 * time.Second}, wait: 10 * time.Second}
		r.engine.Gate = gate
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		msa := r.msa(t)
		mx := <-far
		heard := make(chan string, 1)
		go func() {
			buf := make([]byte, 4096)
			for _, says := range []string{"220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n", "354 go\r\n"} {
				_, _ = mx.Write([]byte(says))
				if says != "354 go\r\n" {
					_, _ = mx.Read(buf)
				}
			}
			time.Sleep(5 * time.Minute)
			heard <- readAll(mx)
		}()
		begun := time.Now()
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 100_000)), true)
		if d := time.Since(begun); !got.All(smtptest.Deferred) || got.Replies[0].String() != "451 4.4.2 kanmon: the destination took too long for this message; your mail stays queued and is retried" ||
			d < 49*time.Second || d > 52*time.Second {
			t.Errorf("%v %v after %s, want 451 after 50 s", got.Verdicts, got.Replies, d)
		}
		_ = msa.Quit()
		if text := <-heard; text == "" || strings.Contains(text, "\r\n.\r\n") {
			t.Errorf("the MX has %d octets, with a dot: %t", len(text), strings.Contains(text, "\r\n.\r\n"))
		}
		if len(gate.closed) != 1 || gate.closed[0].Done != event.HandleDefer {
			t.Errorf("closed %v", gate.closed)
		}
	})
}

// A message is given to two connections at most in place of those that were lost, wherever behind DATA each of them was.
//
// law: I3
func TestHeldMessageIsGivenToTwoMoreConnectionsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = &contentGate{start: session.Start{Lane: event.LaneHold}}
		dialled := 0
		r.engine.Dialer = dialFunc(func(context.Context, session.DialRequest) (session.Outbound, error) {
			dialled++
			says := []string{"220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n"}
			if dialled == 1 { // this one is lost in the message, those behind it at DATA
				says = append(says, "354 go\r\n")
			}
			near, far := smtptest.Pair(netip.AddrPortFrom(legIP(0), 50000), mxAddr)
			go func() {
				buf := make([]byte, 4096)
				for _, text := range says {
					_, _ = far.Write([]byte(text))
					_, _ = far.Read(buf)
				}
				far.Reset()
			}()
			return session.Outbound{Conn: near, SendingIP: legIP(0), Name: "out.example.jp"}, nil
		})
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 100_000)), true)
		_ = msa.Quit()
		if !got.All(smtptest.Deferred) || dialled != 3 {
			t.Errorf("%v behind %d connections, want 451 behind 3", got.Replies, dialled)
		}
	})
}

// A drain waits for a message that is held, and no longer than for its verdict and the MX.
//
// law: N-h
func TestDrainWhileAMessageIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.engine.Gate = &contentGate{start: session.Start{Lane: event.LaneHold}, wait: 10 * time.Second}
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
		msa.Command("DATA")
		msa.Send("text", ".")
		synctest.Wait()
		begun, drained := time.Now(), make(chan error, 1)
		stop, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { drained <- r.live.Drain(stop) }()
		msa.Expect(250)
		msa.Expect(421)
		_ = msa.Conn().Close()
		if err := <-drained; err != nil || time.Since(begun) > 15*time.Second || r.mx.Mailbox.Len() != 1 {
			t.Errorf("%v after %s, %d in the mailbox", err, time.Since(begun), r.mx.Mailbox.Len())
		}
	})
}

// A person ends a session whose message is held: the MX has not heard of it, and the MSA keeps it.
func TestASessionWithAHeldMessageIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		gate := &contentGate{start: session.Start{Lane: event.LaneHold}, wait: time.Minute}
		r.engine.Gate = gate
		msa := r.msa(t)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Pipeline("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
		msa.Command("DATA")
		msa.Send("text", ".")
		synctest.Wait()
		for seen := range r.live.All() {
			go r.live.End(t.Context(), seen.ID, "a person")
		}
		begun := time.Now()
		if reply := msa.Expect(451); !strings.Contains(reply.String(), "an operator has ended this session") || time.Since(begun) > 2*time.Second {
			t.Errorf("%s after %s", reply, time.Since(begun))
		}
		_ = msa.Conn().Close()
		synctest.Wait()
		if r.mx.Mailbox.Len() != 0 || len(gate.closed) != 1 || gate.closed[0].Done != event.HandleNot {
			t.Errorf("%d in the mailbox, closed %v", r.mx.Mailbox.Len(), gate.closed)
		}
	})
}

// Octets are the same by every lane, to an MX in plain text or TLS; so are those of a message that goes on where its room ends.
//
// law: I7 I23
func TestOctetsAreTheSameInEveryLane(t *testing.T) {
	cert := smtptest.Certificate(t, smtptest.CertificateOptions{})
	bodies := []string{
		"", "\r\n", ".\r\n", "Subject: x\r\n\r\n..\r\n.\r\n8-bit \xe9\xff, bare \n and \r alone\r\n", strings.Repeat("0123456789abcde\r\n", 3000), strings.Repeat("x", 9000) + "\r\n",
		strings.Repeat("y", 8192-2) + "\r\n", strings.Repeat("z", 8192-2) + "\r\n.\r\n",
	}
	for lane := range event.LaneCount {
		for _, inTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", lane, inTLS), bubble(func(t *testing.T) {
				r := newRig()
				r.engine.Gate = &contentGate{start: session.Start{Lane: lane}, wait: time.Second}
				if inTLS {
					r.mx.TLS = newTLSServer(cert)
				}
				msa := r.msa(t)
				for _, body := range bodies {
					d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(body), true)
					if !d.All(smtptest.Accepted) || r.mx.Mailbox.Count([]byte(body)) != 1 {
						t.Errorf("%.40q: %v %v, %d at the MX", body, d.Verdicts, d.Replies, r.mx.Mailbox.Count([]byte(body)))
					}
				}
				_ = msa.Quit()
				synctest.Wait()
			}))
		}
	}
}

// A judged message fares at every cut as it does without kanmon, or better.
//
// law: I1 I2 I3 I4 H2/MX-lost H2/MSA-lost H3/MSA-lost H5/MX-lost H6/MX-lost T1/MX-lost T1/MSA-lost
func TestCutsOfJudgedMessages(t *testing.T) {
	for lane := event.LaneBehind; lane < event.LaneCount; lane++ {
		c := newCutter(t)
		c.lane, c.sparse = lane, true
		var tally cutTally
		t.Run(lane.String(), func(t *testing.T) {
			for i := range 8 {
				p := cutPoint{mxLeg: i&1 != 0, back: i&2 != 0, pipelined: i&4 != 0}
				t.Run(p.stream(), func(t *testing.T) {
					t.Parallel()
					c.cutStream(t, p, &tally)
				})
			}
		})
		t.Logf("%s: %d cuts, %d of them with the dot in flight: lost %d, extra duplicates %d, wrong %d; duplicates %d (directly %d), dots withheld %d",
			lane, tally.runs, tally.inFlight, tally.lost, tally.extra, tally.wrong, tally.dups, tally.direct, tally.withheld)
		if tally.direct == 0 {
			t.Error("the cuts did not reach the dot")
		}
	}
}
