package outlet

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/outlet/host"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// A fakeKernel is a host whose addresses a test takes away and gives back. What is not named it has.
type fakeKernel struct {
	mu      sync.Mutex
	lacks   map[netip.Addr]host.State
	changed chan struct{}
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{lacks: map[netip.Addr]host.State{}, changed: make(chan struct{}, 100)}
}

func (k *fakeKernel) kernel() host.Kernel {
	return host.Kernel{Look: k.look, Listen: func() (host.Changes, error) { return &fakeChanges{k.changed, make(chan struct{})}, nil }}
}

func (k *fakeKernel) look(addresses []netip.Addr) (map[netip.Addr]host.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	states := map[netip.Addr]host.State{}
	for _, a := range addresses {
		state, lacking := k.lacks[a]
		if !lacking {
			state = host.Here
		}
		states[a] = state
	}
	return states, nil
}

func (k *fakeKernel) set(a netip.Addr, state host.State) {
	k.mu.Lock()
	k.lacks[a] = state
	k.mu.Unlock()
	k.changed <- struct{}{}
}

type fakeChanges struct {
	changed chan struct{}
	closed  chan struct{}
}

func (c *fakeChanges) Wait() error {
	select {
	case <-c.changed:
		return nil
	case <-c.closed:
		return errors.New("closed")
	}
}

func (c *fakeChanges) Close() { close(c.closed) }

// What stands in the way of a dial from one sending IP, and is this host's own, costs a session nothing: it goes on with the next of the pool. The MX
// had no part in it: no standing, no rescue, and no memory of the MX hears of it.
//
// trouble-O01 trouble-O09 law: I13 S0/replay
func TestUnusableIPIsPassedOverAtOnce(t *testing.T) {
	for _, own := range []error{session.ErrNotOnHost, session.ErrPortsExhausted} {
		synctest.Test(t, func(t *testing.T) {
			w := newShutOutWorld(t, threeOfAPool)
			w.fw.unusable = map[netip.Addr]error{w.best: own}
			ok, dialled, waited := w.deliver(t)
			if !ok || len(dialled) != 2 || dialled[0] != w.best || waited > time.Second {
				t.Fatalf("%v: delivered %t from %v after %s", own, ok, dialled, waited)
			}
			next := dialled[1]
			if ok, dialled, _ = w.deliver(t); !ok || dialled[len(dialled)-1] != next {
				t.Errorf("%v: the second session delivered %t from %v", own, ok, dialled)
			}
			if errors.Is(own, session.ErrPortsExhausted) && len(dialled) != 1 {
				t.Errorf("the next session looks for a port again: %v", dialled)
			}
			if w.dials.passesOver(mxAddr.Addr(), w.best) || len(w.evidence(w.best)) != 0 || !usable(w.rig, w.key(w.best, mxAddr.Addr())) || len(w.rescues.tenants) != 0 {
				t.Errorf("%v: the MX, or the standing, is held to have a part in it", own)
			}
			w.fw.unusable = nil
			time.Sleep(portsWait)
			if ok, dialled, _ = w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{w.best}) {
				t.Errorf("%v: usable again, and delivered %t from %v", own, ok, dialled)
			}
		})
	}
}

// Where no sending IP can be used, the MSA is greeted, and its mail deferred with the reason: a 421 in place of the greeting would stop what it has for other
// tenants. Once one can be used, the same session goes on.
//
// trouble-O01 trouble-O09 firstday-7 law: I13 S0/MX-lost
func TestMailWaitsAtMAILWhereNoIPIsUsable(t *testing.T) {
	for own, want := range map[error]string{
		session.ErrNotOnHost:      "451 4.3.0 kanmon: this gateway does not have the IP addresses at present",
		session.ErrPortsExhausted: "451 4.4.5 kanmon: too many connections to this destination at present",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newShutOutWorld(t, twoIPs)
			w.fw.unusable = map[netip.Addr]error{first: own, second: own}
			far, near := smtptest.Pair(netip.AddrPortFrom(msa, 40000), mxAddr)
			go w.engine.Serve(near, session.Origin{Source: netip.AddrPortFrom(msa, 40000), Destination: mxAddr})
			client := smtptest.NewMSA(t, far)
			client.Expect(220)
			if r := client.Command("EHLO msa.example.com"); r.Class() != 2 {
				t.Fatal(r)
			}
			for range 2 {
				if r := client.Command("MAIL FROM:<a@example.com>"); !strings.HasPrefix(r.String(), want) {
					t.Errorf("MAIL was answered %s, want %s", r, want)
				}
			}
			w.fw.unusable = nil
			for _, command := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>"} {
				if r := client.Command(command); r.Class() != 2 {
					t.Errorf("usable again, and %s was answered %s", command, r)
				}
			}
			_ = client.Quit()
			synctest.Wait()
		})
	}
}

// An address that goes is passed over from the next session on, without a dial, and has its mail back when it is back. The operator is told both times, and sees it
// in between; that of a floating one is no alarm.
//
// trouble-O01 firstday-7
func TestAbsentIPsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := twoIPs
		g.floating = []string{second.String()}
		w, kernel := newShutOutWorld(t, g), newFakeKernel()
		var told bytes.Buffer
		w.absences.log, w.absences.kernel = slog.New(slog.NewTextHandler(&told, nil)), kernel.kernel()
		w.absences.of(g.sendingIPs(), g.allPools())

		for gone, rest := range map[netip.Addr]netip.Addr{first: second, second: first} {
			told.Reset()
			kernel.set(gone, host.Missing)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			for range 3 {
				if ok, dialled, _ := w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{rest}) {
					t.Errorf("without %v: delivered %t from %v", gone, ok, dialled)
				}
			}
			level := "WARN"
			if gone == second {
				level = "INFO"
			}
			if !strings.Contains(told.String(), "level="+level+" msg=\"sending IP is absent") || strings.Count(told.String(), "\n") != 1 {
				t.Errorf("without %v the log says:\n%s", gone, &told)
			}
			all := w.absences.list()
			if len(all) != 1 || all[0].Address != gone || all[0].State != host.Missing || all[0].Floating != (gone == second) {
				t.Errorf("without %v these are absent: %+v", gone, all)
			}
			time.Sleep(time.Minute)
			kernel.set(gone, host.Here)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if ok, dialled, _ := w.deliver(t); !ok || !slices.Equal(dialled, []netip.Addr{w.best}) {
				t.Errorf("with %v again: delivered %t from %v", gone, ok, dialled)
			}
			if !strings.Contains(told.String(), "is back: mail leaves from it again\" ip="+gone.String()+" after=1m") {
				t.Errorf("the log does not say that %v is back:\n%s", gone, &told)
			}
		}
	})
}

// A session does not keep an IP that is gone, and a mail that was told to come back from it does not wait for it.
//
// trouble-O01 law: I11
func TestAbsentIPHoldsNoMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, kernel := newOutlet(t, twoIPs), newFakeKernel()
		o.absences.kernel = kernel.kernel()
		o.absences.of(twoIPs.sendingIPs(), twoIPs.allPools())
		req := request{Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: "a@example.com", SenderKnown: true}}
		if !o.MayStay(req, first) || !o.MayStay(req, second) {
			t.Fatal("a mail may not stay with a sending IP of its pool")
		}
		kernel.set(first, host.Duplicate)
		time.Sleep(100 * time.Millisecond)
		if o.MayStay(req, first) || !o.MayStay(req, second) {
			t.Errorf("the absent one keeps its session: %t; the other one: %t", o.MayStay(req, first), o.MayStay(req, second))
		}
		how := o.handlings[0]
		if choice, err := o.router.Choose(o.query(req)); err != nil || o.wayOf(req).hasSpare(choice, second, &req.DialRequest) || how.Rescue != RescueOn {
			t.Errorf("the absent one counts as another to turn to (%v)", err)
		}
		if others := o.others(o.plead(&rejection{Source: msa, Destination: mxAddr, MXRefusal: session.MXRefusal{SendingIP: second, Code: 550}})); len(others) != 0 {
			t.Errorf("a rescue would be tried from %v", others)
		}
	})
}

// A mail that is to come back from an IP does not wait for it while it is absent, and goes back to it; nobody has a turn as the probe of one that is.
//
// trouble-O01 law: I11
func TestAbsentIPIsNeitherPinnedNorProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, kernel := newOutlet(t, twoIPs), newFakeKernel()
		learnt, err := openLearnt(nil, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = learnt.close() }()
		o.pins, o.absences.kernel = learnt.pins, kernel.kernel()
		o.absences.of(twoIPs.sendingIPs(), twoIPs.allPools())
		clock := setClock(t, o)
		req := request{Session: 7, Source: msa, Destination: mxAddr, DialRequest: session.DialRequest{Sender: "a@example.com", SenderKnown: true, Recipient: "b@example.net"}}
		from := func() (netip.Addr, bool) {
			ip, probing, err := o.permitted(choiceFor(t, o, req), req)
			if err != nil {
				t.Fatal(err)
			}
			return ip.Address, probing
		}
		best, _ := from()
		rest := first
		if best == first {
			rest = second
		}
		byDomain, _ := keysFor("", msa, req.Sender, req.Recipient, mxAddr.Addr())
		o.pins.Put(byDomain, rest)
		if ip, _ := from(); ip != rest {
			t.Fatalf("the pin does not hold: %v", ip)
		}
		kernel.set(rest, host.Missing)
		time.Sleep(100 * time.Millisecond)
		if ip, _ := from(); ip != best || !o.MayStay(req, best) {
			t.Errorf("the mail is to leave from %v, and may stay with the one that is here: %t", ip, o.MayStay(req, best))
		}
		kernel.set(rest, host.Here)
		time.Sleep(100 * time.Millisecond)
		if ip, _ := from(); ip != rest {
			t.Errorf("back, and the mail is to leave from %v", ip)
		}

		o.pins.Drop(byDomain)
		key := o.key(best, mxAddr.Addr())
		if err := o.book.Suspend(key, clock.Now().Add(time.Hour), "asked", "me"); err != nil {
			t.Fatal(err)
		}
		clock.Pass(2 * time.Hour)
		kernel.set(best, host.Missing)
		time.Sleep(100 * time.Millisecond)
		if ip, probing := from(); ip != rest || probing || o.probes.has(key, req.Session) {
			t.Errorf("while its suspension has run out, and it is absent: %v, a probe: %t, reserved: %t", ip, probing, o.probes.has(key, req.Session))
		}
		kernel.set(best, host.Here)
		time.Sleep(100 * time.Millisecond)
		if ip, probing := from(); ip != best || !probing {
			t.Errorf("back, %v is taken, as a probe: %t", ip, probing)
		}
	})
}

// The operator hears of a pool of which nothing is left, once each time.
//
// trouble-O01
func TestEmptyPoolsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := twoIPs.pool("default", "203.0.113.10", "203.0.113.11").pool("bulk", "203.0.113.11")
		kernel := newFakeKernel()
		var told bytes.Buffer
		a := newAbsences(slog.New(slog.NewTextHandler(&told, nil)))
		a.kernel = kernel.kernel()
		a.of(g.sendingIPs(), g.allPools())
		defer a.close()
		count := func() (bulk, deflt int) {
			return strings.Count(told.String(), "its mail is deferred\" pool=bulk"), strings.Count(told.String(), "its mail is deferred\" pool=default")
		}
		for _, step := range []struct {
			ip          netip.Addr
			state       host.State
			bulk, deflt int
		}{{second, host.LinkDown, 1, 0}, {first, host.Missing, 1, 1}, {first, host.Tentative, 1, 1}, {second, host.Here, 1, 1}, {second, host.Missing, 2, 2}} {
			kernel.set(step.ip, step.state)
			time.Sleep(time.Minute)
			synctest.Wait()
			if bulk, deflt := count(); bulk != step.bulk || deflt != step.deflt {
				t.Errorf("%v %v: told %d times of bulk and %d times of default, want %d and %d:\n%s", step.ip, step.state, bulk, deflt, step.bulk, step.deflt, &told)
			}
		}
	})
}

// Of a pool whose addresses all float and are elsewhere the operator hears that this gateway stands by, and no error.
func TestPoolThatFloatsIsToldAsStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, kernel := twoIPs.pool("default", "203.0.113.10", "203.0.113.11").pool("bulk", "203.0.113.11"), newFakeKernel()
		g.floating = []string{second.String()}
		var told bytes.Buffer
		a := newAbsences(slog.New(slog.NewTextHandler(&told, nil)))
		a.kernel = kernel.kernel()
		a.of(g.sendingIPs(), g.allPools())
		defer a.close()
		kernel.set(second, host.Missing)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !strings.Contains(told.String(), "this gateway stands by: all sending IPs of the pool float, and none is on this host\" pool=bulk") || strings.Contains(told.String(), "ERROR") {
			t.Errorf("with a pool elsewhere the log says:\n%s", &told)
		}
		kernel.set(first, host.Missing) // of the pool default, where one does not float
		time.Sleep(time.Minute)
		synctest.Wait()
		if strings.Count(told.String(), "level=ERROR") != 1 || !strings.Contains(told.String(), "its mail is deferred\" pool=default") {
			t.Errorf("with an address missing that should be here the log says:\n%s", &told)
		}
	})
}

// The memory of used-up ports is short, and does not grow.
//
// trouble-O09
func TestPortlessForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p portless
		for i := range 3 * mostPairs {
			p.exhausted(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), first)
			if len(p.known) > mostPairs {
				t.Fatalf("%d are remembered", len(p.known))
			}
		}
		var told strings.Builder
		p.log = slog.New(slog.NewTextHandler(&told, nil))
		for range 1000 {
			p.exhausted(mxAddr.Addr(), first)
		}
		synctest.Wait()
		if n := strings.Count(told.String(), "no free source port toward an MX"); n == 0 || n > 30 || !strings.Contains(told.String(), "ip=203.0.113.10 mx=192.0.2.25") {
			t.Errorf("the log has %d lines of it:\n%s", n, told.String())
		}
		if !p.lacks(mxAddr.Addr(), first) || p.lacks(mxAddr.Addr(), second) {
			t.Error("it is not the way that had no port")
		}
		time.Sleep(portsWait)
		if p.lacks(mxAddr.Addr(), first) || p.known != nil {
			t.Error("it is remembered for too long")
		}
	})
}
