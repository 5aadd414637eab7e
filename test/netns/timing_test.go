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
	"kanmon/test/usual"
)

// A stutteringMX says each octet of what it says to one client a second after the one before, until it is kind.
type stutteringMX struct {
	to    netip.Addr
	holds time.Duration // its greeting, in place of stuttering
	kind  atomic.Bool
	smtptest.MX

	mu     sync.Mutex
	visits map[netip.Addr]int
}

func (m *stutteringMX) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	m.visits = map[netip.Addr]int{}
	m.Name, m.Keywords = "mx", []string{}
	m.Reply = func(verb string, _ int) string {
		if text := map[string]string{"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", ".": "250 queued"}[verb]; text != "" {
			return text + "\r\n"
		}
		return smtptest.Default
	}
	meetAll(t, host, m.meet)
	t.Cleanup(func() { m.kind.Store(true) }) // or its clients would still be met at the end
}

func (m *stutteringMX) meet(conn net.Conn) {
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	m.mu.Lock()
	m.visits[client]++
	m.mu.Unlock()
	switch {
	case client != m.to:
	case m.holds > 0:
		time.Sleep(m.holds)
	default:
		conn = &stutteringConn{conn, m}
	}
	m.ServeConn(conn)
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

// threeIPs is a configuration with all three in one pool.
func threeIPs(kanmon *netlab.Kanmon, act string) string {
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
`, thirdSendingIPv4, netlab.SendingIPv4, netlab.OtherSendingIPv4, standingFile(kanmon), act, kanmon.Socket())
}

func standingFile(kanmon *netlab.Kanmon) string { return filepath.Join(kanmon.Folder(), "standing.db") }

// TestATarpitIsToldOfAndLeft has an MX stutter to one of three sending IPs. That is told; with act = "move" new mail leaves from the others, but for 1 session
// in 20, and none is lost; and when the MX is kind again all of it leaves as before.
func TestATarpitIsToldOfAndLeft(t *testing.T) {
	world := newWorldOfThreeIPs(t, 1)
	mx := &stutteringMX{to: thirdSendingIPv4}
	mx.serve(t, world.MXs[0])
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(threeIPs(kanmon, "tell")))
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
			if s.IP != thirdSendingIPv4 || s.Provider != "mx:"+netlab.MXAddr(1, false).String() || of != nil {
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
	eventually(t, "a mail waits", func() bool { return mx.visitsOf(thirdSendingIPv4) > 0 })
	arrive(first)
	if mx.visitsOf(thirdSendingIPv4) < 2 {
		t.Fatalf("the slow one had %d sessions", mx.visitsOf(thirdSendingIPv4))
	}
	eventually(t, "the finding", func() bool { return slow() != nil })
	if f := slow(); f.Phase != "drip" || f.Scope != "this IP here" || f.Done != "told" || f.Waits < 30 {
		t.Errorf("found %+v", f)
	}
	t.Logf("told within %s, of %d mails from the IP", time.Since(begun).Round(time.Second), mx.visitsOf(thirdSendingIPv4))
	out, err := kanmon.IP("list")
	must(t, err)
	if !strings.Contains(out, "active, slow there") || !strings.Contains(out, `act = "tell"`) {
		t.Errorf("the list says\n%s", out)
	}
	var own []string // domains whose mail leaves from the slow one
	for e, err := range event.NewReader(strings.NewReader(kanmon.Records())).All() {
		if must(t, err); e.Type == "transaction" && e.SendingIP == thirdSendingIPv4 {
			_, domain, _ := strings.Cut(e.Sender, "@")
			own = append(own, domain)
		}
	}

	must(t, kanmon.Configure(threeIPs(kanmon, "move")))
	must(t, kanmon.Reload())
	eventually(t, "the move", func() bool { return slow().Done == "moved" })
	before := mx.visitsOf(thirdSendingIPv4)
	moved := send(append(append(append([]string(nil), own...), own...), own...)...)
	arrive(moved)
	t.Logf("moved: of %d mails whose own IP is the slow one %d left from it", len(moved), mx.visitsOf(thirdSendingIPv4)-before)
	if n := mx.visitsOf(thirdSendingIPv4) - before; n > max(2, len(moved)/5) {
		t.Errorf("%d sessions of %d mails left from the IP that is to have 1 in 20", n, len(moved))
	}
	if n := strings.Count(kanmon.Records(), fmt.Sprintf(`"instead_of":"%s"`, thirdSendingIPv4)); n == 0 {
		t.Error("no record says that a session has left from another IP")
	}

	mx.kind.Store(true)
	kind, after := time.Now(), sent
	for before = mx.visitsOf(thirdSendingIPv4); slow() != nil; {
		if time.Since(kind) > 3*time.Minute {
			t.Fatalf("still found after %d mails, %d from the IP: %+v", sent, mx.visitsOf(thirdSendingIPv4), slow())
		}
		arrive(send(own...))
	}
	t.Logf("over within %s, of %d mails of which %d left from the IP", time.Since(kind).Round(time.Second), sent-after, mx.visitsOf(thirdSendingIPv4)-before)
	before = mx.visitsOf(thirdSendingIPv4)
	arrive(send(own...))
	if mx.visitsOf(thirdSendingIPv4) == before {
		t.Error("none leaves from it when it is over")
	}
	if n := mx.Mailbox.Len(); n != sent {
		t.Errorf("of %d mails %d arrived", sent, n)
	}
}

// TestAHeldGreetingIsFoundAgainstWhatIsUsual has an MX hold its greeting for one of three sending IPs. What is usual is in a file that the same detector
// has written, in virtual time.
func TestAHeldGreetingIsFoundAgainstWhatIsUsual(t *testing.T) {
	world := newWorldOfThreeIPs(t, 3)
	ips := []netip.Addr{netlab.SendingIPv4, netlab.OtherSendingIPv4, thirdSendingIPv4}
	mxs := []*stutteringMX{{to: thirdSendingIPv4, holds: 10 * time.Second}, {}, {}}
	for i, mx := range mxs {
		mx.serve(t, world.MXs[i])
	}
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, usual.Write(standingFile(kanmon), usual.Site{
		IPs: ips, MXs: []netip.Addr{netlab.MXAddr(1, false), netlab.MXAddr(2, false), netlab.MXAddr(3, false)},
		Tenants: []string{netlab.MSAAddr(1, false).String()}, Reply: 50 * time.Millisecond,
	}))
	must(t, kanmon.Configure(threeIPs(kanmon, "tell")))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	begun, sent := time.Now(), 0
	var found []event.Entry
	for ; len(found) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Since(begun) > 4*time.Minute {
			t.Fatalf("nothing found after %d mails, %d sessions from the IP", sent, mxs[0].visitsOf(thirdSendingIPv4))
		}
		sent++
		m := note(fmt.Sprint("mail-", sent), netlab.Domain(1+[...]int{0, 0, 1, 2}[sent%4], false))
		_, err := msa.Submit(fmt.Sprintf("sender@sender%d.example", sent%60), []string{m.to}, m.content)
		must(t, err)
		for e, err := range event.NewReader(strings.NewReader(kanmon.Records())).All() {
			if err == nil && e.Type == "finding" {
				found = append(found, *e)
			}
		}
	}
	f := &found[0]
	t.Logf("told within %s, of %d mails of the IP there and %d in all: here %s, other IPs %s, before %s", time.Since(begun).Round(time.Second), mxs[0].visitsOf(thirdSendingIPv4), sent,
		f.Here.Duration(), f.Others.Duration(), f.BeforeIt.Duration())
	if len(found) != 1 || f.SendingIP != thirdSendingIPv4 || f.Phase != "banner" || f.Scope != "this IP here" || f.Provider != "mx:"+netlab.MXAddr(1, false).String() || f.Here.Duration() < 5*time.Second {
		t.Errorf("found %+v", found)
	}
}
