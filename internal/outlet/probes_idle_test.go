package outlet

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// An instantDialer connects at once, to nobody.
type instantDialer struct{}

func (instantDialer) DialFrom(_ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	return session.Outbound{SendingIP: from}, nil
}

// A probing world has two sending IPs, of which the first is suspended at an MX.
type probingWorld struct {
	*rig
	ip    netip.Addr // that is suspended
	key   standing.Key
	count event.ID
}

// sharedByTenants are three tenants with a pool of two.
var sharedByTenants = sending("203.0.113.10", "203.0.113.11").pool("default", "203.0.113.10", "203.0.113.11").byTenant().
	tenant("quiet", "10.30.0.0/24").tenant("honest", "10.40.0.0/24").tenant("third", "10.50.0.0/24")

func newProbingWorld(t *testing.T) *probingWorld {
	w := &probingWorld{rig: newOutlet(t, sharedByTenants)}
	w.dialer = instantDialer{}
	w.ip = choiceFor(t, w.rig, w.from("10.40.0.1")).IP.Address
	if other := choiceFor(t, w.rig, w.from("10.30.0.1")).IP.Address; other != w.ip {
		t.Fatal("both tenants must begin at one IP: the test shows nothing")
	}
	if third := choiceFor(t, w.rig, w.from("10.50.0.1")).IP.Address; third != w.ip {
		t.Fatal("and so must the third")
	}
	w.key = w.rig.key(w.ip, reviewMX.Addr())
	w.listed("10.40.0.1", w.ip, reviewMX)
	time.Sleep(3 * time.Hour)
	synctest.Wait()
	if got := w.book.Peek(w.key).Answer; got != standing.Probe {
		t.Fatalf("the suspension has run out, and the answer is %v", got)
	}
	return w
}

func (w *probingWorld) from(source string) request {
	w.count++
	return request{Session: w.count, Source: netip.MustParseAddr(source), Destination: reviewMX}
}

// A leg is what a session has of an MX.
type leg struct {
	w   *probingWorld
	req request
	out session.Outbound
}

func (w *probingWorld) connect(t *testing.T, source string) *leg {
	t.Helper()
	l := &leg{w: w, req: w.from(source)}
	l.dial(t)
	return l
}

func (l *leg) dial(t *testing.T) {
	t.Helper()
	var err error
	if l.out, err = l.w.Dial(t.Context(), l.req); err != nil {
		t.Fatal(err)
	}
}

// mail does what a session does at MAIL, and with a recipient at RCPT.
func (l *leg) mail(t *testing.T, recipient string) {
	t.Helper()
	l.req.SenderKnown, l.req.Sender, l.req.Recipient = true, "a@b.example", recipient
	if !l.w.MayStay(l.req, l.out.SendingIP) {
		l.out.Closed()
		l.dial(t)
	}
}

// close ends the session.
func (l *leg) close() {
	l.out.Closed()
	l.w.over(l.req)
}

// A tenant whose sessions say nothing, or begin mail that they do not end, does not keep the others from an IP whose suspension has run out.
//
// audit-B4
func TestIdleSessionsDoNotTakeTheProbe(t *testing.T) {
	for name, idle := range map[string]func(*testing.T, *leg){
		"silent":       func(*testing.T, *leg) {},
		"MAIL alone":   func(t *testing.T, l *leg) { l.mail(t, "") },
		"MAIL, RCPT":   func(t *testing.T, l *leg) { l.mail(t, ""); l.mail(t, "x@example.net") },
		"RCPT refused": func(t *testing.T, l *leg) { l.mail(t, ""); l.mail(t, "x@example.net"); l.close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newProbingWorld(t)
				used := 0
				for minute := range 12 * 60 {
					for range 2 {
						l := w.connect(t, "10.30.0.1")
						idle(t, l)
						time.AfterFunc(30*time.Minute, l.close)
					}
					time.Sleep(50 * time.Second)
					l := w.connect(t, "10.40.0.1")
					l.mail(t, "")
					l.mail(t, "x@example.net")
					w.Accepted(reviewMX, l.out.SendingIP)
					l.close()
					if l.out.SendingIP == w.ip && minute >= 6*60 {
						used++
					}
					time.Sleep(10 * time.Second)
				}
				if used < 350 {
					s, _ := w.book.Show(w.key)
					t.Errorf("of 360 honest sessions in the last six of 12 hours %d leave from the IP: %s", used, s)
				}
				time.Sleep(time.Hour) // the last sessions end
			})
		})
	}
}

// Two tenants who take turns, and whose probes tell nothing, keep a third from the IP no longer than a turn of each.
//
// audit-B4
func TestTwoDoNotTakeTheProbeInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newProbingWorld(t)
		last := ""
		for minute := range 60 {
			for _, source := range []string{"10.30.0.1", "10.50.0.1"} { // who is not the last one is always quicker than the third
				if source == last || w.book.Peek(w.key).Answer != standing.Probe {
					continue
				}
				l := w.connect(t, source)
				if l.mail(t, ""); l.out.SendingIP == w.ip {
					last = source
				}
				l.mail(t, "x@example.net")
				time.AfterFunc(5*time.Minute, l.close)
			}
			l := w.connect(t, "10.40.0.1")
			l.mail(t, "")
			l.close()
			if l.out.SendingIP == w.ip {
				if minute > 20 {
					t.Errorf("the third has its turn after %d minutes", minute)
				}
				time.Sleep(time.Hour)
				return
			}
			time.Sleep(time.Minute)
		}
		t.Error("the third never has a turn")
		time.Sleep(time.Hour)
	})
}

// A session that has only connected is no probe; whose mail comes first is. A tenant whose probe has told nothing lets others go first, for
// a quarter of an hour.
func TestProbeBeginsWithTheMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newProbingWorld(t)
		first := w.connect(t, "10.40.0.1")
		if first.out.SendingIP != w.ip || w.book.Peek(w.key).Answer != standing.Probe {
			t.Fatalf("it connects from %s; the standing: %+v", first.out.SendingIP, w.book.Peek(w.key))
		}
		if beside := w.connect(t, "10.40.0.1"); beside.out.SendingIP == w.ip {
			t.Error("two sessions connect for one probe")
		}
		first.mail(t, "")
		if first.out.SendingIP != w.ip || w.wayOf(first.req).probeOf(w.key) == 0 {
			t.Fatal("it is no probe with its mail")
		}
		time.Sleep(probeIdle + time.Second)
		if got := w.book.Peek(w.key); got.State != standing.Suspended {
			t.Errorf("MAIL, and nothing for %s: %s", probeIdle, got.State)
		}
		first.close()
		time.Sleep(3 * time.Minute)
		if again := w.connect(t, "10.40.0.1"); again.out.SendingIP == w.ip {
			t.Error("the same tenant probes twice in a row, without a mail")
		}
		if other := w.connect(t, "10.30.0.1"); other.out.SendingIP != w.ip {
			t.Error("another tenant has no turn")
		} else {
			other.close()
		}
		moves := w.connect(t, "10.40.0.1")
		from := moves.out.SendingIP
		if moves.mail(t, ""); moves.out.SendingIP != from {
			t.Error("its mail moves for nothing")
		}
		time.Sleep(probingAgain)
		if again := w.connect(t, "10.40.0.1"); again.out.SendingIP != w.ip {
			t.Error("nobody else comes, and it never probes again")
		}
	})
}

// A session that has asked whether it may try an IP, and connects when another one has become its probe, does not take that over: the other one
// goes on, and when it says nothing it ends in time.
func TestWhoConnectsLateLeavesTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newProbingWorld(t)
		req := w.from("10.30.0.1")
		choice := choiceFor(t, w.rig, req)
		own := w.wayOf(req)
		late := own.candidate(&choice) // it has seen that the suspension has run out
		probe := w.connect(t, "10.40.0.1")
		probe.mail(t, "")
		if probe.out.SendingIP != w.ip || w.wayOf(probe.req).probeOf(w.key) == 0 {
			t.Fatal("the other one is no probe: the test shows nothing")
		}
		if own.tries(w.key, late, false) {
			t.Error("it is let in beside the probe")
		}
		if w.wayOf(probe.req).probeOf(w.key) == 0 {
			t.Error("the probe has lost the IP")
		}
		time.Sleep(probeIdle + time.Second)
		if got := w.book.Peek(w.key); got.State != standing.Suspended {
			t.Errorf("the probe says nothing for %s, and the IP is %s", probeIdle, got.State)
		}
		probe.close()
	})
}

// Without tenants each MSA is one, and a host with a /64 is one MSA: it does not probe twice in a row by another of its addresses.
func TestAHostProbesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutlet(t, twoIPs)
		mx := netip.MustParseAddrPort("[2001:db8:25::25]:25")
		key := o.key(ip10, mx.Addr())
		o.Judge(refusedTo("2001:db8:1:2::1", ip10, mx, "a@b.example", "x@example.net", listing))
		o.sites.from(netip.MustParseAddr("10.30.0.1")) // there is another one
		time.Sleep(3 * time.Hour)
		tries := func(s event.ID, source string) bool {
			req := request{Session: s, Source: netip.MustParseAddr(source), Destination: mx}
			who := o.wayOf(req).candidate(&route.Choice{})
			return o.probes.free(key, who, true) && o.probes.reserve(key, who, func() bool { return true })
		}
		if !tries(1, "2001:db8:1:2::1") {
			t.Fatal("it may not probe at all")
		}
		time.Sleep(probeIdle)
		if tries(2, "2001:db8:1:2::77") {
			t.Error("the same host probes again from another of its addresses")
		}
		if !tries(3, "10.30.0.1") {
			t.Error("another one has no turn")
		}
	})
}
