package slow

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
)

// A sending IP that one provider answers slowly is told of, keeps the part of its sessions that the operator wants, and has all of them again when the
// provider is kind.
func TestWhatFollowsOfAFinding(t *testing.T) {
	for _, test := range []struct {
		act   Act
		by    time.Duration
		share float64
		did   Deed
	}{
		{Tell, 5 * time.Second, 1, Told},
		{Slow, 5 * time.Second, .5, Slowed},
		{Slow, time.Minute, .5, Slowed},
		{Move, 5 * time.Second, .5, Slowed},
		{Move, time.Minute, .05, Moved},
	} {
		t.Run(test.act.String()+" "+test.by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGateway(t, test.act, 4)
				k := Key{g.ips[1], google}
				g.sends(1500, never)
				if len(g.told) > 0 || g.w.Speaks() {
					t.Fatalf("told of what is calm: %+v", g.told)
				}
				g.restrict(k.IP, test.by)
				if mails, held := g.sends(1500, func() bool { return isFound(g.of(k)) }); !held {
					t.Fatal("nothing found")
				} else {
					t.Logf("found after %d mails of all keys", mails)
				}
				g.sends(200, never)
				if share := g.w.Share(k); share != test.share {
					t.Errorf("share %v, want %v", share, test.share)
				}
				f, _ := g.of(k)
				if f.Did != test.did || f.Phase != timing.Rcpt || f.Here < test.by.Seconds()/2 || f.Others > 1 {
					t.Errorf("%+v", f)
				}
				for _, other := range []Key{{g.ips[0], google}, {k.IP, "outlook"}} {
					if share := g.w.Share(other); share != 1 {
						t.Errorf("share of %v is %v", other, share)
					}
				}
				g.trouble = nil
				if _, held := g.sends(3000, func() bool { return !isFound(g.of(k)) }); !held {
					t.Fatal("it never ends")
				}
				g.sends(200, never)
				if share := g.w.Share(k); share != 1 || g.w.Speaks() {
					t.Errorf("share %v when it is over", share)
				}
				steps := g.steps()
				if first, last := steps[0], steps[len(steps)-1]; first != "begun "+test.did.String() && first != "begun slowed" || last != "cleared told" {
					t.Errorf("told %v", steps)
				}
			})
		})
	}
}

// A wait that has lasted for long is reason enough to have other mail leave from elsewhere, until it can be over.
func TestAWaitInProgressMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Move, 4)
		k := Key{g.ips[1], google}
		g.sends(1500, never)
		g.restrict(k.IP, 5*time.Second)
		if _, held := g.sends(1500, func() bool { return isFound(g.of(k)) }); !held {
			t.Fatal("nothing found")
		}
		g.trouble = nil
		wait := func(took, inAll time.Duration) {
			f := g.next(k.IP, google)
			f.Transaction, f.Recipients = nil, nil
			f.News = event.Wait{Cause: event.Cause{Session: f.Session.ID, Transaction: 1}, Phase: event.PhaseRcpt, Waited: took, InAll: inAll}
			g.hear(f)
		}
		wait(20*time.Second, 25*time.Second)
		if share := g.w.Share(k); share != slowShare {
			t.Errorf("share %v behind a short wait", share)
		}
		wait(10*time.Second, 40*time.Second) // no phase of a tarpit that says an octet a second is long
		if share := g.w.Share(k); share != moveShare {
			t.Errorf("share %v while a mail waits", share)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if share := g.w.Share(k); share != slowShare {
			t.Errorf("share %v when the wait is over, or was not told of again", share)
		}
	})
}

// With two sending IPs nobody can say which is the odd one, and it is told why nothing is done; with one there is nobody to compare with.
func TestWithFewSendingIPsNothingFollows(t *testing.T) {
	for ips := 1; ips <= 2; ips++ {
		synctest.Test(t, func(t *testing.T) {
			g := newGateway(t, Move, ips)
			k := Key{g.ips[ips-1], google}
			g.sends(1500, never)
			g.restrict(k.IP, time.Minute)
			_, held := g.sends(1500, func() bool { return isFound(g.of(k)) })
			if f, _ := g.of(k); held != (ips == 2) || held && f.Why == "" {
				t.Errorf("%d sending IPs: found %v: %+v", ips, held, f)
			}
			if g.w.Speaks() {
				t.Errorf("%d sending IPs: time speaks against one", ips)
			}
		})
	}
}

// drips has an IP's mail be dripped at google.
func (g *gateway) drips(ip netip.Addr) {
	for range 3 {
		f := g.next(ip, google)
		for _, r := range []*event.Reply{&f.Transaction.Mail, &f.Transaction.Recipients[0].Reply} {
			r.Pieces, r.First, r.Took = 12, 1_000_000, 14_000_000
		}
		g.hear(f)
	}
}

// Half of the sending IPs at a provider is the receiver's way, and not theirs.
func TestNeverOnHalfOfTheIPs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Move, 4)
		for _, ip := range g.ips {
			g.sendFrom(ip, google)
		}
		g.drips(g.ips[0])
		if share := g.w.Share(Key{g.ips[0], google}); share == 1 {
			t.Fatal("one of four is not acted on")
		}
		g.drips(g.ips[1])
		for _, ip := range g.ips[:2] {
			if f, found := g.of(Key{ip, google}); !isFound(f, found) || g.w.Share(f.Key) != 1 || f.Why == "" {
				t.Errorf("%v has a share of %v, as half of the IPs there have a finding: %+v", ip, g.w.Share(Key{ip, google}), f)
			}
		}
	})
}

// What stands is told to whoever goes by days on each of them, and to nobody else.
func TestWhatStandsIsToldEachDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Tell, 4)
		g.drips(g.ips[0])
		told := len(g.told)
		for range 3 {
			g.drips(g.ips[0])
			time.Sleep(23 * time.Hour)
			synctest.Wait()
		}
		still := 0
		for _, f := range g.told[told:] {
			if f.Still {
				still++
			}
		}
		if still < 2 || still > 4 || len(g.told) != told+still {
			t.Errorf("told %d times in three days, %d of them as what still stands", len(g.told)-told, still)
		}
	})
}

// What says nothing of a sending IP is not looked at.
func TestWhatIsNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Tell, 3)
		g.w.Configure(Settings{Internal: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		for name, change := range map[string]func(*event.Facts){
			"a destination inside":     func(f *event.Facts) { f.Session.Destination = netip.MustParseAddrPort("10.1.2.3:25") },
			"a session passed through": func(f *event.Facts) { f.Session.MX.State = event.TLSPassthrough },
			"a mail that met no MX":    func(f *event.Facts) { f.Transaction.Leg = 0 },
			"a mail refused by kanmon": func(f *event.Facts) {
				*f.Transaction = event.Transaction{Leg: 1, Mail: event.Reply{Code: 451, Local: true}}
				f.Session.Mails = 2
			},
			"news of something else": func(f *event.Facts) { f.Transaction, f.News = nil, event.Heartbeat{} },
			"a wait for what carries no mail": func(f *event.Facts) {
				f.Transaction, f.News = nil, event.Wait{Phase: event.PhaseReset, Waited: time.Minute}
			},
		} {
			f := g.next(g.ips[0], google)
			change(f)
			g.w.Hear(f)
			synctest.Wait()
			if seen, _ := g.w.Counts(); seen != 0 {
				t.Errorf("%s is looked at", name)
				return
			}
		}
		g.w.Hear(g.next(g.ips[0], google))
		synctest.Wait()
		if seen, _ := g.w.Counts(); seen != 1 {
			t.Error("a mail is not looked at")
		}
		g.w.Configure(Settings{Act: Off})
		g.w.Hear(g.next(g.ips[0], google))
		synctest.Wait()
		if seen, _ := g.w.Counts(); seen != 1 || g.w.On() {
			t.Error("a mail is looked at although it is off")
		}
	})
}

// Where the detector cannot keep up, mail goes on, and what is missing is counted.
func TestWhatDoesNotFitIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Tell, 1)
		f := g.next(g.ips[0], google)
		g.w.mu.Lock()
		for i := range queued + 100 { // of a tenant each: of one, most would be passed over
			f.Session.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 4711)
			g.w.Hear(f)
		}
		g.w.mu.Unlock()
		synctest.Wait()
		if seen, lost := g.w.Counts(); seen+lost != queued+100 || lost < 98 {
			t.Errorf("seen %d, lost %d", seen, lost)
		}
	})
}

// A panic ends the measuring, and nothing else: no share is left that nobody takes back.
func TestAPanicSwitchesItOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Slow, 1)
		g.w.shares.Store(&map[Key]float64{{g.ips[0], google}: .5})
		g.w.mu.Lock()
		g.w.detector = nil
		g.w.mu.Unlock()
		g.w.Hear(g.next(g.ips[0], google))
		synctest.Wait()
		if g.w.On() || g.w.Speaks() {
			t.Error("it is still on")
		}
		g.w.Configure(Settings{Act: Slow}) // a reload
		g.sendFrom(g.ips[0], google)
		if keys := g.w.detector.Keys(); !g.w.On() || keys != 1 || len(g.w.Found()) > 0 {
			t.Errorf("on again: %t, with %d keys, %+v", g.w.On(), keys, g.w.Found())
		}
	})
}

// What stands when it is switched off is told to have ended, and holds no more; what was learnt is gone.
func TestSwitchedOffAllEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, Slow, 4)
		k := Key{g.ips[1], google}
		g.sends(1500, never)
		g.restrict(k.IP, 10*time.Second)
		if _, held := g.sends(1500, func() bool { return isFound(g.of(k)) }); !held {
			t.Fatal("nothing found")
		}
		g.w.Configure(Settings{Act: Off})
		if steps := g.steps(); g.w.Speaks() || len(g.w.Found()) > 0 || steps[len(steps)-1] != "cleared told" {
			t.Errorf("speaks %v: %v", g.w.Speaks(), steps)
		}
		if keys := g.w.detector.Keys(); keys != 0 {
			t.Errorf("%d keys are kept", keys)
		}
	})
}

// Hearing a message costs the session that tells it next to nothing.
func TestHearingAllocatesNothing(t *testing.T) {
	w, f := deaf(), aMail()
	if n := testing.AllocsPerRun(1000, func() { w.Hear(f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// deaf gives a Watch that feeds no detector.
func deaf() *Watch {
	w := &Watch{clock: time.Now, thin: newThinner(), samples: make(chan sample, queued), hasten: make(chan struct{}, 1)}
	w.settings.Store(&Settings{})
	return w
}

func aMail() *event.Facts {
	ip := netip.MustParseAddr("203.0.113.10")
	to := []event.Recipient{{Reply: event.Reply{Code: 250, Took: 1000}}}
	return &event.Facts{
		Session: &event.Session{
			Arrival: event.Arrival{ID: 7, Source: netip.MustParseAddrPort("192.0.2.1:4711"), Destination: mx},
			Leg:     event.Leg{Number: 1, SendingIP: ip, Way: &event.Way{Provider: google}},
		},
		Recipients:  to,
		Transaction: &event.Transaction{Number: 1, Leg: 1, Mail: event.Reply{Code: 250, Took: 1000}, Recipients: to, Dot: event.Reply{Code: 250, Took: 100_000}},
	}
}

func BenchmarkHear(b *testing.B) {
	w := deaf()
	f := aMail()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%queued == 0 {
			b.StopTimer()
			for len(w.samples) > 0 {
				<-w.samples
			}
			b.StartTimer()
		}
		w.Hear(f)
	}
}

// What a mail costs behind the session's back: the detector, and looking at what it says.
func BenchmarkTake(b *testing.B) {
	g := &gateway{r: rand.New(rand.NewPCG(1, 2)), tenants: 6}
	for i := range 4 {
		g.ips = append(g.ips, netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}))
	}
	now := time.Now()
	w := &Watch{clock: func() time.Time { return now }}
	w.settings.Store(&Settings{})
	w.forget()
	mails := make([]sample, 20_000)
	for i := range mails {
		mails[i].ofMail(g.any())
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now = now.Add(40 * time.Second)
		mails[i%len(mails)].id += uint64(len(mails))
		w.take(&mails[i%len(mails)])
	}
}

func BenchmarkShareOfNobody(b *testing.B) {
	w, k := &Watch{}, Key{netip.MustParseAddr("203.0.113.10"), google}
	for b.Loop() {
		if w.Share(k) < 1 {
			b.Fatal()
		}
	}
}

// The words that an operator reads are those that may be said.
func TestActs(t *testing.T) {
	if words := Tell.Words(); !slices.Equal(words, []string{"tell", "slow", "move", "off"}) {
		t.Errorf("%v", words)
	}
	var a Act
	if err := a.UnmarshalText([]byte("move")); err != nil || a != Move {
		t.Errorf("%v, %v", a, err)
	}
}
