package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/session"
	"kanmon/internal/smtptest"
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
