//go:build !race

package session_test

import (
	"io"
	"net/netip"
	"runtime"
	"testing"

	"kanmon/internal/session"
)

// TestHeldSessionsHaveSmallStacks: a session that waits for its MX needs so little stack that the collector gives it 4 KiB, not
// 8. One frame too many between here and the runtime's poller costs every held session twice that.
func TestHeldSessionsHaveSmallStacks(t *testing.T) {
	const sessions, allowed = 300, 4<<10 + 512
	before := stackInUse()
	for range sessions {
		msa, mx := relayMoved(t, release{}, deep{})
		t.Cleanup(func() { _ = msa.Close(); _ = mx.Close() })
		mail := []byte("MAIL FROM:<a@example.com>\r\n")
		if _, err := msa.Write(mail); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(mx, mail); err != nil {
			t.Fatal(err)
		}
	}
	if got := (stackInUse() - before) / sessions; got > allowed {
		t.Errorf("%d octets of stack for a held session, want at most %d", got, allowed)
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
