package load_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"kanmon/test/bench/load"
	"kanmon/test/bench/mx"
)

// freeAddress gives a loopback address that nobody listens on.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func serve(t *testing.T, listener mx.Listener) *mx.Server {
	t.Helper()
	server, err := mx.Listen([]mx.Listener{listener})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return server
}

// TestCountsAgree makes each kind of load on a real MX: what the source counts is what the MX has taken, to the octet.
func TestCountsAgree(t *testing.T) {
	for _, c := range []struct {
		name string
		tls  mx.TLS
		spec load.Spec
	}{
		{"one message a session", mx.NoTLS, load.Spec{Sessions: 5, Messages: 1, Size: 4096}},
		{"many messages a session", mx.NoTLS, load.Spec{Sessions: 3, Size: 4096}},
		{"large", mx.NoTLS, load.Spec{Sessions: 3, Messages: 2, Size: 3 << 20}},
		{"paced", mx.NoTLS, load.Spec{Sessions: 3, Size: 64, Pace: 20 * time.Millisecond}},
		{"one at a time", mx.NoTLS, load.Spec{Sessions: 4, Messages: 3, Size: 1000, Opening: 1}},
		{"STARTTLS", mx.StartTLS, load.Spec{Sessions: 3, Messages: 2, Size: 4096, TLS: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := freeAddress(t)
			server := serve(t, mx.Listener{Address: address, TLS: c.tls})
			c.spec.Target = address
			c.spec.Warmup, c.spec.Window = 20*time.Millisecond, 150*time.Millisecond
			var windows []bool
			result, err := load.Run(t.Context(), c.spec, func(open bool) { windows = append(windows, open) })
			if err != nil {
				t.Fatal(err)
			}
			if len(windows) != 2 || !windows[0] || windows[1] {
				t.Errorf("window opened and closed as %v", windows)
			}
			stats := server.Stats()
			if result.Failed != 0 || result.Counted == 0 || result.Counted > result.Acked {
				t.Errorf("%+v: want no failures, and messages inside and outside the window", result)
			}
			if stats.Messages != int64(result.Acked) || stats.Octets != int64(result.Acked*c.spec.Size) || stats.Wrong != 0 {
				t.Errorf("the MX has %+v, the source %d messages of %d octets", stats, result.Acked, c.spec.Size)
			}
			if result.Message.P50 <= 0 || result.Message.P99 < result.Message.P50 || result.Reply.P50 <= 0 {
				t.Errorf("times %+v: want positive ones", result)
			}
		})
	}
}

// TestHoldAndRelease holds sessions before their first message, and again after it.
func TestHoldAndRelease(t *testing.T) {
	for _, tls := range []mx.TLS{mx.NoTLS, mx.StartTLS} {
		t.Run("tls="+string(tls), func(t *testing.T) {
			const sessions = 20
			address := freeAddress(t)
			server := serve(t, mx.Listener{Address: address, TLS: tls, Hold: true})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := load.Run(ctx, load.Spec{Target: address, Sessions: sessions, Size: 100 << 10, Opening: 4, TLS: tls != mx.NoTLS}, nil)
				done <- err
			}()
			await(t, server, sessions, 0)
			server.Release()
			await(t, server, sessions, sessions)
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
}

func TestDrip(t *testing.T) {
	address := freeAddress(t)
	server := serve(t, mx.Listener{Address: address, Drip: 50})
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("MAIL FROM:<a@b>\r\n")); err != nil {
		t.Fatal(err)
	}
	await(t, server, 1, 0)
	began, octets, in := time.Now(), 0, make([]byte, 512)
	for octets < len("220 mx.bench.test ESMTP\r\n")+20 {
		n, err := conn.Read(in)
		if err != nil {
			t.Fatal(err)
		}
		octets += n
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("20 octets at 50 a second took %v", took)
	}
}

func await(t *testing.T, server *mx.Server, held, messages int64) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats := server.Stats()
		if stats.Held == held && stats.Messages == messages {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%+v: want %d held and %d messages", stats, held, messages)
		}
	}
}

// TestNobodyListens must end and say why.
func TestNobodyListens(t *testing.T) {
	_, err := load.Run(t.Context(), load.Spec{Target: freeAddress(t), Sessions: 2, Size: 4096, Window: 50 * time.Millisecond}, func(bool) {})
	if !errors.Is(err, load.ErrNothingAccepted) {
		t.Errorf("got %v, want %v", err, load.ErrNothingAccepted)
	}
}
