package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A greylister is an MX that greylists the first mail to one recipient, and takes all else.
type greylister struct {
	recipient string

	mu   sync.Mutex
	met  bool
	each []*smtptest.MX // of each connection
}

func (g *greylister) serve(t *testing.T, host *netlab.Host) {
	t.Helper()
	meetAll(t, host, g.meet)
}

func (g *greylister) meet(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	mx := &smtptest.MX{}
	mx.Reply = func(verb string, _ int) string {
		if commands := mx.Mailbox.Commands(); verb != "RCPT" || !strings.Contains(commands[len(commands)-1], g.recipient) {
			return smtptest.Default
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.met {
			return smtptest.Default
		}
		g.met = true
		return "450 4.2.0 greylisted, please come again later\r\n"
	}
	g.mu.Lock()
	g.each = append(g.each, mx)
	g.mu.Unlock()
	mx.ServeConn(conn)
}

// taken counts the messages from each sending IP.
func (g *greylister) taken() map[netip.Addr]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := map[netip.Addr]int{}
	for _, mx := range g.each {
		for _, tx := range mx.Mailbox.Transactions() {
			n[tx.Peer.(*net.TCPAddr).AddrPort().Addr().Unmap()]++
		}
	}
	return n
}

// One of two sending IPs is new and may take five mails on its first day: five of forty leave from it and a greylisted one comes again there, all
// others leave from the other one. None is deferred by kanmon, which says so, and goes on with the same count after a restart and a kill.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	mx := &greylister{recipient: "grey@"}
	mx.serve(t, world.MXs[0])
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(warmUpConfiguration(t, kanmon.Folder())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	submit := func(sender, local string) string {
		t.Helper()
		m := note(local, netlab.Domain(1, false))
		_, err := msa.Submit(sender, []string{m.to}, m.content)
		must(t, err)
		return m.to
	}
	expect := func(to, status string, tries int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		attempt, err := msa.WaitStatus(ctx, to, status)
		must(t, err)
		if n := len(msa.Attempts(to)); n != tries || status == "sent" && !strings.Contains(attempt.Reply, "queued as") {
			t.Errorf("mail to %s is %s in attempt %d, and told %q", to, status, n, attempt.Reply)
		}
	}
	counts := func(when string, want, over int) {
		t.Helper()
		out, err := kanmon.IP("warm", netlab.OtherSendingIPv4.String(), "--json")
		must(t, err)
		var all []admin.WarmUp
		must(t, json.Unmarshal([]byte(out), &all))
		if len(all) != 1 || all[0].Step != 1 || all[0].Mails != want || len(all[0].Classes) != 1 || all[0].Classes[0].Over != over || all[0].Classes[0].Accepted != want {
			t.Errorf("%s: kanmon ip warm says %s, want %d mails, %d of them beyond the amount", when, out, want, over)
		}
	}

	own := warmUpSender(t, kanmon, "100 % of its senders")
	grey := submit(own, "grey")
	expect(grey, "deferred", 1)
	var others []string
	for i := range 40 {
		others = append(others, submit(fmt.Sprintf("a@s%d.example", i), fmt.Sprint("note-", i)))
	}
	for _, to := range others {
		expect(to, "sent", 1)
	}
	if got := mx.taken(); got[netlab.OtherSendingIPv4] != 5 || got[netlab.SendingIPv4] != 35 {
		t.Errorf("taken from %v, want 5 from the new one and 35 from the other", got)
	}
	counts("behind the amount", 5, 0)
	must(t, msa.Flush())
	expect(grey, "sent", 2)
	if got := mx.taken(); got[netlab.OtherSendingIPv4] != 6 {
		t.Errorf("taken from %v: the greylisted mail has not come again from the new one", got)
	}
	counts("behind the greylisted mail", 6, 1)
	eventually(t, "both decisions in the records", func() bool {
		records := kanmon.Records()
		return strings.Contains(records, `"moved"`) && strings.Contains(records, `"beyond"`) && strings.Contains(records, "warm-up of "+netlab.OtherSendingIPv4.String())
	})
	if out, err := kanmon.IP("list"); err != nil || !strings.Contains(out, "warming") || !strings.Contains(out, "6 of 5 mails today") {
		t.Errorf("kanmon ip list: %q, %v", out, err)
	}
	warmUpSender(t, kanmon, "of 5 mails today to all others: meanwhile this mail leaves from "+netlab.SendingIPv4.String())

	must(t, kanmon.Stop(10*time.Second))
	must(t, kanmon.Start())
	counts("after a restart", 6, 1)
	expect(submit(own, "after-the-restart"), "sent", 1)
	kanmon.Kill()
	must(t, kanmon.Start())
	counts("after a kill", 6, 1)
	if got := mx.taken(); got[netlab.OtherSendingIPv4] != 6 || got[netlab.SendingIPv4] != 36 {
		t.Errorf("in the end taken from %v", got)
	}
}

// warmUpSender gives a sender whose mail the new sending IP has, and of whom kanmon explain says this.
func warmUpSender(t *testing.T, kanmon *netlab.Kanmon, says string) string {
	t.Helper()
	var out string
	for i := range 40 {
		sender := fmt.Sprintf("a@s%d.example", i)
		var err error
		out, err = kanmon.Ask("explain", "--no-dns", "--source", netlab.MSAAddr(1, false).String(), "--sender", sender,
			"--recipient", "grey@"+netlab.Domain(1, false), "--mx", netlab.MXAddr(1, false).String())
		must(t, err)
		lines := strings.Split(out, "\n")
		if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "IPv4       "+netlab.OtherSendingIPv4.String()) }) &&
			strings.Contains(out, says) && strings.Contains(out, "as the running kanmon says") {
			return sender
		}
	}
	t.Fatalf("kanmon explain says %q of no sender of the new IP; of the last:\n%s", says, out)
	return ""
}

// warmUpConfiguration has a pool of a sending IP that is known and a new one, which has all of its senders at once: its amount alone decides.
func warmUpConfiguration(t *testing.T, folder string) string {
	t.Helper()
	plan := filepath.Join(folder, "plan.toml")
	must(t, os.WriteFile(plan, []byte("[[day]]\nshare = 1.0\nprovider = 5\nothers = 5\n[[day]]\nshare = 1.0\nprovider = 9\nothers = 9\n"), 0o644))
	return forwardedRedirect + fmt.Sprintf(`
[[sending_ip]]
address = %[1]q
ehlo    = "out10.example"
[[sending_ip]]
address = %[2]q
ehlo    = "out11.example"
warm_up = { start = %[3]s, plan = %[4]q }
[pool.default]
ips    = [%[1]q, %[2]q]
sticky = "sender_domain"
[standing]
file = %[5]q
[admin]
socket = %[6]q
`, netlab.SendingIPv4, netlab.OtherSendingIPv4, time.Now().UTC().Format(time.DateOnly), plan, filepath.Join(folder, "standing.db"), filepath.Join(folder, "admin.sock"))
}
