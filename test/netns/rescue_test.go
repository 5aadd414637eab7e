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
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A refusal serves a connection of the listed sending IP, and tells when it refuses.
type refusal func(conn net.Conn, tells func(time.Time))

// A listingMX has listed the sending IP that it met first, in a way of its own.
type listingMX struct {
	refuse  refusal // what the listed one meets
	welcome smtptest.MX

	mu       sync.Mutex
	listed   netip.Addr // zero: nobody yet
	forgiven bool
	refused  time.Time // when the listed one was first told
	last     time.Time // when it came last
	visits   map[netip.Addr]int
}

func (m *listingMX) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	m.visits = map[netip.Addr]int{}
	meetAll(t, host, m.meet)
}

func (m *listingMX) meet(conn net.Conn) {
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	m.mu.Lock()
	if !m.listed.IsValid() {
		m.listed = client
	}
	m.visits[client]++
	listed := client == m.listed && !m.forgiven
	if listed {
		m.last = time.Now()
	}
	m.mu.Unlock()
	if listed {
		m.refuse(conn, m.tells)
		return
	}
	m.welcome.ServeConn(conn)
}

// tells notes when the refusal goes out.
func (m *listingMX) tells(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused.IsZero() {
		m.refused = at
	}
}

func (m *listingMX) visitsOf(ip netip.Addr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.visits[ip]
}

// How many mails are on their way to the MX when it lists a sending IP, and how long it takes for a refusal.
const (
	atOnce = 20
	thinks = 500 * time.Millisecond
)

// TestRescue lists one of two sending IPs while mails are on their way: those of a real Postfix arrive through the other in the
// same session, the listed one is suspended there and nowhere else, also over a restart of kanmon, and a probe finds out when
// the MX has forgiven.
func TestRescue(t *testing.T) {
	reply := func(verb, text string) refusal {
		return func(conn net.Conn, tells func(time.Time)) {
			mx := &smtptest.MX{}
			mx.Reply = func(v string, _ int) string {
				if v == verb {
					tells(time.Now().Add(thinks))
					return smtptest.Delay(thinks) + text
				}
				return smtptest.Default
			}
			mx.ServeConn(conn)
		}
	}
	const listing = "550 5.7.1 Service unavailable; your IP address is on our block list\r\n"
	for name, refuse := range map[string]refusal{
		"banner": reply("BANNER", "554 5.7.1 your IP address is on our block list\r\n"+smtptest.CloseConn),
		"RCPT":   reply("RCPT", listing),
		"dot":    reply(".", listing),
		"RST": func(conn net.Conn, tells func(time.Time)) {
			time.Sleep(thinks)
			tells(time.Now())
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) { rescueFrom(t, name, refuse) })
	}
}

func rescueFrom(t *testing.T, name string, refuse refusal) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 3})
	mx := &listingMX{refuse: refuse}
	mx.serve(t, world.MXs[0])
	others := []*listingMX{{forgiven: true}, {forgiven: true}} // one for each sending IP
	for i, other := range others {
		other.serve(t, world.MXs[i+1])
	}
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(rescueConfiguration(kanmon.Folder())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	expectSent := func(m mail) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		attempt, err := msa.WaitStatus(ctx, m.to, "sent")
		must(t, err)
		if n := len(msa.Attempts(m.to)); n != 1 || !strings.Contains(attempt.Reply, "queued as") {
			t.Errorf("mail to %s: sent in attempt %d, and told %q", m.to, n, attempt.Reply)
		}
	}
	send := func(local string, mx int) {
		t.Helper()
		m := note(local, netlab.Domain(mx, false))
		_, err := msa.Submit("sender@"+msa.Options.Hostname, []string{m.to}, m.content)
		must(t, err)
		expectSent(m)
	}
	first := make([]mail, atOnce)
	var submitted sync.WaitGroup
	for i := range first {
		first[i] = note(fmt.Sprint("first-", i), netlab.Domain(1, false))
		submitted.Go(func() {
			if _, err := msa.Submit("sender@"+msa.Options.Hostname, []string{first[i].to}, first[i].content); err != nil {
				t.Error(err)
			}
		})
	}
	submitted.Wait()
	for _, m := range first {
		expectSent(m)
	}
	listed := mx.listed
	eventually(t, "the rescue in the records", func() bool { return strings.Contains(kanmon.Records(), `"action":"rescued"`) })
	if queue, err := msa.Queue(); err != nil || !strings.Contains(queue, "empty") {
		t.Errorf("the MSA's queue: %q, %v", queue, err)
	}
	expectSuspended(t, kanmon, listed)
	before := mx.visitsOf(listed)
	for _, local := range []string{"second", "third"} {
		send(local, 1)
	}
	for i, other := range others {
		send("elsewhere", i+2)
		if ip := []netip.Addr{netlab.SendingIPv4, netlab.OtherSendingIPv4}[i]; other.visitsOf(ip) != 1 {
			t.Errorf("%s does not send to another provider any more", ip)
		}
	}
	must(t, kanmon.Stop(10*time.Second))
	must(t, kanmon.Start())
	expectSuspended(t, kanmon, listed)
	send("after-the-restart", 1)
	if after := mx.visitsOf(listed); after != before {
		t.Errorf("the suspended IP came back: %d visits, then %d", before, after)
	}
	if late := mx.last.Sub(mx.refused); late > time.Second {
		t.Errorf("the listed IP was used for %s after the first refusal", late)
	}
	t.Logf("refused at %s after %s, %d mails at once, %d sessions refused: from the first refusal to the start of the last session that used the listed IP %s",
		name, thinks, atOnce, before, mx.last.Sub(mx.refused).Round(time.Millisecond))

	mx.mu.Lock()
	mx.forgiven = true
	mx.mu.Unlock()
	standing := standingOf(t, kanmon, listed)
	_, err := kanmon.IP("suspend", listed.String(), "--provider", standing.Provider, "--for", "1s", "--reason", "the MX has forgiven")
	must(t, err)
	time.Sleep(1100 * time.Millisecond)
	send("the-probe", 1)
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

// rescueConfiguration has both sending IPs for the first MX, and one of them for each of the two others. A tenant's connections that
// are reset without a word are evidence enough.
func rescueConfiguration(folder string) string {
	return forwardedRedirect + sendingIPs + otherSendingIPs + fmt.Sprintf(`
[pool.default]
ips = [%[1]q, %[2]q]
[pool.one]
ips = [%[1]q]
[pool.other]
ips = [%[2]q]
[[route]]
destination = "%[3]s/32"
pool        = "one"
[[route]]
destination = "%[4]s/32"
pool        = "other"
[standing]
file                 = %[5]q
refused_tenants      = 1
refused_destinations = 1
refused_for          = "2h"
[admin]
socket = %[6]q
`, netlab.SendingIPv4, netlab.OtherSendingIPv4, netlab.MXAddr(2, false), netlab.MXAddr(3, false),
		filepath.Join(folder, "standing.db"), filepath.Join(folder, "admin.sock"))
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
