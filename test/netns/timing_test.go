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
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/event"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A stutteringMX says each octet of what it says to one client a second after the one before, until it is kind.
type stutteringMX struct {
	to   netip.Addr
	kind atomic.Bool
	smtptest.MX

	mu     sync.Mutex
	visits map[netip.Addr]int
}

func (m *stutteringMX) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	l, err := host.Listen("0.0.0.0:25")
	must(t, err)
	m.visits = map[netip.Addr]int{}
	m.Name, m.Keywords = "mx", []string{}
	m.Reply = func(verb string, _ int) string {
		if text := map[string]string{"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", ".": "250 queued"}[verb]; text != "" {
			return text + "\r\n"
		}
		return smtptest.Default
	}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			m.mu.Lock()
			m.visits[client]++
			m.mu.Unlock()
			if client == m.to {
				conn = &stutteringConn{conn, m}
			}
			sessions.Go(func() { m.ServeConn(conn) })
		}
	})
	t.Cleanup(func() {
		m.kind.Store(true)
		_ = l.Close()
		sessions.Wait()
	})
}

func (m *stutteringMX) visitsOf(ip netip.Addr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.visits[ip]
}

type stutteringConn struct {
	net.Conn
	mx *stutteringMX
}

func (c *stutteringConn) Write(p []byte) (n int, err error) {
	for n < len(p) && !c.mx.kind.Load() {
		if _, err = c.Conn.Write(p[n : n+1]); err != nil {
			return n, err
		}
		n++
		time.Sleep(time.Second)
	}
	rest, err := c.Conn.Write(p[n:])
	return n + rest, err
}

// TestATarpitIsToldOfAndLeft has an MX stutter to one of three sending IPs. That is told; with act = "move" new mail leaves from the others, but for 1 session
// in 20, and none is lost; and when the MX is kind again all of it leaves as before.
func TestATarpitIsToldOfAndLeft(t *testing.T) {
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
	third := netip.MustParseAddr("203.0.113.12")
	must(t, world.Gateway.Address("out0", netip.PrefixFrom(third, 32)))
	mx := &stutteringMX{to: third}
	mx.serve(t, world.MXs[0])
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	configured := func(act string) string {
		return forwardedRedirect + sendingIPs + otherSendingIPs + fmt.Sprintf(`
[[sending_ip]]
address = %[1]q
ehlo    = "out12.example"
[pool.default]
ips    = [%[2]q, %[3]q, %[1]q]
sticky = "sender_domain"
[standing]
file = %[4]q
[timing]
act = %[5]q
[admin]
socket = %[6]q
`, third, netlab.SendingIPv4, netlab.OtherSendingIPv4, filepath.Join(kanmon.Folder(), "standing.db"), act, kanmon.Socket())
	}
	must(t, kanmon.Configure(configured("tell")))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	sent := 0
	send := func(domains ...string) (mails []mail) {
		t.Helper()
		for _, domain := range domains {
			sent++
			m := note(fmt.Sprint("mail-", sent), netlab.Domain(1, false))
			_, err := msa.Submit("sender@"+domain, []string{m.to}, m.content)
			must(t, err)
			mails = append(mails, m)
		}
		return mails
	}
	arrive := func(mails []mail) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		for _, m := range mails {
			_, err := msa.WaitStatus(ctx, m.to, "sent")
			must(t, err)
		}
	}
	slow := func() (of *admin.Timing) {
		t.Helper()
		out, err := kanmon.IP("list", "--json")
		must(t, err)
		var all []admin.Standing
		must(t, json.Unmarshal([]byte(out), &all))
		for _, s := range all {
			if s.Timing == nil {
				continue
			}
			if s.IP != third || s.Provider != "mx:"+netlab.MXAddr(1, false).String() || of != nil {
				t.Fatalf("told of what is not slow: %s", out)
			}
			of = s.Timing
		}
		return of
	}

	var domains []string
	for i := range 30 {
		domains = append(domains, fmt.Sprintf("sender%d.example", i))
	}
	begun := time.Now()
	first := send(domains...)
	eventually(t, "a mail waits", func() bool { return mx.visitsOf(third) > 0 })
	arrive(first)
	if mx.visitsOf(third) < 2 {
		t.Fatalf("the slow one had %d sessions", mx.visitsOf(third))
	}
	eventually(t, "the finding", func() bool { return slow() != nil })
	if f := slow(); f.Phase != "drip" || f.Scope != "this IP here" || f.Done != "told" || f.Waits < 30 {
		t.Errorf("found %+v", f)
	}
	t.Logf("told within %s, of %d mails from the IP", time.Since(begun).Round(time.Second), mx.visitsOf(third))
	out, err := kanmon.IP("list")
	must(t, err)
	if !strings.Contains(out, "active, slow there") || !strings.Contains(out, `act = "tell"`) {
		t.Errorf("the list says\n%s", out)
	}
	var own []string // domains whose mail leaves from the slow one
	for e, err := range event.NewReader(strings.NewReader(kanmon.Records())).All() {
		if must(t, err); e.Type == "transaction" && e.SendingIP == third {
			_, domain, _ := strings.Cut(e.Sender, "@")
			own = append(own, domain)
		}
	}

	must(t, kanmon.Configure(configured("move")))
	must(t, kanmon.Reload())
	eventually(t, "the move", func() bool { return slow().Done == "moved" })
	before := mx.visitsOf(third)
	moved := send(append(append(append([]string(nil), own...), own...), own...)...)
	arrive(moved)
	t.Logf("moved: of %d mails whose own IP is the slow one %d left from it", len(moved), mx.visitsOf(third)-before)
	if n := mx.visitsOf(third) - before; n > max(2, len(moved)/5) {
		t.Errorf("%d sessions of %d mails left from the IP that is to have 1 in 20", n, len(moved))
	}
	if n := strings.Count(kanmon.Records(), fmt.Sprintf(`"instead_of":"%s"`, third)); n == 0 {
		t.Error("no record says that a session has left from another IP")
	}

	mx.kind.Store(true)
	kind, after := time.Now(), sent
	for before = mx.visitsOf(third); slow() != nil; {
		if time.Since(kind) > 3*time.Minute {
			t.Fatalf("still found after %d mails, %d from the IP: %+v", sent, mx.visitsOf(third), slow())
		}
		arrive(send(own...))
	}
	t.Logf("over within %s, of %d mails of which %d left from the IP", time.Since(kind).Round(time.Second), sent-after, mx.visitsOf(third)-before)
	before = mx.visitsOf(third)
	arrive(send(own...))
	if mx.visitsOf(third) == before {
		t.Error("none leaves from it when it is over")
	}
	if n := mx.Mailbox.Len(); n != sent {
		t.Errorf("of %d mails %d arrived", sent, n)
	}
}
