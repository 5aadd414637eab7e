package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A narrowMX takes two connections at once from an address, and says 421 to a third. It needs a while for each message.
type narrowMX struct {
	taken smtptest.MX

	mu      sync.Mutex
	open    map[netip.Addr]int
	refused int
}

func (m *narrowMX) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	m.open = map[netip.Addr]int{}
	m.taken.Reply = func(verb string, _ int) string {
		if verb == "." {
			return smtptest.Delay(200*time.Millisecond) + smtptest.Default
		}
		return smtptest.Default
	}
	meetAll(t, host, m.meet)
}

func (m *narrowMX) meet(conn net.Conn) {
	client := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	m.mu.Lock()
	m.open[client]++
	full := m.open[client] > 2
	if full {
		m.refused++
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open[client]--
	}()
	if full {
		_, _ = conn.Write([]byte("421 4.7.0 too many concurrent connections from your address\r\n"))
		_ = conn.Close()
		return
	}
	m.taken.ServeConn(conn)
}

func (m *narrowMX) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// A real Postfix sends as much at once as it likes to an MX that takes two connections from an address. While kanmon observes, the MX refuses; with
// shaping it never has to, and all mails arrive at their first attempt, each once.
func TestMXThatTakesTwo(t *testing.T) {
	for _, mode := range []string{"observe", "on"} {
		t.Run(mode, func(t *testing.T) { sendThrough(t, mode) })
	}
}

func sendThrough(t *testing.T, mode string) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	mx := &narrowMX{}
	mx.serve(t, world.MXs[0])
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	providers := filepath.Join(kanmon.Folder(), "providers.toml")
	must(t, os.WriteFile(providers, []byte("[[provider]]\nname = \"narrow\"\nmx = \"a.mx1.example\"\n"+
		"takes = [{ count = \"connections\", limit = 2, source = \"the test\", documented = true }]\n"), 0o644))
	must(t, kanmon.Configure(fmt.Sprintf("providers_file = %q\n", providers)+forwardedRedirect+sendingIPs+otherSendingIPs+fmt.Sprintf(
		"[shaping]\nmode = %q\n[admin]\nsocket = %q\n", mode, kanmon.Socket())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	submit := func(m mail) {
		t.Helper()
		if _, err := msa.Submit("sender@"+msa.Options.Hostname, []string{m.to}, m.content); err != nil {
			t.Error(err)
		}
	}
	sent := func(m mail) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := msa.WaitStatus(ctx, m.to, "sent")
		must(t, err)
		if n := len(msa.Attempts(m.to)); n != 1 {
			t.Errorf("mail to %s: sent in attempt %d", m.to, n)
		}
	}
	eventually(t, "it is known whose the MX is", func() bool {
		m := note(fmt.Sprint("first-", time.Now().UnixNano()), netlab.Domain(1, false))
		submit(m)
		sent(m)
		out, err := kanmon.IP("shaping", "--json")
		must(t, err)
		var shaping admin.Shaping
		must(t, json.Unmarshal([]byte(out), &shaping))
		return len(shaping.Takes) > 0
	})
	mails := make([]mail, 40)
	var submitted sync.WaitGroup
	for i := range mails {
		mails[i] = note(fmt.Sprint("mail-", i), netlab.Domain(1, false))
		submitted.Go(func() { submit(mails[i]) })
	}
	submitted.Wait()
	if mode == "observe" {
		eventually(t, "the MX refuses", func() bool { return mx.refusals() > 0 })
		eventually(t, "what would be done is on record", func() bool { return strings.Contains(kanmon.Records(), `"action":"would_`) })
		return
	}
	for _, m := range mails {
		sent(m)
	}
	if n := mx.refusals(); n > 0 {
		t.Errorf("the MX had to refuse %d connections", n)
	}
	got := map[string]int{}
	for _, m := range mx.taken.Mailbox.Transactions() {
		for _, rcpt := range m.Recipients {
			got[rcpt]++
		}
	}
	for _, m := range mails {
		if n := got["<"+m.to+">"] + got[m.to]; n != 1 {
			t.Errorf("mail to %s arrived %d times", m.to, n)
		}
	}
	eventually(t, "on record", func() bool { return strings.Contains(kanmon.Records(), `"rule":"shaping of narrow: connections"`) })
}
