package session_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// brokenKinds are MXs whose TLS is broken, each in its way, and what can be had of them once they are known.
var brokenKinds = []struct {
	name string
	make func(*testing.T) *brokenMX
	tls  float64 // share of mails in TLS once the MX is known, at least; 0: TLS cannot be had
	cost float64 // connections a mail once the MX is known, at most
}{
	{"hangs on a hello of more than 1,400 octets", sawHello(ifLarge(hang)), 1, 1.1},
	{"resets on a hello of more than 1,400 octets", sawHello(ifLarge(resets)), 1, 1.1},
	{"alert on a post-quantum key share", alertIf(postQuantum), 1, 1.1},
	{"closes on a ticket", alertIf(withTicket), 1, 1.1},
	{"TLS 1.0 only", onlyTLS10, 1, 1.1},
	{"closes behind its 220 to STARTTLS", replies("STARTTLS", 1, "220 go\r\n"+smtptest.Delay(time.Second)+smtptest.CloseConn), 0, 1.1},
	{"garbage for an answer to the hello", sawHello(everyHello(garbageForHello)), 0, 1.1},
	{"hangs on every hello", sawHello(everyHello(hang)), 0, 1.1},
	{"wants a certificate, TLS 1.3", wantsCertificate(tls.VersionTLS13), 0, 1.1},
	{"wants a certificate, TLS 1.2", wantsCertificate(tls.VersionTLS12), 0, 1.1},
	{"closes at EHLO inside TLS", replies("EHLO", 2, smtptest.CloseConn), 0, 1.1},
	{"resets at EHLO inside TLS", replies("EHLO", 2, smtptest.ResetConn), 0, 1.1},
	{"always an alert", handshakes(func(int) bool { return true }), 0, 1.1},
	{"454 to STARTTLS", replies("STARTTLS", 1, "454 4.7.0 TLS not available due to temporary reason\r\n"), 0, 1.1},
	{"silent behind STARTTLS", replies("STARTTLS", 1, ""), 0, 1.1},
	{"fails every second handshake", handshakes(func(n int) bool { return n%2 == 0 }), 0.48, 1.6},
}

// 100 mails, one in six minutes, to each kind of broken MX: all arrive; once the MX is known a mail costs one connection, and has
// TLS where that can be had. In the last kind each second handshake fails, whatever is done: a success lies between any two
// failures, so it is never given up, and each costs another connection.
//
// law: S2/MX-lost S2/MX-silent S2/MX-refuses B15 B19
func TestHundredMailsToEachKindOfBrokenMX(t *testing.T) {
	const mails, learning = 100, 5
	table := []string{fmt.Sprintf("%-46s %9s %9s %11s %11s %8s %9s", "MX", "delivered", "in TLS", "connections", "once known", "longest", "once known")}
	for _, kind := range brokenKinds {
		t.Run(kind.name, func(t *testing.T) {
			mx := kind.make(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				var arrived, inTLS, inTLSKnown, connections, known int
				var longest, longestKnown time.Duration
				for n := range mails {
					m := s.mail(t)
					connections += m.connections
					longest = max(longest, m.took)
					if m.delivered() {
						arrived++
					}
					if m.inTLS() {
						inTLS++
					}
					if n >= learning {
						known += m.connections
						longestKnown = max(longestKnown, m.took)
						if m.inTLS() {
							inTLSKnown++
						}
					}
					time.Sleep(6 * time.Minute)
				}
				each, eachKnown := float64(connections)/mails, float64(known)/(mails-learning)
				table = append(table, fmt.Sprintf("%-46s %9d %9d %11.2f %11.2f %8s %9s", kind.name, arrived, inTLS, each, eachKnown, longest, longestKnown))
				if n := s.mx.Mailbox.Len(); arrived != mails || n != mails {
					t.Errorf("%d of %d acknowledged, %d in the mailbox", arrived, mails, n)
				}
				if eachKnown > kind.cost {
					t.Errorf("%.2f connections for each mail once the MX was known, want at most %.2f", eachKnown, kind.cost)
				}
				if float64(inTLSKnown) < kind.tls*(mails-learning) || kind.tls == 0 && inTLS > 0 {
					t.Errorf("%d of %d mails in TLS, %d of them once the MX was known", inTLS, mails, inTLSKnown)
				}
				if longest > 71*time.Second || longestKnown > 11*time.Second {
					t.Errorf("a mail took %s, one to a known MX %s", longest, longestKnown)
				}
			})
		})
	}
	t.Log("100 mails to each kind of MX\n" + strings.Join(table, "\n"))
}

// Ten MXs whose handshakes fail once, in the ways above: all mail goes on in TLS, the mail at hand, too.
//
// law: S2/MX-refuses B19
func TestMXsThatFailOnceAreBackInTLS(t *testing.T) {
	const mxs = 10
	back := 0
	for failing := range mxs {
		mx := handshakes(func(n int) bool { return n == 1+failing })(t)
		if failing%2 == 1 {
			mx.TLS.CurvePreferences = []tls.CurveID{tls.X25519} // as most MXs
		}
		synctest.Test(t, func(t *testing.T) {
			s := newBrokenSite(mx)
			all := true
			for range 20 {
				m := s.mail(t)
				all = all && m.delivered() && m.inTLS()
				time.Sleep(10 * time.Minute)
			}
			if all {
				back++
			}
		})
	}
	t.Logf("%d MXs whose %s handshake fails, 20 mails each: %d with all mail in TLS", mxs, "first … tenth", back)
	if back != mxs {
		t.Errorf("%d of %d have all of their mail in TLS", back, mxs)
	}
}

// A hang costs its full time once, ten seconds until the verdict, and then nothing. The mails come two minutes apart.
//
// law: S2/MX-silent B15
func TestWhatAHangCosts(t *testing.T) {
	for name, c := range map[string]struct {
		mx   func(*testing.T) *brokenMX
		want []time.Duration
	}{
		"any hello":   {sawHello(everyHello(hang)), []time.Duration{70 * time.Second, 10 * time.Second, 10 * time.Second, 0, 0}},
		"large hello": {sawHello(ifLarge(hang)), []time.Duration{60 * time.Second, 0, 0, 0, 0}},
		"STARTTLS":    {replies("STARTTLS", 1, ""), []time.Duration{60 * time.Second, 10 * time.Second, 10 * time.Second, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			mx := c.mx(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				for i, want := range c.want {
					if m := s.mail(t); !m.delivered() || m.took.Round(time.Second) != want {
						t.Errorf("mail %d: %v after %s, want it after %s", i+1, m.Verdicts, m.took, want)
					}
					time.Sleep(2 * time.Minute)
				}
			})
		})
	}
}

// Fifty sessions, at once or one behind the other, meet an MX that hangs on a large hello. One of them finds out; no other waits for it,
// or as long: that the MX has meanwhile answered a small hello proves nothing of a large one. All are delivered, all in TLS.
func TestFiftySessionsMeetAHangingMX(t *testing.T) {
	for name, apart := range map[string]time.Duration{"at once": 0, "one behind the other": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			mx := sawHello(ifLarge(hang))(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				took := make([]time.Duration, 50)
				delivered := make([]bool, 50)
				var all sync.WaitGroup
				for i := range took {
					all.Go(func() {
						time.Sleep(time.Duration(i) * apart)
						begun := time.Now()
						msa := smtptest.NewMSA(t, s.connect())
						d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
						took[i], delivered[i] = time.Since(begun), d.All(smtptest.Accepted)
						_ = msa.Quit()
					})
				}
				all.Wait()
				synctest.Wait()
				inTLS := 0
				for _, r := range s.ended() {
					if r.State == event.TLSOn {
						inTLS++
					}
				}
				slices.Sort(took)
				longest, others := took[49], took[48]
				t.Logf("%d in TLS, %d connections, longest %s, the others at most %s", inTLS, s.dials(), longest, others)
				if slices.Contains(delivered, false) || inTLS != 50 || s.dials() > 100 || longest > 61*time.Second || others > 11*time.Second {
					t.Error("want all delivered in TLS after two connections each at most, one after a minute, the others after ten seconds")
				}
			})
		})
	}
}

// While one session finds out about an MX that is slow, and not broken, the others have their time as soon as that has been seen.
func TestSlowHandshakesAreNoHangs(t *testing.T) {
	mx := soundMX(t)
	mx.sawHello = func(*smtptest.Conn, []byte) error {
		time.Sleep(9 * time.Second)
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 400 * time.Millisecond)
				msa := smtptest.NewMSA(t, s.connect())
				msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
				_ = msa.Quit()
			})
		}
		all.Wait()
		synctest.Wait()
		for _, r := range s.ended() {
			if r.State != event.TLSOn || s.dials() != 20 {
				t.Fatalf("%s after %q, %d connections for 20 mails", r.State, r.Err, s.dials())
			}
		}
	})
}

// An MX that was given up is tried again after hours, by one session; the others go on as before and do not wait for it. If it has
// been mended, all have TLS again.
func TestOneSessionTestsWhatIsKnown(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	mx := sawHello(func(c *smtptest.Conn, _ []byte) error {
		if broken.Load() {
			return hang(c)
		}
		return nil
	})(t)
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		for range 5 {
			s.mail(t)
			time.Sleep(2 * time.Minute)
		}
		time.Sleep(7 * time.Hour)
		before := s.dials()
		test := make(chan mailing)
		begun := time.Now()
		go func() {
			msa := smtptest.NewMSA(t, s.connect())
			d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true)
			took := time.Since(begun)
			_ = msa.Quit()
			test <- mailing{Delivery: d, took: took}
		}()
		synctest.Wait()
		for range 10 {
			if m := s.mail(t); !m.delivered() || m.took > time.Second || m.inTLS() {
				t.Errorf("beside a test: delivered %t after %s, %s", m.delivered(), m.took, m.tls.State)
			}
		}
		if m := <-test; !m.delivered() || m.took > 11*time.Second || s.dials()-before != 12 {
			t.Errorf("the test took %s, delivered %t, %d connections for 11 mails", m.took, m.delivered(), s.dials()-before)
		}
		synctest.Wait()
		broken.Store(false)
		time.Sleep(13 * time.Hour) // twice as long as before
		for range 3 {
			if m := s.mail(t); !m.delivered() || !m.inTLS() || m.connections != 1 {
				t.Errorf("mended: delivered %t, %s %q, %d connections", m.delivered(), m.tls.State, m.tls.Err, m.connections)
			}
		}
	})
}

// What is remembered is never used against a rule that TLS must be: it is tried each time, and nothing goes in plain text.
//
// law: S2/MX-refuses
func TestMemoryIsNotForWhereTLSMustBe(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	mx := alertIf(func(*tls.ClientHelloInfo) bool { return broken.Load() })(t)
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		for range 5 {
			s.mail(t)
			time.Sleep(2 * time.Minute)
		}
		if m := s.mail(t); m.connections != 1 || m.inTLS() {
			t.Fatalf("not given up: %d connections", m.connections)
		}
		heard := len(s.mx.Mailbox.Commands())
		s.rule = session.TLSRequire
		m := s.mail(t)
		if said := strings.Join(s.mx.Mailbox.Commands()[heard:], "\n"); m.delivered() || strings.Contains(said, "MAIL") || !strings.Contains(said, "STARTTLS") {
			t.Errorf("%v, the MX heard %q", m.Verdicts, said)
		}
		if got := m.Replies[0]; got.Code != 451 {
			t.Errorf("the MSA was told %s", got)
		}
		broken.Store(false)
		if m := s.mail(t); !m.delivered() || !m.inTLS() {
			t.Errorf("mended: %v, %s", m.Verdicts, m.tls.State)
		}
	})
}

// Where TLS must be, too, an MX that cannot bear a hello is sent one that it can.
func TestHelloThatBreaksWhereTLSMustBe(t *testing.T) {
	for name, makeMX := range map[string]func(*testing.T) *brokenMX{
		"alert": alertIf(postQuantum), "reset": sawHello(ifLarge(resets)), "hang": sawHello(ifLarge(hang)),
	} {
		t.Run(name, func(t *testing.T) {
			mx := makeMX(t)
			synctest.Test(t, func(t *testing.T) {
				s := newBrokenSite(mx)
				s.rule = session.TLSRequire
				for _, want := range []int{2, 1, 1} {
					if m := s.mail(t); !m.delivered() || !m.inTLS() || m.connections != want {
						t.Errorf("%v, %s %q, %d connections, want %d", m.Verdicts, m.tls.State, m.tls.Err, m.connections, want)
					}
				}
			})
		})
	}
}

// A test that its MSA breaks off is taken over by the next session: nobody can keep an MX in plain text by hanging up.
func TestTestThatIsBrokenOff(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	mx := soundMX(t)
	mx.sawHello = func(c *smtptest.Conn, _ []byte) error {
		if broken.Load() {
			return resets(c)
		}
		time.Sleep(time.Second)
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		for range 4 {
			s.mail(t)
			time.Sleep(2 * time.Minute)
		}
		broken.Store(false)
		time.Sleep(7 * time.Hour)
		conn := s.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Send("EHLO msa.example.com")
		time.Sleep(100 * time.Millisecond)
		conn.Reset()
		time.Sleep(2 * time.Second)
		if m := s.mail(t); !m.delivered() || !m.inTLS() {
			t.Errorf("%v, %s %q", m.Verdicts, m.tls.State, m.tls.Err)
		}
	})
}

// An MSA that hangs up in the middle of a handshake, or a drain, says nothing of the MX.
func TestLostMSAIsNoFailureOfTLS(t *testing.T) {
	mx := soundMX(t)
	var slow atomic.Bool
	slow.Store(true)
	mx.sawHello = func(*smtptest.Conn, []byte) error {
		if slow.Load() {
			time.Sleep(5 * time.Second)
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		s := newBrokenSite(mx)
		for range 4 {
			conn := s.connect()
			msa := smtptest.NewMSA(t, conn)
			msa.Expect(220)
			msa.Send("EHLO msa.example.com")
			time.Sleep(time.Second)
			conn.Reset()
			time.Sleep(2 * time.Minute)
		}
		slow.Store(false)
		if m := s.mail(t); !m.delivered() || !m.inTLS() || m.connections != 1 || m.tls.Curve != uint16(tls.X25519MLKEM768) {
			t.Errorf("%v, %s %q, %d connections", m.Verdicts, m.tls.State, m.tls.Err, m.connections)
		}
	})
}
