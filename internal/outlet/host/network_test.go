package host

import (
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A network is a network namespace of a test's own, and the thread that is in it.
type network struct {
	t     *testing.T
	calls chan func()
}

// newNetwork makes one with nothing but a loopback interface that is up.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t: t, calls: make(chan func())}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, and with it the namespace, ends with the goroutine
		failed <- unix.Unshare(unix.CLONE_NEWNET)
		for call := range n.calls {
			call()
		}
	}()
	if err := <-failed; err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	t.Cleanup(func() { close(n.calls) })
	n.ip("link set lo up")
	return n
}

// in runs something in the network.
func (n *network) in(call func()) {
	done := make(chan struct{})
	n.calls <- func() {
		defer close(done)
		call()
	}
	<-done
}

func (n *network) ip(arguments string) {
	n.t.Helper()
	var out []byte
	var err error
	n.in(func() { out, err = exec.Command("ip", strings.Fields(arguments)...).CombinedOutput() })
	if err != nil {
		n.t.Fatalf("ip %s: %v: %s", arguments, err, out)
	}
}

func (n *network) look(addresses []netip.Addr) (states map[netip.Addr]State, err error) {
	n.in(func() { states, err = Look(addresses) })
	return states, err
}

func (n *network) kernel() Kernel {
	return Kernel{Look: n.look, Listen: func() (changes Changes, err error) {
		n.in(func() { changes, err = listen() })
		return changes, err
	}}
}
