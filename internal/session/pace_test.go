package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
)

// While the host has more to do than it can, sessions of the tenant with more than its part of the work rest between commands, never for
// long; the mail of another tenant is as fast as before. Everything arrives, and the operator is told who it is.
func TestATenantWithMoreThanItsPartOfTheWorkRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var log bytes.Buffer
		w.engine.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.engine.Tenant = func(o session.Origin) string {
			return map[byte]string{1: "greedy", 2: "quiet"}[o.Source.Addr().As4()[2]]
		}
		var dialling sync.Mutex
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			dialling.Lock()
			defer dialling.Unlock()
			return w.dial(ctx, r)
		})
		var strained atomic.Bool
		strained.Store(true)
		w.engine.Live.Strained = strained.Load
		open := func(source string) *smtptest.MSA {
			at := netip.MustParseAddrPort(source)
			conn, near := smtptest.Pair(at, mxAddr)
			w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
			return smtptest.NewMSA(t, conn)
		}
		recipients := make([]string, 100)
		for i := range recipients {
			recipients[i] = fmt.Sprintf("user%d@example.net", i)
		}
		var longest, all time.Duration
		mailing := func() {
			msa := open("10.20.1.1:40001")
			longest, all = 0, 0
			for range 30 {
				time.Sleep(10 * time.Millisecond)
				begun := time.Now()
				if d := msa.Deliver("a@example.com", recipients, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
					t.Error("mail of the greedy tenant was not taken")
				}
				longest, all = max(longest, time.Since(begun)), all+time.Since(begun)
			}
			if err := msa.Quit(); err != nil {
				t.Error(err)
			}
		}
		ended := make(chan struct{})
		go func() { mailing(); close(ended) }()
		var slowest time.Duration
		for mails := 0; ; mails++ {
			begun := time.Now()
			msa := open(fmt.Sprintf("10.20.2.%d:40001", mails%200))
			if d := msa.Deliver("a@example.org", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
				t.Error("mail of the quiet tenant was not taken")
			}
			_ = msa.Quit()
			slowest = max(slowest, time.Since(begun))
			time.Sleep(20 * time.Millisecond)
			select {
			case <-ended:
			default:
				continue
			}
			break
		}
		t.Logf("3,000 recipients of the greedy tenant: %s, one mail %s at most; a mail of the quiet one %s at most", all, longest, slowest)
		if all < 3*time.Second || longest > 11*time.Second || slowest != 0 {
			t.Error("want the greedy one slowed down, none of its mails for more than two rests, and the quiet one not at all")
		}
		if n := strings.Count(log.String(), `more than its part of it: its sessions wait between commands" tenant=greedy`); n == 0 || n > 1+int(all/time.Minute) ||
			strings.Contains(log.String(), "tenant=quiet") {
			t.Errorf("told %d times:\n%s", n, log.String())
		}
		held := open("10.20.1.1:40001")
		held.Expect(220)
		want := []session.Holding{{Tenant: "greedy", Sessions: 1, Slowed: true}}
		if got := w.engine.Live.Holdings(10); !slices.Equal(got, want) {
			t.Errorf("the operator is shown %+v, want %+v", got, want)
		}
		strained.Store(false)
		for range 100 { // somebody's work lets time pass
			open("10.20.2.1:40001").Expect(220)
			time.Sleep(100 * time.Millisecond)
		}
		if mailing(); all != 0 {
			t.Errorf("the strain is over, and the greedy tenant waits for %s", all)
		}
		_ = held.Quit()
		w.close()
	})
}

// A strain need not come from what is counted. Then those who send ordinary mail have most of that, a session for each, and their mail does
// not wait.
func TestMailInShortSessionsNeverRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Tenant = func(o session.Origin) string { return o.Source.Addr().String() }
		var dialling sync.Mutex
		w.engine.Dialer = dialFunc(func(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
			dialling.Lock()
			defer dialling.Unlock()
			return w.dial(ctx, r)
		})
		w.engine.Live.Strained = func() bool { return true }
		var slowest atomic.Int64
		var sending sync.WaitGroup
		for source, every := range map[string]time.Duration{
			"10.20.1.1:40001": 20 * time.Millisecond, "10.20.2.1:40001": 20 * time.Millisecond, "10.20.3.1:40001": 500 * time.Millisecond,
		} {
			sending.Go(func() {
				for range 10 * time.Second / every {
					at, begun := netip.MustParseAddrPort(source), time.Now()
					conn, near := smtptest.Pair(at, mxAddr)
					w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
					msa := smtptest.NewMSA(t, conn)
					if d := msa.Deliver("a@example.com", []string{"b@example.net"}, []byte("text\r\n"), true); !d.All(smtptest.Accepted) {
						t.Error("a mail was not taken")
					}
					_ = msa.Quit()
					slowest.Store(max(slowest.Load(), int64(time.Since(begun))))
					time.Sleep(every)
				}
			})
		}
		sending.Wait()
		if waited := time.Duration(slowest.Load()); waited != 0 {
			t.Errorf("a mail waited for %s", waited)
		}
		w.close()
	})
}

// While a tenant is slowed its groups are short, so that others need not wait for the end of a long one; else they are as long as they came.
func TestGroupsOfASlowedTenantAreShort(t *testing.T) {
	for _, slowed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.engine.Tenant = func(o session.Origin) string { return o.Source.Addr().String() }
			w.engine.Live.Strained = func() bool { return slowed }
			var longest atomic.Int64
			w.engine.Dialer = dialFunc(func(context.Context, session.DialRequest) (session.Outbound, error) {
				near, far := smtptest.Pair(netip.AddrPortFrom(ownIP, 50000), mxAddr)
				w.done.Go(func() { takeGroups(far, &longest) })
				return session.Outbound{Conn: near, SendingIP: ownIP, Name: "out10.example.jp"}, nil
			})
			open := func(source string) *smtptest.MSA {
				at := netip.MustParseAddrPort(source)
				conn, near := smtptest.Pair(at, mxAddr)
				w.done.Go(func() { w.engine.Serve(near, session.Origin{Source: at, Destination: mxAddr}) })
				msa := smtptest.NewMSA(t, conn)
				msa.Expect(220)
				msa.Command("EHLO msa.example.com")
				return msa
			}
			msa := open("10.20.1.1:40001")
			for mail := range 40 {
				if mail == 30 {
					longest.Store(0)
				}
				_ = open("10.20.2.1:40001").Quit()
				group := []string{"MAIL FROM:<a@example.com>"}
				for i := range 250 {
					group = append(group, fmt.Sprintf("RCPT TO:<b%d@example.net>", i))
				}
				if replies := msa.Pipeline(append(group, "RSET")...); len(replies) != 252 {
					t.Fatalf("%d replies", len(replies))
				}
				time.Sleep(60 * time.Millisecond)
			}
			if got := longest.Load(); slowed != (got <= 32) || !slowed && got < 250 {
				t.Errorf("slowed %t: the MX gets groups of %d commands", slowed, got)
			}
			_ = msa.Quit()
			w.close()
		})
	}
}

// takeGroups is an MX that notes how many commands it is given at once.
func takeGroups(conn net.Conn, longest *atomic.Int64) {
	defer conn.Close()
	_, _ = conn.Write([]byte("220 mx\r\n"))
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		lines := bytes.Count(buf[:n], []byte("\r\n"))
		longest.Store(max(longest.Load(), int64(lines)))
		reply := bytes.Repeat([]byte("250 2.0.0 Ok\r\n"), lines)
		if bytes.HasPrefix(buf[:n], []byte("EHLO")) {
			reply = []byte("250-mx\r\n250 PIPELINING\r\n")
		}
		_, _ = conn.Write(reply)
	}
}
