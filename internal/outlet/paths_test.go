package outlet

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// owns gives MXs of different networks whose first choice an IP is.
func (w *shutOutWorld) owns(t *testing.T, ip netip.Addr, number int) (mxs []netip.AddrPort) {
	t.Helper()
	for n := range 250 {
		mx := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 19, byte(n), 25}), 25)
		if choice, err := w.router.Choose(w.query(request{Source: msa, Destination: mx})); err == nil && choice.IP.Address == ip {
			if mxs = append(mxs, mx); len(mxs) == number {
				return mxs
			}
		}
	}
	t.Fatalf("%s has %d MXs, want %d", ip, len(mxs), number)
	return nil
}

// A tunnel goes down. The sessions that find it out deliver from another sending IP, in the time that a dial has; from the third MX on none tries any
// more, at whatever MX, but one now and then. When the tunnel is back mail leaves by it as before, and no MX's silence is held against the IP.
//
// law: I12
func TestADeadPathIsPassedOverAndBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		w := newShutOutWorld(t, twoIPs)
		w.paths.log = slog.New(slog.NewTextHandler(&said, nil))
		w.paths.of([]SendingIP{{Address: first}, {Address: second}})
		w.answers(t, w.best)
		time.Sleep(time.Minute)
		mxs := w.owns(t, w.best, 6)
		w.fw.everywhere = []netip.Addr{w.best}
		for _, mx := range mxs[:3] {
			if ok, dialled, waited := w.deliverTo(t, "a@example.com", mx); !ok || len(dialled) != 2 || waited > 25*time.Second {
				t.Fatalf("%s: delivered %t from %v after %s", mx, ok, dialled, waited)
			}
		}
		dead := w.paths.list()
		if len(dead) != 1 || dead[0].Name != w.best.String() || len(dead[0].MXs) != 3 || !slices.Equal(dead[0].IPs, []netip.Addr{w.best}) {
			t.Fatalf("dead are %+v", dead)
		}
		for _, mx := range slices.Concat(mxs, mxs, mxs) {
			if ok, dialled, waited := w.deliverTo(t, "a@example.com", mx); !ok || slices.Contains(dialled, w.best) || waited > time.Second {
				t.Fatalf("%s: delivered %t from %v after %s", mx, ok, dialled, waited)
			}
		}
		tries, longest := 0, time.Duration(0)
		for n := range 60 {
			time.Sleep(time.Minute)
			ok, dialled, waited := w.deliverTo(t, "a@example.com", mxs[n%len(mxs)])
			if !ok {
				t.Fatalf("not delivered from %v", dialled)
			}
			if longest = max(longest, waited); slices.Contains(dialled, w.best) {
				tries++
			}
		}
		if tries < 8 || tries > 20 || longest > 6*time.Second {
			t.Errorf("%d tries in an hour, the longest took the MSA %s", tries, longest)
		}
		w.fw.everywhere = nil
		time.Sleep(pathLastRetry)
		for _, mx := range mxs {
			if ok, dialled, _ := w.deliverTo(t, "a@example.com", mx); !ok || !slices.Equal(dialled, []netip.Addr{w.best}) {
				t.Errorf("%s: the path is back, and mail was delivered (%t) from %v", mx, ok, dialled)
			}
		}
		if dead := w.paths.list(); len(dead) != 0 {
			t.Errorf("dead are %+v", dead)
		}
		for _, mx := range mxs {
			if _, seen := w.book.Show(w.key(w.best, mx.Addr())); len(seen) != 0 {
				t.Errorf("%s: held against the IP: %+v", mx, seen)
			}
		}
		synctest.Wait()
		if text := said.String(); strings.Count(text, "path is dead") != 1 || strings.Count(text, "path works again") != 1 {
			t.Errorf("said:\n%s", text)
		}
	})
}

// All sending IPs of a path that has a name are dead with it, and those of others are not.
func TestAPathWithANameIsDeadForAllItsIPs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, threeOfAPool)
		choice, _ := w.router.Choose(w.query(request{Source: msa, Destination: mxAddr}))
		ips := choice.IPs()
		var all []SendingIP
		for i, ip := range ips {
			all = append(all, SendingIP{Address: ip.Address, Path: []string{"tunnel", "tunnel", ""}[i]})
		}
		w.paths.of(all)
		w.fw.everywhere = []netip.Addr{ips[0].Address, ips[1].Address}
		for n := range 4 {
			for _, mx := range w.owns(t, ips[n%2].Address, 4)[:2] {
				w.deliverTo(t, "a@example.com", mx) // by two dead ones of three it may not arrive at once
				w.deliverTo(t, "a@example.com", mx)
			}
		}
		dead := w.paths.list()
		if len(dead) != 1 || dead[0].Name != "tunnel" || len(dead[0].IPs) != 2 {
			t.Fatalf("dead are %+v", dead)
		}
		for i, ip := range ips {
			if w.paths.isDead(ip.Address) != (i < 2) {
				t.Errorf("%s is dead: %t", ip.Address, i >= 2)
			}
		}
		w.paths.of(all[2:])
		if dead := w.paths.list(); len(dead) != 0 || w.paths.some.Load() {
			t.Errorf("without these sending IPs dead are %+v", dead)
		}
	})
}

// What says nothing of a path: MXs that answer nobody, three of one network or of one tenant that could be its own, an IP that others answer.
func TestWhatIsNoDeadPath(t *testing.T) {
	at := func(n byte) string { return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, n, 0}), 24).String() }
	for name, test := range map[string]struct {
		missed func(*paths)
		dead   bool
	}{
		"three networks, two tenants": {func(p *paths) {
			for n, tenant := range []string{"a", "b", "b"} {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: tenant}, second, at(byte(n)), false)
			}
		}, true},
		"three networks, one tenant of several": {func(p *paths) {
			for n := range byte(30) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), false)
			}
		}, false},
		"the same, and a provider with a name": {func(p *paths) {
			for n := range byte(2) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), false)
			}
			p.missed(&miss{IP: first, At: time.Now(), Tenant: "a", Named: true}, second, "google", false)
		}, true},
		"three networks, where there is one tenant": {func(p *paths) {
			for n := range byte(3) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), true)
			}
		}, true},
		"one network": {func(p *paths) {
			for range 9 {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(1), true)
			}
		}, false},
		"one that is answered between": {func(p *paths) {
			for n := range byte(9) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), true)
				p.connected(first)
				time.Sleep(time.Minute)
			}
		}, false},
		"one that was answered just now": {func(p *paths) {
			p.connected(first)
			time.Sleep(pathSilence / 2)
			for n := range byte(9) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), true)
			}
		}, false},
		"one by hour": {func(p *paths) {
			for n := range byte(9) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), true)
				time.Sleep(time.Hour)
			}
		}, false},
		"where the other IP is of the same path": {func(p *paths) {
			p.of([]SendingIP{{Address: first, Path: "x"}, {Address: second, Path: "x"}})
			for n := range byte(9) {
				p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, at(n), true)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &paths{log: slog.New(slog.DiscardHandler)}
				p.of([]SendingIP{{Address: first}, {Address: second}})
				test.missed(p)
				if p.isDead(first) != test.dead || p.isDead(second) {
					t.Errorf("dead: %t and %t, want %t and false", p.isDead(first), p.isDead(second), test.dead)
				}
			})
		})
	}
}

// A sending IP that a reload has taken away, and that sessions of before still dial from, is on no list.
func TestAPathOfAConfigurationBeforeIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &paths{log: slog.New(slog.DiscardHandler)}
		p.of([]SendingIP{{Address: first}, {Address: second}})
		p.of([]SendingIP{{Address: second}})
		for n := range byte(3) {
			p.missed(&miss{IP: first, At: time.Now(), Tenant: "a"}, second, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, n, 0}), 24).String(), true)
		}
		if !p.isDead(first) || len(p.list()) != 0 {
			t.Errorf("dead: %t, told: %+v", p.isDead(first), p.list())
		}
		p.of([]SendingIP{{Address: second}})
		if p.isDead(first) {
			t.Error("it is known for ever")
		}
	})
}
