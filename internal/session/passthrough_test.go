package session_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

func passRig() *rig {
	r := newRig()
	r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: true} }
	return r
}

// A reset of one side ends a passed-through session at once, on both sides.
func TestPassthroughReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		_, _ = io.WriteString(conn, "EHLO x\r\n")
		synctest.Wait()
		begun := time.Now()
		conn.Reset()
		<-ended
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the session went on for %s behind the MSA's RST", took)
		}
		_ = mx.Close()
	})
}

// A message that takes longer than the MX's longest silence must pass: the MX has nothing to say meanwhile.
func TestPassthroughLongUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		go func() { _, _ = io.Copy(io.Discard, mx) }()
		for i := range 20 {
			if _, err := io.WriteString(conn, strings.Repeat("x", 1000)); err != nil {
				t.Fatalf("cut after %d minutes: %v", i, err)
			}
			time.Sleep(time.Minute)
		}
		_, _ = io.WriteString(mx, "250 got it\r\n")
		buf := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "250 got it\r\n" {
			t.Errorf("the MX took the mail, the MSA heard %q, %v", buf[:n], err)
		}
		_ = conn.Close()
		_ = mx.Close()
		<-ended
	})
}

// A dial that the MX refuses, or does not answer, goes on from another sending IP here, too.
//
// law: S0/replay
func TestPassthroughGoesOnFromAnotherIP(t *testing.T) {
	for name, cause := range map[string]error{"refused": syscall.ECONNREFUSED, "not answered": context.DeadlineExceeded} {
		t.Run(name, bubble(func(t *testing.T) {
			r := newManyIPs(2)
			r.engine.Destination = func(netip.Addr) session.Destination { return session.Destination{Passthrough: true} }
			dial := r.engine.Dialer
			r.engine.Dialer = dialFunc(func(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
				if len(req.Avoid) == 0 {
					return session.Outbound{SendingIP: sendingIPs[0]}, fmt.Errorf("dial: %w", cause)
				}
				return dial.Dial(ctx, req)
			})
			msa := r.msa(t)
			got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			_ = msa.Quit()
			time.Sleep(time.Hour)
			synctest.Wait()
			if !got.All(smtptest.Accepted) || r.mxs[1].Mailbox.Len() != 1 {
				t.Errorf("%v %v", got.Verdicts, got.Err)
			}
		}))
	}
}

// Where nothing but the connection is seen, the gate is asked about that: who may not send is served without an MX, and told at MAIL.
//
// audit-F6
func TestPassthroughAsksTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		asked := 0
		r.engine.Gate = refusing(func(q session.Question) bool {
			asked++
			return q.Step == event.StepConnect && q.Unseen
		}, tooMuch)
		msa := helloWithoutMX(t, r)
		if reply := msa.Command("MAIL FROM:<a@example.com>"); reply.Code != 451 || !strings.Contains(reply.String(), tooMuch.Say.String()) {
			t.Errorf("MAIL: %s", reply)
		}
		finishSession(msa)
		synctest.Wait()
		if r.dials() != 0 || asked != 1 {
			t.Errorf("%d dials, the gate was asked %d times", r.dials(), asked)
		}
	})
}

// What the gate counts is held for as long as the session lasts, and given back.
func TestPassthroughLeavesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		gate := refusing(nothing, session.Decision{})
		r.engine.Gate = gate
		msa := r.msa(t)
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
		synctest.Wait()
		if before := gate.heard; !got.All(smtptest.Accepted) || len(before) != 1 {
			t.Errorf("%v %v; the gate heard %q", got.Verdicts, got.Err, before)
		}
		finishSession(msa)
		synctest.Wait()
		if heard := gate.heard; len(heard) != 2 || heard[1] != "closed" {
			t.Errorf("the gate heard %q", heard)
		}
	})
}

// A peer that does not read for minutes is waited for, as it would be directly.
//
// audit-F15
func TestPassthroughWaitsForAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := passRig()
		far := make(chan *smtptest.Conn, 1)
		r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
		conn, _, ended := r.connect()
		mx := <-far
		const octets = 1 << 20
		go func() {
			_, _ = io.WriteString(conn, strings.Repeat("x", octets))
			_ = conn.CloseWrite()
		}()
		time.Sleep(10 * time.Minute)
		if n, err := io.Copy(io.Discard, mx); n != octets || err != nil {
			t.Errorf("the MX got %d octets, %v", n, err)
		}
		_ = mx.Close()
		_ = conn.Close()
		<-ended
	})
}

// What kanmon's own stop cuts has not broken, and no MX was silent: the record says who has ended it, and not an octet of kanmon's own goes into the stream.
//
// audit-F15
func TestPassthroughThatIsCutSaysSo(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "an MX that does not read": true} {
		synctest.Test(t, func(t *testing.T) {
			r := passRig()
			far := make(chan *smtptest.Conn, 1)
			r.engine.Dialer = dialOnceTo(func(_, mx *smtptest.Conn) { far <- mx })
			conn, _, ended := r.connect()
			mx := <-far
			if busy {
				go func() { _, _ = io.WriteString(conn, strings.Repeat("x", 1<<20)) }()
			}
			time.Sleep(time.Minute)
			ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
			defer cancel()
			begun := time.Now()
			_ = r.live.Drain(ctx)
			<-ended
			if took := time.Since(begun); took < 12*time.Second || took > 15*time.Second {
				t.Errorf("%s: it ended behind %s", name, took)
			}
			if end := r.log.lastEnd(); end != "cut" {
				t.Errorf("%s: on record is %q", name, end)
			}
			if heard := readAll(conn); heard != "" {
				t.Errorf("%s: the MSA was told %q", name, heard)
			}
			_ = mx.Close()
		})
	}
}
