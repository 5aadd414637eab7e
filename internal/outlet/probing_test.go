package outlet

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// A session that tries a sending IP keeps it as long as it may still send from there: also while it connects anew, however long that takes, and
// while it looks for another one and finds none. It is free for others as soon as the session is over, has left it, or cannot connect.
func TestATriedIPIsKeptAsLongAsItIsTried(t *testing.T) {
	elsewhere := func(t *testing.T, w *probingWorld, l *leg) session.Outbound {
		t.Helper()
		req := l.req
		req.Avoid, req.Rescue = []netip.Addr{w.ip}, true
		out, err := w.Dial(t.Context(), req)
		if err != nil || out.SendingIP == w.ip {
			t.Fatalf("from %s, %v", out.SendingIP, err)
		}
		return out
	}
	for name, test := range map[string]struct {
		does  func(*testing.T, *probingWorld, *leg)
		keeps bool
	}{
		"nothing": {func(*testing.T, *probingWorld, *leg) {}, true},
		"it connects anew": {func(t *testing.T, _ *probingWorld, l *leg) {
			l.out.Closed()
			time.Sleep(probeIdle - time.Second)
			l.dial(t)
		}, true},
		"it comes back from a leg elsewhere": {func(t *testing.T, w *probingWorld, l *leg) {
			elsewhere(t, w, l).Closed()
		}, true},
		"it goes on elsewhere": {func(t *testing.T, w *probingWorld, l *leg) {
			elsewhere(t, w, l)
			l.out.Closed()
		}, false},
		"it goes on elsewhere, behind its connection": {func(t *testing.T, w *probingWorld, l *leg) {
			l.out.Closed()
			elsewhere(t, w, l)
		}, false},
		"it cannot connect anew": {func(t *testing.T, w *probingWorld, l *leg) {
			l.out.Closed()
			w.dialer = noDialer{}
			if _, err := w.Dial(t.Context(), l.req); err == nil {
				t.Fatal("it has connected")
			}
		}, false},
		"it is over":                          {func(_ *testing.T, _ *probingWorld, l *leg) { l.close() }, false},
		"it is over, and its leg closes late": {func(_ *testing.T, w *probingWorld, l *leg) { w.over(l.req); l.out.Closed() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newProbingWorld(t)
				l := w.connect(t, "10.40.0.1")
				l.mail(t, "")
				if l.out.SendingIP != w.ip || w.wayOf(l.req).probeOf(w.key) == 0 {
					t.Fatal("it is no probe: the test shows nothing")
				}
				test.does(t, w, l)
				probing := w.book.Peek(w.key).State == standing.Probing
				if has := w.probes.has(w.key, l.req.Session); has != test.keeps || probing != test.keeps {
					t.Errorf("it has the IP: %t, and probes it: %t; want %t", has, probing, test.keeps)
				}
				l.close()
				if w.wayOf(l.req).probe != nil || len(w.probes.taken) != 0 {
					t.Error("it is over, and something of it is left")
				}
			})
		})
	}
}

type noDialer struct{}

func (noDialer) DialFrom(context.Context, netip.Addr, netip.AddrPort) (session.Outbound, error) {
	return session.Outbound{}, syscall.ECONNREFUSED
}

// There is a way for each held session.
func TestAWayIsSmall(t *testing.T) {
	const class = 96 // of the allocator's
	if size := unsafe.Sizeof(way{}); size > class {
		t.Errorf("a way has %d octets, more than %d", size, class)
	}
	t.Logf("a way has %d octets, and from its second mail on %d for what is remembered", unsafe.Sizeof(way{}), unsafe.Sizeof(usual{}))
}

// That holds beside a leg that has been set aside, too: an MX whose TLS has failed is connected to anew. By its next mail the session has gone on, or
// come back.
func TestATriedIPIsKeptBesideALegThatIsSetAside(t *testing.T) {
	for _, anew := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newProbingWorld(t)
			req := w.from("10.40.0.1")
			req.SenderKnown, req.Sender = true, "a@b.example"
			req.Avoid = []netip.Addr{w.ip}
			aside, err := w.Dial(t.Context(), req)
			if err != nil || aside.SendingIP == w.ip {
				t.Fatalf("from %s, %v", aside.SendingIP, err)
			}
			req.Avoid, req.Rescue = []netip.Addr{aside.SendingIP}, true
			out, err := w.Dial(t.Context(), req)
			if err != nil || out.SendingIP != w.ip || w.wayOf(req).probeOf(w.key) == 0 {
				t.Fatalf("from %s, %v: it is no probe, and the test shows nothing", out.SendingIP, err)
			}
			out.Closed()
			if anew {
				req.Further = true
				if out, err = w.Dial(t.Context(), req); err != nil || out.SendingIP != w.ip || w.wayOf(req).probeOf(w.key) == 0 {
					t.Fatalf("anew from %s, %v, want %s, and its probe", out.SendingIP, err, w.ip)
				}
				aside.Closed()
				aside = out
			}
			req.Avoid, req.Rescue, req.Further = nil, false, false
			w.MayStay(req, aside.SendingIP)
			if has := w.probes.has(w.key, req.Session); has != anew {
				t.Errorf("behind its next mail it has the IP: %t, want %t", has, anew)
			}
			aside.Closed()
			w.over(req)
		})
	}
}

// So it is where the session goes on from the only IP of another pool, which needs no turn.
func TestATriedIPIsFreeWhereTheNextPoolHasOneIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried, only := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.12")
		w := newOutlet(t, sending(tried.String(), "203.0.113.11", only.String()).pool("default", tried.String()).pool("only", only.String()).
			route(route.Route{SenderDomains: []string{"only.example"}, Pool: "only"}, nil))
		w.dialer = instantDialer{}
		key := w.key(tried, reviewMX.Addr())
		w.listed("10.40.0.1", tried, reviewMX)
		time.Sleep(3 * time.Hour)
		req := request{Session: 1, Source: netip.MustParseAddr("10.40.0.1"), Destination: reviewMX}
		req.Sender, req.SenderKnown = "a@b.example", true
		out, err := w.Dial(t.Context(), req)
		if err != nil || out.SendingIP != tried || w.wayOf(req).probeOf(key) == 0 {
			t.Fatalf("from %s, %v: it is no probe, and the test shows nothing", out.SendingIP, err)
		}
		req.Sender = "a@only.example"
		if w.MayStay(req, tried) {
			t.Fatal("it stays")
		}
		next, err := w.Dial(t.Context(), req)
		if err != nil || next.SendingIP != only {
			t.Fatalf("from %s, %v", next.SendingIP, err)
		}
		out.Closed()
		if w.probes.has(key, req.Session) || w.book.Peek(key).State == standing.Probing {
			t.Error("it has left the IP, and keeps it")
		}
		if next.Closed != nil {
			next.Closed()
		}
		w.over(req)
	})
}
