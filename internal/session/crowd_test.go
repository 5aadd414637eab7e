package session_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

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
