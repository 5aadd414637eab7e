//go:build !race

package session_test

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// TestHeldSessionsHaveSmallStacks: a session that waits for its MX needs so little stack that the collector gives it 4 KiB, not
// 8. One frame too many between here and the runtime's poller costs every held session twice that.
func TestHeldSessionsHaveSmallStacks(t *testing.T) {
	const sessions, allowed = 300, 4<<10 + 512
	cert, live := smtptest.Certificate(t, smtptest.CertificateOptions{}), new(session.Live)
	for name, opened := range map[string]func() (msa, mx net.Conn){
		"plain": func() (msa, mx net.Conn) { return relayMoved(t, release{}, deep{}) },
		"TLS":   func() (msa, mx net.Conn) { return relayInTLS(t, cert, deep{}, live) },
	} {
		t.Run(name, func(t *testing.T) {
			before := stackInUse()
			for range sessions {
				msa, mx := opened()
				t.Cleanup(func() { _ = msa.Close(); _ = mx.Close() })
				mail := []byte("MAIL FROM:<a@example.com>\r\n")
				if _, err := msa.Write(mail); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(mx, mail); err != nil {
					t.Fatal(err)
				}
			}
			got := (stackInUse() - before) / sessions
			for until := time.Now().Add(20 * time.Second); got > allowed && time.Now().Before(until); got = (stackInUse() - before) / sessions {
				time.Sleep(100 * time.Millisecond) // inside TLS the first slice of a wait needs more
			}
			if got > allowed {
				t.Errorf("%d octets of stack for a held session, want at most %d", got, allowed)
			}
		})
	}
}

// deep makes the stack of a session grow, as dialling and TLS do.
type deep struct{}

//go:noinline
func (deep) MayStay(req session.DialRequest, _ netip.Addr) bool {
	var frame [5 << 10]byte
	copy(frame[:], req.Sender)
	return frame[len(frame)-1] == 0
}

func stackInUse() int {
	for range 4 { // one collection halves a stack at most
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}
