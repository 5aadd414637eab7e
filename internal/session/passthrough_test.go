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

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
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
			r := newTwoIPs()
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
			if !got.All(smtptest.Accepted) || r.second.Mailbox.Len() != 1 {
				t.Errorf("%v %v", got.Verdicts, got.Err)
			}
		}))
	}
}
