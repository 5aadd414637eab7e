package outlet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// firewalled is an MX behind a firewall of its own, as sending IPs meet it.
type firewalled struct {
	mx      smtptest.MX
	dropped []netip.Addr // whose SYNs nobody answers
	refused []netip.Addr // whose SYNs are answered with RST
	dialled []netip.Addr

	unusable map[netip.Addr]error // of the host itself, before any SYN

	everywhere []netip.Addr // whose SYNs nobody answers at any MX; the others are dropped and refused at mxAddr alone
}

func (f *firewalled) DialFrom(ctx context.Context, from netip.Addr, destination netip.AddrPort) (session.Outbound, error) {
	f.dialled = append(f.dialled, from)
	out := session.Outbound{SendingIP: from}
	switch {
	case f.unusable[from] != nil:
		return out, fmt.Errorf("dial %s from %s: %w", destination, from, f.unusable[from])
	case slices.Contains(f.everywhere, from), slices.Contains(f.dropped, from) && destination == mxAddr:
		<-ctx.Done()
		return out, fmt.Errorf("dial %s from %s: %w", destination, from, ctx.Err())
	case slices.Contains(f.refused, from) && destination == mxAddr:
		return out, fmt.Errorf("dial %s from %s: %w", destination, from, os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	near, far := smtptest.Pair(netip.AddrPortFrom(from, 50000), destination)
	go f.mx.ServeConn(far)
	out.Conn = near
	return out, nil
}

// A shutOutWorld is a kanmon whose sending IPs meet a firewalled MX. Use it inside a bubble.
type shutOutWorld struct {
	*rig
	fw     firewalled
	engine session.Engine
	best   netip.Addr // the first choice of this MSA for this MX
}

func newShutOutWorld(t *testing.T, g gateway) *shutOutWorld {
	w := &shutOutWorld{rig: newOutlet(t, g)}
	w.dialer = &w.fw
	w.engine = session.Engine{Ways: w, Live: new(session.Live), Log: slog.New(slog.DiscardHandler)}
	choice, err := w.router.Choose(w.query(request{Source: msa, Destination: mxAddr}))
	if err != nil && !errors.Is(err, session.ErrNoSendingIP) {
		t.Fatal(err)
	}
	w.best = choice.IP.Address
	return w
}

// deliver sends one message through a session of its own, and says from which IPs the MX was dialled, and how long the MSA waited for its
// greeting, or for the connection's end.
func (w *shutOutWorld) deliver(t *testing.T) (ok bool, dialled []netip.Addr, waited time.Duration) {
	return w.deliverFor(t, "a@example.com")
}

func (w *shutOutWorld) deliverFor(t *testing.T, sender string) (ok bool, dialled []netip.Addr, waited time.Duration) {
	return w.deliverTo(t, sender, mxAddr)
}

func (w *shutOutWorld) deliverTo(t *testing.T, sender string, mx netip.AddrPort) (ok bool, dialled []netip.Addr, waited time.Duration) {
	far, near := smtptest.Pair(netip.AddrPortFrom(msa, 40000), mx)
	ended := make(chan struct{})
	w.fw.dialled = nil
	go func() {
		defer close(ended)
		w.engine.Serve(near, session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: mx})
	}()
	begun := time.Now()
	_ = far.WaitRead()
	waited = time.Since(begun)
	client := smtptest.NewMSA(t, far)
	got := client.Deliver(sender, []string{"b@example.net"}, []byte("text\r\n"), true)
	_ = client.Quit()
	<-ended
	return got.All(smtptest.Accepted), w.fw.dialled, waited
}

// answers has an MX elsewhere take a message from a sending IP.
func (w *shutOutWorld) answers(t *testing.T, ip netip.Addr) {
	t.Helper()
	for n := range 256 {
		mx := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n), 25}), 25)
		choice, err := w.router.Choose(w.query(request{Source: msa, Destination: mx}))
		if err != nil || choice.IP.Address != ip {
			continue
		}
		if ok, dialled, _ := w.deliverTo(t, "a@example.com", mx); !ok || !slices.Equal(dialled, []netip.Addr{ip}) {
			t.Fatalf("%s: delivered %t from %v", mx, ok, dialled)
		}
		return
	}
	t.Fatalf("%s is no MX's own", ip)
}

func (w *shutOutWorld) evidence(ip netip.Addr) (rules []string) {
	_, seen := w.book.Show(w.key(ip, mxAddr.Addr()))
	for _, e := range seen {
		rules = append(rules, e.Rule)
	}
	return rules
}

var threeOfAPool = sending("203.0.113.10", "203.0.113.11", "203.0.113.12")

// An MX drops the SYNs of one sending IP and takes the other. The first session reaches it within the time that a dial has directly; the
// next ones begin with the IP that works, and one in ten minutes, then less often, finds out whether it is over.
//
// law: I12 S0/replay S0/MX-silent
func TestDroppedIPIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, twoIPs)
		next := first
		if w.best == first {
			next = second
		}
		w.fw.dropped = []netip.Addr{w.best}
		ok, dialled, waited := w.deliver(t)
		if !ok || !slices.Equal(dialled, []netip.Addr{w.best, next}) || waited > 25*time.Second {
			t.Fatalf("the first session: delivered %t from %v after %s", ok, dialled, waited)
		}
		if rules := w.evidence(w.best); len(rules) != 0 {
			t.Errorf("no MX has answered it yet: it may have no way out, and the standing was told %q", rules)
		}
		w.answers(t, w.best)
		w.deliver(t)
		if rules := w.evidence(w.best); len(rules) != 1 || rules[0] != "connection not answered" {
			t.Errorf("the standing was told %q", rules)
		}
		if rules := w.evidence(next); len(rules) != 0 {
			t.Errorf("the standing of the IP that works was told %q", rules)
		}
		if !usable(w.rig, w.key(w.best, mxAddr.Addr())) {
			t.Error("one tenant and one MX have suspended it")
		}
		for i := range 8 {
			if ok, dialled, waited = w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{next}) || waited > time.Second {
				t.Fatalf("session %d: delivered %t from %v after %s", i+3, ok, dialled, waited)
			}
		}
		retries, longest := 0, time.Duration(0)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			ok, dialled, waited = w.deliver(t)
			if !ok || len(dialled) == 0 || dialled[len(dialled)-1] != next {
				t.Fatalf("delivered %t from %v after %s", ok, dialled, waited)
			}
			if longest = max(longest, waited); len(dialled) > 1 {
				retries++
			}
		}
		if retries < 5 || retries > 30 || longest > 6*time.Second {
			t.Errorf("%d retries in a day, the longest took the MSA %s", retries, longest)
		}
		w.fw.dropped = nil
		back := 0
		for ; back < 180 && dialled[0] != w.best; back++ {
			time.Sleep(time.Minute)
			_, dialled, _ = w.deliver(t)
		}
		if back == 180 {
			t.Fatal("three hours later it has not been tried again")
		}
		for range 3 {
			if ok, dialled, _ = w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{w.best}) {
				t.Errorf("it is back, and mail leaves from %v", dialled)
			}
		}
	})
}

// A refused dial goes on from another IP at once, and the next session begins with that; no standing hears of it.
//
// law: I12 S0/replay
func TestRefusedIPIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, twoIPs)
		w.fw.refused = []netip.Addr{w.best}
		for i, want := range []int{2, 1, 1} {
			ok, dialled, waited := w.deliver(t)
			if !ok || len(dialled) != want || waited > time.Second {
				t.Errorf("session %d: delivered %t from %v after %s", i+1, ok, dialled, waited)
			}
		}
		if rules := slices.Concat(w.evidence(first), w.evidence(second)); len(rules) != 0 {
			t.Errorf("the standing was told %q", rules)
		}
	})
}

// Two of three are dropped: the third is reached by the second session at the latest, and all later ones begin with it.
//
// law: I12 S0/replay
func TestTheLastOfThreeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, threeOfAPool)
		choice, _ := w.router.Choose(w.query(request{Source: msa, Destination: mxAddr}))
		third := choice.IPs()[2].Address
		w.fw.dropped = []netip.Addr{choice.IPs()[0].Address, choice.IPs()[1].Address}
		w.deliver(t)
		for range 5 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if ok, dialled, waited := w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{third}) || waited > time.Second {
				t.Errorf("delivered %t from %v after %s", ok, dialled, waited)
			}
		}
	})
}

// An MX that is down for all says nothing of any IP, whatever the way in which it is down, and when it is up again the MSA's own
// IP is used as before.
//
// law: I12 S0/MX-silent
func TestMXThatIsDownBlamesNobody(t *testing.T) {
	for _, how := range []string{"dropped", "refused"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newShutOutWorld(t, threeOfAPool)
				all := []netip.Addr{first, second, netip.MustParseAddr("203.0.113.12")}
				if w.fw.dropped = all; how == "refused" {
					w.fw.dropped, w.fw.refused = nil, all
				}
				for range 30 {
					ok, dialled, waited := w.deliver(t)
					if ok || len(dialled) > 2 || waited > 31*time.Second {
						t.Fatalf("delivered %t, dialled %v, the MSA waited %s", ok, dialled, waited)
					}
					time.Sleep(5 * time.Minute)
				}
				w.fw.dropped, w.fw.refused = nil, nil
				time.Sleep(10 * time.Minute)
				for range 3 {
					if ok, dialled, waited := w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{w.best}) || waited > time.Second {
						t.Errorf("it is up: delivered %t from %v after %s", ok, dialled, waited)
					}
				}
				for _, ip := range all {
					if rules := w.evidence(ip); len(rules) != 0 {
						t.Errorf("the standing of %s was told %q", ip, rules)
					}
				}
			})
		})
	}
}

// Where kanmon only observes, or rescues nothing, a dial has all its time, and nobody is passed over while observing.
func TestNobodyIsPassedOverWhileObserving(t *testing.T) {
	for mode, handling := range map[string]func(*Handling){"observe": rescueObserve, "off": rescueOff} {
		synctest.Test(t, func(t *testing.T) {
			w := newShutOutWorld(t, twoIPs.handling(handling))
			w.fw.dropped = []netip.Addr{w.best}
			ok, dialled, waited := w.deliver(t)
			if ok || len(dialled) != 1 || waited < 29*time.Second {
				t.Errorf("%s: delivered %t from %v after %s", mode, ok, dialled, waited)
			}
			if ok, _, _ = w.deliver(t); ok != (mode == "off") {
				t.Errorf("%s: the second session delivered: %t", mode, ok)
			}
		})
	}
}

// An IP that is dropped by one MX is as good as any at another; and an MSA that hangs up is no evidence.
func TestDialsAreOfOneMX(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newShutOutWorld(t, twoIPs)
		w.fw.dropped = []netip.Addr{w.best}
		w.deliver(t)
		if elsewhere := netip.MustParseAddr("192.0.2.26"); w.dials.passesOver(elsewhere, w.best) || !w.dials.passesOver(mxAddr.Addr(), w.best) {
			t.Error("the memory is of another MX")
		}

		w = newShutOutWorld(t, twoIPs)
		w.fw.dropped = []netip.Addr{w.best}
		far, near := smtptest.Pair(netip.AddrPortFrom(msa, 40000), mxAddr)
		go func() {
			time.Sleep(10 * time.Second)
			_ = far.Close()
		}()
		w.engine.Serve(near, session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: mxAddr})
		if w.dials.passesOver(mxAddr.Addr(), w.best) {
			t.Error("an MSA that hung up has its MX passed over")
		}
	})
}

// A tenant with any number of MXs that nobody can connect to does not make kanmon forget another's.
//
// audit-B: two memories of dials
func TestATenantsMXsAreForgottenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		var r resets
		quiet, busy := mxAddr.Addr(), netip.AddrFrom4([4]byte{198, 51, 100, 77})
		d.failing(quiet, first, "quiet", true)
		r.add(busy, first, "quiet")
		for i := range 3 * maxDials {
			mx := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			d.failing(mx, first, "greedy", true)
			r.add(mx, first, "greedy")
		}
		if !d.passesOver(quiet, first) {
			t.Error("what is known of another tenant's MX is forgotten")
		}
		if len(r.others(busy, second)) != 1 {
			t.Error("a reset of another tenant's MX is forgotten")
		}
	})
}

// The memory is bounded, and forgets.
func TestDialsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dials
		for i := range 3 * maxDials {
			d.failing(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), first, "acme", true)
			d.failing(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), first, fmt.Sprint("tenant", i%100), true)
			if n := d.failed.Len(); n > maxDials {
				t.Fatalf("%d MXs are remembered", n)
			}
		}
		mx := mxAddr.Addr()
		for range 50 { // as the retries of months
			d.failing(mx, first, "acme", true)
			d.connected(mx, second)
			time.Sleep(d.of(mx)[first].wait)
		}
		if wait := d.of(mx)[first].wait; wait != lastRetry {
			t.Errorf("tried again every %s, want %s", wait, lastRetry)
		}
		time.Sleep(dialsKept)
		d.failing(mx, first, "acme", true)
		if wait := d.of(mx)[first].wait; wait != firstRetry {
			t.Errorf("a day later it is tried again after %s, want %s", wait, firstRetry)
		}
	})
}

// The MSA of an MX that all of the pool are shut out of gets no greeting: it goes on to the next MX.
//
// law: S0/MX-silent S0/MX-lost I13
func TestShutOutMSAIsNotGreeted(t *testing.T) {
	for _, how := range []string{"dropped", "refused"} {
		synctest.Test(t, func(t *testing.T) {
			w := newShutOutWorld(t, twoIPs)
			if w.fw.dropped = []netip.Addr{first, second}; how == "refused" {
				w.fw.dropped, w.fw.refused = nil, w.fw.dropped
			}
			far, near := smtptest.Pair(netip.AddrPortFrom(msa, 40000), mxAddr)
			go w.engine.Serve(near, session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: mxAddr})
			begun := time.Now()
			heard, err := io.ReadAll(far)
			reset := err != nil && strings.Contains(err.Error(), "reset")
			if took := time.Since(begun); len(heard) > 0 || reset != (how == "refused") || took > 26*time.Second || len(w.fw.dialled) != 2 {
				t.Errorf("%s: heard %q, %v after %s and dials from %v", how, heard, err, took, w.fw.dialled)
			}
			_ = far.Close()
		})
	}
}

func answeredElsewhere(netip.Addr, time.Time) bool { return true }
