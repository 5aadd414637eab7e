//go:build !race

package session_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
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

// TestAHeldSessionKeepsLittle: what lives in the heap for a session that waits for its MX, fresh and behind a message. Both peers' connections and the
// session's own engine are in the figure, its goroutine is not.
func TestAHeldSessionKeepsLittle(t *testing.T) {
	const sessions = 500
	var gone sync.WaitGroup // what the runtime keeps of goroutines that have ended is the sessions'
	begin := make(chan struct{})
	for range 4 * sessions {
		gone.Go(func() { <-begin })
	}
	close(begin)
	gone.Wait()
	for name, size := range map[string]int{"fresh": 0, "behind a message": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			live, before := new(session.Live), heapInUse()
			for range sessions {
				msa, mx := relayThrough(t, &testEngine{Engine: session.Engine{Recorder: release{}, Live: live}, Judge: indifferent{}, Mover: indifferent{}})
				t.Cleanup(func() { _ = msa.Close(); _ = mx.Close() })
				if size > 0 {
					relayOne(t, msa, mx, size)
				}
				passesStep(t, msa, mx, "MAIL FROM:<a@example.com>\r\n")
			}
			const allowed = 4800
			got := (heapInUse() - before) / sessions
			for until := time.Now().Add(20 * time.Second); got > allowed && time.Now().Before(until); got = (heapInUse() - before) / sessions {
				time.Sleep(100 * time.Millisecond) // the first slice of a wait holds more
			}
			t.Logf("%d octets", got)
			if got > allowed {
				t.Errorf("%d octets of heap for a held session, want at most %d", got, allowed)
			}
		})
	}
}

// relayOne relays a message of that size.
func relayOne(t *testing.T, msa, mx net.Conn, size int) {
	toMX, toMSA := messageSteps(size)
	ended := make(chan error, 1)
	go func() { ended <- playMX(mx, toMSA, make([]byte, 2*size)) }()
	if err := errors.Join(play(msa, toMX, make([]byte, 1<<10)), <-ended); err != nil {
		t.Fatal(err)
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
