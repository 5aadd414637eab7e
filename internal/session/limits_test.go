package session_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// law: B8 K-LIMITS
func TestRecipientsOverTheLimitGet452(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		msa := smtptest.NewMSA(t, w.connect())
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		for i := range 1200 {
			want := 250
			if i >= 1000 {
				want = 452
			}
			if r := msa.Command(fmt.Sprintf("RCPT TO:<b%d@example.net>", i)); r.Code != want {
				t.Fatalf("recipient %d: %s", i, r)
			}
		}
		if r := msa.Data([]byte("text\r\n")); r.Code != 250 {
			t.Fatal(r)
		}
		msa.Quit()
		w.close()
		if n := len(w.mx.Mailbox.Transactions()[0].Recipients); n != 1000 {
			t.Errorf("%d recipients at the MX", n)
		}
	})
}

// law: B8
func TestAMillionCommandsWithoutMail(t *testing.T) {
	for _, verb := range []string{"NOOP", "RSET", "VRFY x"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				msa := smtptest.NewMSA(t, w.connect())
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				for i := range 1_000_000 {
					if r := msa.Command(verb); r.Code == 421 {
						if i < 99 || i > 101 {
							t.Errorf("cut off after %d", i)
						}
						break
					}
				}
				w.close()
				if w.record.lastEnd() != "msa_abusive" {
					t.Errorf("recorded end %q", w.record.lastEnd())
				}
			})
		})
	}
}

// law: B5
func TestTooMuchBeforeTheBanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mx.Reply = func(verb string, _ int) string {
			if verb == "BANNER" {
				return smtptest.Delay(10*time.Second) + "220 mx\r\n"
			}
			return smtptest.Default
		}
		msa, near := smtptest.Pair(msaAddr, mxAddr)
		near.SetReadBuffer(128 << 10)
		w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: msaAddr, Destination: mxAddr}) })
		if _, err := msa.Write([]byte(strings.Repeat("NOOP\r\n", 20_000))); err != nil {
			t.Fatal(err)
		}
		smtptest.NewMSA(t, msa).Expect(554)
		msa.Close()
		w.close()
	})
}

// law: B4
func TestBodyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Limits.BodyBytes = 1 << 20
		msa := smtptest.NewMSA(t, w.connect())
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 300_000)), true)
		w.close()
		if !got.All(smtptest.Bounced) || got.Replies[0].Code != 552 || w.mx.Mailbox.Len() != 0 {
			t.Errorf("%v %v, %d in the mailbox", got.Verdicts, got.Replies, w.mx.Mailbox.Len())
		}
	})
}

// A line of 10 MB, and a body of 200 MB: streamed, in memory that does not depend on either.
//
// law: B4
func TestBodyIsStreamed(t *testing.T) {
	for name, piece := range map[string]string{"one line": strings.Repeat("x", 64<<10), "lines": strings.Repeat("0123456789abcdef\r\n", 3600)} {
		t.Run(name, func(t *testing.T) {
			msa, mx := relay(t, nil)
			defer msa.Close()
			defer mx.Close()
			steps, _ := messageSteps(4096)
			go func() {
				buf := make([]byte, 64<<10)
				mx.Read(buf)
				mx.Write([]byte("250 ok\r\n250 ok\r\n354 go\r\n"))
				var last []byte // the end of data may come in two reads
				for {
					n, err := mx.Read(buf)
					if err != nil {
						return
					}
					last = append(last, buf[max(n-5, 0):n]...)
					last = last[max(len(last)-5, 0):]
					if string(last) == "\r\n.\r\n" {
						mx.Write([]byte("250 2.0.0 Ok: queued as 4711\r\n"))
						return
					}
				}
			}()
			buf := make([]byte, 4096)
			msa.Write(steps[0].write)
			msa.Read(buf)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range (200 << 20) / len(piece) {
				if _, err := msa.Write([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			msa.Write([]byte("\r\n.\r\n"))
			if n, _ := msa.Read(buf); string(buf[:3]) != "250" {
				t.Fatalf("%q", buf[:n])
			}
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
				t.Errorf("heap grew by %d MiB for 200 MiB", grown>>20)
			}
		})
	}
}

// law: B20 S6/MX-silent
func TestMXThatDoesNotReadTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mxSide, kanmonSide := smtptest.Pair(mxAddr, netip.AddrPortFrom(ownIP, 4000))
		w.engine.Dialer = dialOnce(kanmonSide)
		go func() {
			mxSide.Write([]byte("220 mx\r\n"))
			buf := make([]byte, 4096)
			mxSide.Read(buf)
			mxSide.Write([]byte("250-mx\r\n250 PIPELINING\r\n"))
			mxSide.Read(buf)
			mxSide.Write([]byte("250 ok\r\n250 ok\r\n354 go\r\n"))
		}()
		msa := smtptest.NewMSA(t, w.connect())
		begun := time.Now()
		got := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte(strings.Repeat("text\r\n", 100_000)), true)
		if d := time.Since(begun); !got.All(smtptest.Deferred) || got.Replies[0].Code != 451 || d < 179*time.Second || d > 185*time.Second {
			t.Errorf("%v %v after %s, want 451 after 180 s", got.Verdicts, got.Replies, d)
		}
		w.close()
		mxSide.Close()
	})
}

func TestSessionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Limits = session.Limits{Sessions: 3, SessionsPerSource: 2}
		open := func(source string) *smtptest.MSA {
			at := netip.MustParseAddrPort(source)
			far, near := smtptest.Pair(at, mxAddr)
			w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
			return smtptest.NewMSA(t, far)
		}
		first := open("10.20.1.5:40001")
		first.Expect(220)
		second := open("10.20.1.5:40002")
		second.Expect(220)
		open("10.20.1.5:40003").Expect(421) // a third from one source
		third := open("10.20.1.6:40004")
		third.Expect(220)
		open("10.20.1.7:40005").Expect(421) // a fourth in all
		first.Quit()
		synctest.Wait()
		last := open("10.20.1.7:40006")
		last.Expect(220)
		for _, m := range []*smtptest.MSA{second, third, last} {
			m.Quit()
		}
		w.close()
		if n := w.engine.Live.Count(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}

// A crowd holds sessions open.
type crowd struct {
	*world
	held []*smtptest.Conn
}

// enter opens sessions until one is refused, and gives how many there are and what that one was told.
func (c *crowd) enter(source func(int) string) (count int, refusal string) {
	for {
		at := netip.MustParseAddrPort(source(count))
		msa, near := smtptest.Pair(at, mxAddr)
		c.done.Go(func() { c.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
		c.held = append(c.held, msa)
		greeting, _ := bufio.NewReader(msa).ReadString('\n')
		if !strings.HasPrefix(greeting, "220 ") {
			return count, greeting
		}
		count++
	}
}

func (c *crowd) close() {
	for _, msa := range c.held {
		msa.Close()
	}
	c.world.close()
}

// A host chooses its IPv6 address within its /64: that is one source.
//
// audit-B5
func TestSessionsAreLimitedByNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := crowd{world: newWorld(t)}
		w.engine.Limits = session.Limits{Sessions: 50, SessionsPerSource: 10}
		for network, sources := range map[string]func(int) string{
			"one IPv4 address": func(i int) string { return fmt.Sprintf("10.20.1.5:%d", 40001+i) },
			"one /64":          func(i int) string { return fmt.Sprintf("[2001:db8:1:2:%x::%x]:40001", i, i) },
		} {
			if n, told := w.enter(sources); n != 10 || !strings.HasPrefix(told, "421 4.7.0") || !strings.Contains(told, "from this address") {
				t.Errorf("%s: %d sessions, then %q", network, n, told)
			}
		}
		if n, _ := w.enter(func(i int) string { return fmt.Sprintf("[2001:db8:1:%x::1]:40001", 3+i) }); n != 30 {
			t.Errorf("%d sessions of other networks, want the 30 that are left", n)
		}
		w.close()
	})
}

// A tenant, with however many sources, leaves places for the others; what it is told says why, and the log counts it.
//
// audit-B5
func TestATenantLeavesSessionsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := crowd{world: newWorld(t)}
		var log bytes.Buffer
		w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.engine.Limits = session.Limits{Sessions: 50, SessionsReserve: 10}
		w.engine.Tenant = func(o session.Origin) string {
			return map[byte]string{1: "greedy", 2: "quiet", 3: "another"}[o.Source.Addr().As4()[2]]
		}
		of := func(third int) func(int) string {
			return func(i int) string { return fmt.Sprintf("10.20.%d.%d:40001", third, 1+i) }
		}
		if n, told := w.enter(of(1)); n != 40 || !strings.HasPrefix(told, "421 4.7.0") || !strings.Contains(told, "from your organisation") {
			t.Errorf("%d sessions of one tenant, then %q; want all but the reserve", n, told)
		}
		w.enter(of(1))
		time.Sleep(2 * time.Minute)
		w.enter(of(1))
		time.Sleep(10 * time.Second) // it is told once they have gone
		synctest.Wait()
		for _, line := range []string{"reason=tenant_limit tenant=greedy count=1 ", "reason=tenant_limit tenant=greedy count=2 "} {
			if strings.Count(log.String(), line) != 1 {
				t.Errorf("logged, and %q not once:\n%s", line, log.String())
			}
		}
		want := []session.Holding{{Tenant: "greedy", Sessions: 40, Refused: 3}}
		if got := w.engine.Live.Holdings(10); !slices.Equal(got, want) {
			t.Errorf("the operator is shown %+v, want %+v", got, want)
		}
		if n, _ := w.enter(of(2)); n != 5 {
			t.Errorf("%d sessions of the second one", n)
		}
		if n, _ := w.enter(of(3)); n < 1 {
			t.Error("nothing is left for the third")
		}
		if n, told := w.enter(of(4)); n < 1 {
			t.Errorf("nothing is left for who is nobody's: %s", told)
		}
		w.close()
	})
}

// Sources that are of no tenant have the part of one together, however many a network makes of itself: the tenants' sessions have a place. Where no
// tenant is configured they are told apart.
//
// audit-B5
func TestNamelessSourcesAreOneAmongTenants(t *testing.T) {
	for name, tenant := range map[string]func(session.Origin) string{
		"tenants": func(o session.Origin) string {
			if o.Source.Addr().Is4() {
				return "named"
			}
			return ""
		},
		"none": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := crowd{world: newWorld(t)}
				w.engine.Limits = session.Limits{Sessions: 50, SessionsReserve: 10}
				w.engine.Tenant = tenant
				want := map[bool]int{true: 40, false: 50}[tenant != nil]
				if n, _ := w.enter(func(i int) string { return fmt.Sprintf("[2001:db8:1:%x::1]:40001", i) }); n != want {
					t.Errorf("%d sessions of a /48, want %d", n, want)
				}
				if n, told := w.enter(func(i int) string { return fmt.Sprintf("10.20.1.%d:40001", 1+i) }); tenant != nil && n != 5 {
					t.Errorf("%d sessions of the tenant, then %q", n, told)
				}
				holdings := w.engine.Live.Holdings(100)
				for _, h := range holdings {
					if h.Tenant == "" && (!h.Source.IsValid() || h.Sessions > 1) {
						t.Errorf("the operator is shown %+v, want each source", h)
					}
				}
				if len(holdings) < want {
					t.Errorf("%d have sessions", len(holdings))
				}
				w.close()
			})
		})
	}
}

// Who is refused may take a moment to read why. However many are, and however long they stay: they hold descriptors that sessions need,
// so only some of them wait, and one tenant's leave room for the others'.
//
// audit-B5
func TestRefusedConnectionsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := crowd{world: newWorld(t)}
		w.engine.Limits = session.Limits{Sessions: 1}
		w.engine.Tenant = func(o session.Origin) string {
			return map[byte]string{1: "greedy", 2: "quiet"}[o.Source.Addr().As4()[2]]
		}
		w.enter(func(int) string { return "10.20.1.1:40001" })
		time.Sleep(10 * time.Second) // the one that was refused there has gone
		var open atomic.Int32
		refuse := func(tenant, times int) (left int) {
			for i := range times {
				at := netip.MustParseAddrPort(fmt.Sprintf("10.20.%d.1:%d", tenant, 1024+i))
				msa, near := smtptest.Pair(at, mxAddr)
				w.held = append(w.held, msa)
				open.Add(1)
				w.done.Go(func() {
					w.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr})
					open.Add(-1)
				})
				if greeting, _ := bufio.NewReader(msa).ReadString('\n'); !strings.HasPrefix(greeting, "421 ") {
					t.Fatalf("told %q", greeting)
				}
			}
			synctest.Wait()
			return int(open.Load())
		}
		if n := refuse(1, 2000); n < 100 || n > 250 {
			t.Errorf("%d refused connections of one tenant are open", n)
		}
		greedy := int(open.Load())
		if n := refuse(2, 100) - greedy; n != 100 {
			t.Errorf("%d of another's 100 could take a moment to read why", n)
		}
		w.close()
	})
}

// SIGTERM: transactions finish, the next MAIL gets 421, idle sessions end at once.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := smtptest.NewMSA(t, w.connect())
		busy.Expect(220)
		busy.Command("EHLO msa.example.com")
		busy.Command("MAIL FROM:<a@example.com>")
		idle := smtptest.NewMSA(t, w.connect())
		idle.Expect(220)
		idle.Command("EHLO msa.example.com")
		drained := make(chan error)
		go func() { drained <- w.engine.Live.Drain(context.Background()) }()
		begun := time.Now()
		idle.Expect(421)
		if d := time.Since(begun); d > time.Second {
			t.Errorf("the idle session ended after %s", d)
		}
		time.Sleep(20 * time.Second)
		busy.Command("RCPT TO:<b@example.net>")
		if r := busy.Data([]byte("text\r\n")); r.Code != 250 {
			t.Errorf("the open transaction got %s", r)
		}
		begun = time.Now()
		busy.Expect(421)
		late := smtptest.NewMSA(t, w.connect())
		late.Expect(421)
		if err := <-drained; err != nil || time.Since(begun) > time.Second {
			t.Errorf("drained after %s: %v", time.Since(begun), err)
		}
		w.close()
		if w.mx.Mailbox.Len() != 1 {
			t.Errorf("%d messages at the MX", w.mx.Mailbox.Len())
		}
	})
}

// What has not finished when the time is up is cut, and nothing half-sent becomes a message.
//
// law: I4
func TestDrainCutsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn := w.connect()
		msa := smtptest.NewMSA(t, conn)
		msa.Expect(220)
		msa.Command("EHLO msa.example.com")
		msa.Command("MAIL FROM:<a@example.com>")
		msa.Command("RCPT TO:<b@example.net>")
		msa.Command("DATA")
		conn.Write([]byte("half a mess"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := w.engine.Live.Drain(ctx); err == nil || time.Since(begun) > 62*time.Second {
			t.Errorf("Drain gave %v after %s", err, time.Since(begun))
		}
		w.close()
		if w.mx.Mailbox.Len() != 0 {
			t.Error("half a message was delivered")
		}
	})
}
