package outlet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/test/handclock"
)

// setClock gives the outlet a standing whose clock the test moves.
func setClock(t *testing.T, o *rig) *handclock.Clock {
	t.Helper()
	clock := handclock.At(time.Now().Round(0))
	book, err := standing.New(standing.Options{Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	o.book = book
	return clock
}

func choiceFor(t *testing.T, o *rig, req request) route.Choice {
	t.Helper()
	choice, err := o.router.Choose(o.query(req))
	if err != nil {
		t.Fatal(err)
	}
	return choice
}

// listed has an MX say at MAIL that an IP is on a list.
func (o *rig) listed(source string, ip netip.Addr, mx netip.AddrPort) {
	o.Judge(atMAIL(refusedTo(source, ip, mx, "a@b.example", "x@example.net", listing)))
}

// listens gives the address of an MX that takes connections and says nothing.
func listens(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

func leave(out session.Outbound) {
	_ = out.Conn.Close()
	out.Closed()
}

// The session that was let in as a probe may go on with its IP and connect again; not once the probe has been refused, or an operator
// has spoken. Others of its MSA never may.
func TestProbeIsOneSession(t *testing.T) {
	mx, ip := listens(t), netip.MustParseAddr("127.0.0.2")
	ends := map[string]func(*rig, standing.Key) error{
		"refused": func(o *rig, _ standing.Key) error {
			o.listed("10.30.0.1", ip, mx)
			return nil
		},
		"stopped": func(o *rig, key standing.Key) error { return o.book.Stop(key, "asked", "me") },
		"the whole IP stopped": func(o *rig, key standing.Key) error {
			return o.book.Stop(standing.Key{IP: key.IP, Provider: standing.Every}, "asked", "me")
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutlet(t, sending(ip.String()))
				key := o.key(ip, mx.Addr())
				o.listed("10.30.0.1", ip, mx)
				time.Sleep(3 * time.Hour)
				own := request{Session: 1, Source: netip.MustParseAddr("10.30.0.1"), Destination: mx}
				probe, err := o.Dial(t.Context(), own)
				if err != nil {
					t.Fatal(err)
				}
				own.SenderKnown = true
				if !o.MayStay(own, ip) {
					t.Fatal("its mail leaves")
				}
				again, err := o.Dial(t.Context(), own)
				if err != nil || !o.MayStay(own, ip) {
					t.Fatalf("the probe's own session: dial %v, may stay %t", err, o.MayStay(own, ip))
				}
				for s := range event.ID(100) {
					beside := own
					beside.Session = 2 + s
					if _, err := o.Dial(t.Context(), beside); !errors.Is(err, session.ErrSuspended) || o.MayStay(beside, ip) {
						t.Fatalf("session %d beside the probe: dial %v, may stay %t", s, err, o.MayStay(beside, ip))
					}
				}
				if err := end(o, key); err != nil {
					t.Fatal(err)
				}
				if _, err := o.Dial(t.Context(), own); !errors.Is(err, session.ErrSuspended) || o.MayStay(own, ip) {
					t.Errorf("after the probe's end: dial %v, may stay %t", err, o.MayStay(own, ip))
				}
				leave(probe)
				leave(again)
				o.over(own)
			})
		})
	}
}

var bySender = sending("203.0.113.10", "203.0.113.11", "203.0.113.12").pool("default", "203.0.113.10", "203.0.113.11", "203.0.113.12")

// In a pool that is sticky by sender a session that was let in as a probe does not leave its IP for the sender's own.
func TestProbeStaysAtMail(t *testing.T) {
	o := newOutlet(t, bySender)
	clock := setClock(t, o)
	req := request{Session: 1, Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX}
	probed := choiceFor(t, o, req).IP.Address
	o.listed("10.30.0.1", probed, reviewMX)
	clock.Pass(25 * time.Hour)
	if _, probing, err := o.permitted(choiceFor(t, o, req), req); err != nil || !probing {
		t.Fatalf("probing %t, %v", probing, err)
	}
	elsewhere := 0
	for i := range 30 {
		req.Sender, req.SenderKnown = fmt.Sprintf("a@d%d.example", i), true
		if choiceFor(t, o, req).IP.Address != probed {
			elsewhere++
		}
		if !o.MayStay(req, probed) {
			t.Fatalf("the probe leaves for the IP of %s", req.Sender)
		}
	}
	if elsewhere == 0 {
		t.Error("every sender has the probed IP: the test shows nothing")
	}
	req.Avoid = []netip.Addr{probed}
	if o.MayStay(req, probed) {
		t.Error("it stays although this MX does not want it")
	}
}

// aDay lets a thousand sessions of one MSA send, one after the other, and gives how many mails left from the IP, and how many of them as
// its probe.
func aDay(t *testing.T, o *rig, from netip.Addr) (used, probes int) {
	t.Helper()
	for i := range 1000 {
		req := request{Session: event.ID(i), Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX}
		ip, probing, err := o.permitted(choiceFor(t, o, req), req)
		if err != nil {
			t.Fatal(err)
		}
		req.Sender, req.SenderKnown = fmt.Sprintf("a@d%d.example", i%50), true
		if !o.MayStay(req, ip.Address) {
			if ip, probing, err = o.permitted(choiceFor(t, o, req), req); err != nil {
				t.Fatal(err)
			}
		}
		if ip.Address == from {
			used++
		}
		if probing {
			probes++
		}
		o.Accepted(reviewMX, ip.Address)
	}
	return used, probes
}

// An IP that only senders lead to, at MAIL, comes back as one does that connections begin at: once suspended, through a probe; once
// slowed, by the share it has.
func TestSendersOwnIPComesBack(t *testing.T) {
	for _, state := range []standing.State{standing.Suspended, standing.Slowed} {
		t.Run(state.String(), func(t *testing.T) {
			o := newOutlet(t, bySender)
			clock := setClock(t, o)
			req := request{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX}
			ip := choiceFor(t, o, req).IPs()[1].Address
			key := o.key(ip, reviewMX.Addr())
			before, _ := aDay(t, o, ip)
			if state == standing.Suspended {
				o.listed("10.30.0.1", ip, reviewMX)
			} else {
				throttle(o, key)
			}
			if got := o.book.Peek(key).State; got != state {
				t.Fatalf("it is %s", got)
			}
			clock.Pass(24 * time.Hour)
			probes := 0
			for range 7 {
				_, n := aDay(t, o, ip)
				probes += n
				clock.Pass(24 * time.Hour)
			}
			if want := map[standing.State]int{standing.Suspended: 1}[state]; probes != want {
				t.Errorf("%d probes, want %d", probes, want)
			}
			if after, _ := aDay(t, o, ip); before == 0 || after != before {
				s, _ := o.book.Show(key)
				t.Errorf("%d mails a day before, %d a week later: %s", before, after, s)
			}
		})
	}
}

func throttle(o *rig, key standing.Key) {
	for range 2 {
		o.book.Observe(standing.Evidence{
			IP: key.IP, Provider: key.Provider, Tenant: "t", Destination: "d", Class: event.Throttled, Scope: event.ScopeIP, Suspend: event.SuspendNo,
		})
	}
}

// One probe at a time: while it runs, no other mail of the IP's senders is moved to it.
func TestMovesToOneProbeOnly(t *testing.T) {
	o := newOutlet(t, bySender)
	clock := setClock(t, o)
	req := request{Session: 1, Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true}}
	ips := choiceFor(t, o, req).IPs()
	o.listed("10.30.0.1", ips[0].Address, reviewMX)
	if !o.MayStay(req, ips[1].Address) {
		t.Error("moved to an IP that is suspended")
	}
	clock.Pass(3 * time.Hour)
	if o.MayStay(req, ips[1].Address) {
		t.Fatal("the suspension has run out, and nobody is moved to probe it")
	}
	ip, probing, err := o.permitted(choiceFor(t, o, req), req)
	if err != nil || !probing || ip.Address != ips[0].Address {
		t.Fatalf("%s, probing %t, %v", ip.Address, probing, err)
	}
	for s := range event.ID(100) {
		if req.Session = 2 + s; !o.MayStay(req, ips[1].Address) {
			t.Fatal("moved while a probe is open")
		}
	}
}

// Of the mail whose own IP is slowed to a part, that part moves to it.
func TestSlowedIPGetsItsPart(t *testing.T) {
	o := newOutlet(t, bySender)
	req := request{Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true}}
	ips := choiceFor(t, o, req).IPs()
	throttle(o, o.key(ips[0].Address, reviewMX.Addr())) // to the half
	moved := 0
	for s := range event.ID(10_000) {
		req.Session = 1_700_000_000_000_000<<12 | s
		if !o.MayStay(req, ips[1].Address) {
			moved++
			if ip, _, err := o.permitted(choiceFor(t, o, req), req); ip != ips[0] || err != nil {
				t.Fatalf("moved, and Dial gives %s, %v", ip.Address, err)
			}
		}
	}
	if moved < 4_700 || moved > 5_300 { // six standard deviations
		t.Errorf("%d of 10000 sessions move", moved)
	}
}

// What the MX had against an IP was about one mail of the session: another whose pool has no other IP leaves from it all the same.
func TestRefusedIPIsTheLastResort(t *testing.T) {
	o := newOutlet(t, sending("203.0.113.10", "203.0.113.11").pool("default", "203.0.113.10", "203.0.113.11").byTenant().
		pool("one", "203.0.113.10").route(route.Route{SenderDomains: []string{"one.example"}, Pool: "one"}, nil))
	req := request{
		Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@one.example", SenderKnown: true, Avoid: []netip.Addr{ip10}},
	}
	if ip, _, err := o.permitted(choiceFor(t, o, req), req); err != nil || ip.Address != ip10 {
		t.Errorf("all of the pool was refused before: %s, %v", ip.Address, err)
	}
	rescue := req
	rescue.Rescue = true
	if _, _, err := o.permitted(choiceFor(t, o, rescue), rescue); !errors.Is(err, session.ErrNoOtherIP) {
		t.Errorf("a rescue from it: %v", err)
	}
	req.Sender = "a@b.example"
	if ip, _, err := o.permitted(choiceFor(t, o, req), req); err != nil || ip.Address != ip11 {
		t.Errorf("another is left: %s, %v", ip.Address, err)
	}
	if err := o.book.Stop(o.key(ip11, reviewMX.Addr()), "asked", "me"); err != nil {
		t.Fatal(err)
	}
	if ip, _, err := o.permitted(choiceFor(t, o, req), req); err != nil || ip.Address != ip10 {
		t.Errorf("the other is stopped: %s, %v", ip.Address, err)
	}
}

// MayStay is asked for every mail.
func TestMayStayDoesNotAllocate(t *testing.T) {
	for name, g := range map[string]gateway{"by sender": bySender, "by tenant": bySender.byTenant()} {
		o := newOutlet(t, g)
		req := request{
			Session: 1, Source: netip.MustParseAddr("10.30.0.1"), Destination: reviewMX, DialRequest: session.DialRequest{Sender: "a@b.example", SenderKnown: true, Recipient: "x@example.net"},
		}
		ip := choiceFor(t, o, req).IP.Address
		throttle(o, standing.Key{IP: ip, Provider: "mx:198.51.100.25"}) // of others something may be known
		if n := testing.AllocsPerRun(100, func() { o.MayStay(req, ip) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}
