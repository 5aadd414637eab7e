package smtptest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network Network
		l, err := network.Listen(mxAddr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := network.Listen(mxAddr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second Listen: %v, want EADDRINUSE", err)
		}
		from := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), 0)
		near, err := network.Dial(t.Context(), from, mxAddr)
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, near, "EHLO")
		wantRead(t, far, "EHLO")
		if far.RemoteAddr().String() != "[2001:db8::1]:32768" {
			t.Errorf("dialled from %v", far.RemoteAddr())
		}
		queued, err := network.Dial(t.Context(), from, mxAddr)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		_ = l.Close()
		go func() { _, err := l.Accept(); ended <- err }()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
		wantEnd(t, queued, syscall.ECONNRESET)
		if _, err := network.Dial(t.Context(), from, mxAddr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close: %v, want ECONNREFUSED", err)
		}
	})
}

func TestNetworkDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network Network
		network.Drop(mxAddr)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		_, err := network.Dial(ctx, msaAddr, mxAddr)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("Dial ended after %v with %v", time.Since(start), err)
		}
	})
}
