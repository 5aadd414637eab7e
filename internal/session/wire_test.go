package session_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// told is how connections went, as the end of a session has it.
func told(legs []event.Leg) string {
	var all []string
	for i := range legs {
		l := &legs[i]
		line := fmt.Sprintf("%d at %s from %s: %q", l.Number, l.At.Duration(), l.SendingIP, l.Failed)
		if l.Way != nil {
			line += " " + l.Way.Provider
		}
		if d := l.Phases[event.PhaseDial].Duration(); d > 0 {
			line += fmt.Sprintf(", dial %s", d.Round(time.Millisecond))
		}
		if l.SYNs > 0 || l.Resent > 0 || l.RTT > 0 {
			line += fmt.Sprintf(", %d SYNs, %d resent, round trip %s", l.SYNs, l.Resent, l.RTT.Duration())
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// Of each connection that was tried it is on record how its opening failed, when, from which sending IP and at which provider: a refused dial that
// another sending IP has made good for, too.
func TestHowConnectionsFailedIsOnRecord(t *testing.T) {
	connect := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
	}
	for name, tc := range map[string]struct {
		err   error
		reply string // what the MX says in place of its greeting
		hello string // to EHLO
		want  event.Failing
	}{
		"refused":           {err: connect(syscall.ECONNREFUSED), want: event.DialRefused},
		"no way":            {err: connect(syscall.EHOSTUNREACH), want: event.DialBarred},
		"forbidden":         {err: connect(syscall.EACCES), want: event.DialBarred},
		"not answered":      {err: fmt.Errorf("dial: %w", context.DeadlineExceeded), want: event.DialUnanswered},
		"no IP":             {err: session.ErrSuspended, want: event.DialNot},
		"reset":             {reply: smtptest.ResetConn, want: event.OpeningLost},
		"closed":            {reply: smtptest.CloseConn, want: event.OpeningLost},
		"silent":            {reply: smtptest.Delay(time.Hour), want: event.OpeningSilent},
		"turned away":       {reply: "554 no\r\n", want: event.OpeningRefused},
		"sent away":         {reply: "421 no\r\n" + smtptest.CloseConn, want: event.OpeningRefused},
		"garbled":           {reply: "hello\r\n", want: event.OpeningGarbled},
		"turned away later": {reply: smtptest.Default, hello: "550 not you\r\n", want: event.OpeningRefused},
		"lost later":        {reply: smtptest.Default, hello: smtptest.CloseConn, want: event.OpeningLost},
		"good":              {reply: smtptest.Default, hello: smtptest.Default},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			w := newWorld(t)
			var c clerk
			w.engine.Recorder = &c
			w.mx.Reply = func(verb string, _ int) string {
				switch verb {
				case "BANNER":
					return tc.reply
				case "EHLO":
					return tc.hello
				}
				return smtptest.Default
			}
			w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
				time.Sleep(120 * time.Millisecond)
				out, err := session.Outbound{SendingIP: ownIP}, tc.err
				if err == nil {
					out, err = w.dial(ctx, r)
				}
				out.Way = &event.Way{Provider: "docomo"}
				return out, err
			})
			conn := w.connect()
			time.Sleep(time.Second)
			fmt.Fprintf(conn, "EHLO msa.example.com\r\n")
			time.Sleep(10 * time.Minute)
			conn.Close()
			time.Sleep(time.Hour)
			w.close()
			if want := fmt.Sprintf("1 at 0s from %s: %q docomo, dial 120ms", ownIP, tc.want); !strings.HasPrefix(told(c.end.Legs), want) {
				t.Errorf("on record is\n%s, want\n%s", told(c.end.Legs), want)
			}
		}))
	}
}

// wire is a connection whose way is known, as the kernel knows one of TCP.
type wire struct {
	*smtptest.Conn
	asked, again atomic.Uint32
	unheard      atomic.Bool // something is not acknowledged
}

// wireOf is one on which so many segments have been sent again.
func wireOf(conn net.Conn, again uint32) *wire {
	w := &wire{Conn: conn.(*smtptest.Conn)}
	w.again.Store(again)
	return w
}

func (w *wire) Wire() (again uint32, roundTrip time.Duration, settled bool) {
	w.asked.Add(1)
	return w.again.Load(), 45 * time.Millisecond, !w.unheard.Load()
}

// What the kernel knows of the way is asked once a connection, at its end; behind a dial only where a SYN may have been lost; and of a reply that
// is waited for once, or at each time that it is told of where the MX's host has not acknowledged what was sent.
func TestWireIsOnRecordAndAskedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		dial, wait time.Duration
		syns       uint32 // lost
		unheard    bool   // by the MX's host, all the time
		asked      uint32
		want       string
	}{
		"quick":             {10 * time.Millisecond, 0, 0, false, 1, ", 0 SYNs, 2 resent, round trip 45ms"},
		"SYNs were lost":    {3100 * time.Millisecond, 0, 2, false, 2, ", 2 SYNs, 2 resent, round trip 45ms"},
		"it was waited for": {10 * time.Millisecond, 90 * time.Second, 0, false, 2, ", 0 SYNs, 2 resent, round trip 45ms"},
		"the way was slow":  {1100 * time.Millisecond, 0, 0, false, 2, ", 0 SYNs, 2 resent, round trip 45ms"},
		"it is not heard":   {10 * time.Millisecond, 90 * time.Second, 0, true, 5, ", 0 SYNs, 2 resent, round trip 45ms"},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			w := newWorld(t)
			var c clerk
			w.engine.Recorder = &c
			w.mx.Reply = func(verb string, n int) string {
				if verb == "RCPT" && n == 1 && tc.wait > 0 {
					return smtptest.Delay(tc.wait) + smtptest.Default
				}
				return smtptest.Default
			}
			var dialled atomic.Pointer[wire]
			w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
				time.Sleep(tc.dial)
				out, err := w.dial(ctx, r)
				way := wireOf(out.Conn, tc.syns)
				way.unheard.Store(tc.unheard)
				dialled.Store(way)
				out.Conn = way
				return out, err
			})
			msa := smtptest.NewMSA(t, w.connect())
			time.Sleep(10 * time.Second)
			way := dialled.Load()
			way.again.Store(tc.syns + 2)
			for range 2 {
				if got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !got.All(smtptest.Accepted) {
					t.Error(got.Verdicts)
				}
			}
			msa.Quit()
			w.close()
			if got := told(c.end.Legs); !strings.HasSuffix(got, tc.want) {
				t.Errorf("on record is %s, want %s", got, tc.want)
			}
			if n := way.asked.Load(); n != tc.asked {
				t.Errorf("the kernel was asked %d times, want %d", n, tc.asked)
			}
		}))
	}
}

// Over TCP the kernel knows.
func TestWireOfTCPIsOnRecord(t *testing.T) {
	far, near := tcpPair(t)
	w := &world{}
	var c clerk
	w.engine.Engine = session.Engine{Observe: true, Live: new(session.Live), Recorder: &c}
	w.engine.leaves(dialOnce(far))
	msa, mine := tcpPair(t)
	w.done.Go(func() { w.mx.ServeConn(near) })
	w.done.Go(func() { w.engine.Serve(mine, session.Origin{Source: msaAddr, Destination: mxAddr}) })
	client := smtptest.NewMSA(t, msa)
	client.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
	client.Quit()
	w.done.Wait()
	if len(c.end.Legs) != 1 || c.end.Legs[0].RTT == 0 || c.end.Legs[0].SYNs != 0 {
		t.Errorf("on record is %s", told(c.end.Legs))
	}
}

// A refused dial that a rescue made good for stands beside the one that was let in.
func TestRefusedDialOfARescueIsOnRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var c clerk
		w.engine.Observe, w.engine.Recorder = false, &c
		w.engine.Judge, w.engine.Mover = &listingJudge{Judgement: session.Judgement{Rescue: true}}, indifferent{}
		other := netip.MustParseAddr("203.0.113.11")
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			time.Sleep(200 * time.Millisecond)
			if len(r.Avoid) == 0 {
				return session.Outbound{SendingIP: ownIP, Way: &event.Way{Provider: "docomo"}}, os.NewSyscallError("connect", syscall.ECONNREFUSED)
			}
			out, err := w.dial(ctx, r)
			out.SendingIP, out.Way = other, &event.Way{Provider: "docomo"}
			return out, err
		})
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		msa.Quit()
		w.close()
		want := fmt.Sprintf("1 at 0s from %s: \"refused\" docomo, dial 200ms\n2 at 200ms from %s: \"\" docomo, dial 200ms", ownIP, other)
		if !got.All(smtptest.Accepted) || told(c.end.Legs) != want {
			t.Errorf("%v; on record is\n%s, want\n%s", got.Verdicts, told(c.end.Legs), want)
		}
	})
}
