package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtptest"
	"kanmon/test/netlab"
)

// A listingMX has listed the sending IP that it met first, in a way of its own.
type listingMX struct {
	refuse  func(conn net.Conn, mx *smtptest.MX) // what the listed one meets
	welcome smtptest.MX

	mu       sync.Mutex
	listed   netip.Addr // zero: nobody yet
	forgiven bool
	first    time.Time // when the listed one was refused first
	last     time.Time // when it came last
	visits   map[netip.Addr]int
}

func (m *listingMX) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	l, err := host.Listen("0.0.0.0:25")
	must(t, err)
	m.visits = map[netip.Addr]int{}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { m.meet(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); sessions.Wait() })
}

func (m *listingMX) meet(conn net.Conn) {
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	m.mu.Lock()
	if !m.listed.IsValid() {
		m.listed, m.first = client, time.Now()
	}
	m.visits[client]++
	listed := client == m.listed && !m.forgiven
	if listed {
		m.last = time.Now()
	}
	m.mu.Unlock()
	if listed {
		m.refuse(conn, &smtptest.MX{})
		return
	}
	m.welcome.ServeConn(conn)
}

func (m *listingMX) visitsOf(ip netip.Addr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.visits[ip]
}

// TestRescue lists one of two sending IPs: the mail of a real Postfix arrives through the other in the same session, the listed
// one is suspended there and nowhere else, also over a restart of kanmon, and a probe finds out when the MX has forgiven.
func TestRescue(t *testing.T) {
	reply := func(verb, text string) func(net.Conn, *smtptest.MX) {
		return func(conn net.Conn, mx *smtptest.MX) {
			mx.Reply = func(v string, _ int) string {
				if v == verb {
					return text
				}
				return smtptest.Default
			}
			mx.ServeConn(conn)
		}
	}
	const listing = "550 5.7.1 Service unavailable; your IP address is on our block list\r\n"
	for name, refuse := range map[string]func(net.Conn, *smtptest.MX){
		"banner": reply("BANNER", "554 5.7.1 your IP address is on our block list\r\n"+smtptest.CloseConn),
		"RCPT":   reply("RCPT", listing),
		"dot":    reply(".", listing),
		"RST": func(conn net.Conn, _ *smtptest.MX) {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) { rescueFrom(t, name, refuse) })
	}
}

func rescueFrom(t *testing.T, name string, refuse func(net.Conn, *smtptest.MX)) {
	t.Parallel()
	lab, err := netlab.New(t.Name())
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the lab's logs:\n%s", lab.Logs(40))
		}
		if err := lab.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	world, err := netlab.NewOutbound(lab, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	must(t, err)
	mx := &listingMX{refuse: refuse}
	mx.serve(t, world.MXs[0])
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+otherSendingIPs+fmt.Sprintf("\n[standing]\nfile = %q\n[admin]\nsocket = %q\n",
		filepath.Join(kanmon.Folder(), "standing.db"), filepath.Join(kanmon.Folder(), "admin.sock"))))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	send := func(local string) {
		t.Helper()
		m := note(local, netlab.Domain(1, false))
		_, err := msa.Submit("sender@"+msa.Options.Hostname, []string{m.to}, m.content)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		attempt, err := msa.WaitStatus(ctx, m.to, "sent")
		must(t, err)
		if n := len(msa.Attempts(m.to)); n != 1 || !strings.Contains(attempt.Reply, "queued as") {
			t.Errorf("mail to %s: sent in attempt %d, and told %q", m.to, n, attempt.Reply)
		}
	}
	send("first")
	listed := mx.listed
	eventually(t, "the rescue in the records", func() bool { return strings.Contains(kanmon.Records(), `"action":"rescued"`) })
	if queue, err := msa.Queue(); err != nil || !strings.Contains(queue, "empty") {
		t.Errorf("the MSA's queue: %q, %v", queue, err)
	}
	if name == "RST" {
		return // a connection that is refused without a word is no evidence by itself: it takes several destinations and tenants
	}
	expectSuspended(t, kanmon, listed)
	before := mx.visitsOf(listed)
	for _, local := range []string{"second", "third"} {
		send(local)
	}
	must(t, kanmon.Stop(10*time.Second))
	must(t, kanmon.Start())
	expectSuspended(t, kanmon, listed)
	send("after-the-restart")
	if after := mx.visitsOf(listed); after != before {
		t.Errorf("the suspended IP came back: %d visits, then %d", before, after)
	}
	t.Logf("refused at %s: from the first refusal to the last session that used the listed IP %s", name, mx.last.Sub(mx.first).Round(time.Millisecond))

	mx.mu.Lock()
	mx.forgiven = true
	mx.mu.Unlock()
	standing := standingOf(t, kanmon, listed)
	_, err = kanmon.IP("suspend", listed.String(), "--provider", standing.Provider, "--for", "1s", "--reason", "the MX has forgiven")
	must(t, err)
	time.Sleep(1100 * time.Millisecond)
	send("the-probe")
	if mx.visitsOf(listed) != before+1 {
		t.Errorf("nobody probed: %d visits of the listed IP, want %d", mx.visitsOf(listed), before+1)
	}
	eventually(t, "the probe lifts the suspension", func() bool { return standingOf(t, kanmon, listed).State == "slowed" })
	_, err = kanmon.IP("resume", listed.String())
	must(t, err)
	if out, err := kanmon.IP("list"); err != nil || !strings.Contains(out, "every sending IP is active everywhere") {
		t.Errorf("after resume: %q, %v", out, err)
	}
}

// expectSuspended demands that the one thing thought of any sending IP is that this one is suspended at the MX that listed it.
func expectSuspended(t *testing.T, kanmon *netlab.Kanmon, ip netip.Addr) {
	t.Helper()
	eventually(t, "the suspension", func() bool { return standingOf(t, kanmon, ip).State == "suspended" })
	s := standingOf(t, kanmon, ip)
	if s.Provider != "mx:"+netlab.MXAddr(1, false).String() || s.By != "evidence" || time.Until(s.Until) < time.Hour {
		t.Errorf("%+v", s)
	}
}

// standingOf gives the only standing there is, which must be this IP's; the zero one if there is none.
func standingOf(t *testing.T, kanmon *netlab.Kanmon, ip netip.Addr) admin.Standing {
	t.Helper()
	out, err := kanmon.IP("list", "--json")
	must(t, err)
	var all []admin.Standing
	must(t, json.Unmarshal([]byte(out), &all))
	if len(all) == 0 {
		return admin.Standing{}
	}
	if len(all) > 1 || all[0].IP != ip {
		t.Fatalf("standings of others than %s: %s", ip, out)
	}
	return all[0]
}
