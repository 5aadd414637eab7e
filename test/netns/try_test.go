package netns

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/netlab"
)

// A real Postfix lets one of two sending IPs in and refuses the other one. A try shows both side by side, though kanmon takes all mail of this
// host's network and of its own: it does not meet itself. Nothing is delivered, the audit has it, nobody's standing changes, and a second try
// has to wait.
func TestTryShowsWhomAnMXRefuses(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	mx, err := netlab.NewPostfix(world.MXs[0], netlab.PostfixOptions{Role: netlab.MX, Hostname: netlab.MXName(1), TLS: "may", Settings: map[string]string{
		"smtpd_client_restrictions": fmt.Sprintf("check_client_access inline:{ {%s = 554 5.7.1 your IP address is on our block list} }", netlab.OtherSendingIPv4),
		"smtpd_delay_reject":        "yes",
	}})
	must(t, err)
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+otherSendingIPs+fmt.Sprintf("[standing]\nfile = %q\n[senders]\nfile = %q\n[admin]\nsocket = %q\n",
		filepath.Join(kanmon.Folder(), "standing.db"), filepath.Join(kanmon.Folder(), "senders.db"), kanmon.Socket())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())

	order := []string{"try", "--mx", netlab.MXAddr(1, false).String(), "--sender", "sender@msa1.example", "--recipient", "somebody@" + netlab.Domain(1, false), "--reason", "who is it?"}
	out, err := kanmon.IP(append(order, "--json")...)
	must(t, err)
	var try admin.Try
	must(t, json.Unmarshal([]byte(out), &try))
	states := map[string]string{}
	for _, d := range try.Dialogues {
		states[d.IP.String()] = d.State
		last := ""
		for _, s := range d.Steps {
			last = s.Phase
			if strings.HasPrefix(strings.ToUpper(s.Said), "DATA") {
				t.Errorf("%s said %q", d.IP, s.Said)
			}
		}
		if d.TLS == "" || last != "quit" || d.Ended != "" {
			t.Errorf("%s, with TLS %q, ended in %s: %s", d.IP, d.TLS, last, d.Ended)
		}
	}
	if states[netlab.SendingIPv4.String()] != admin.TryLetIn || states[netlab.OtherSendingIPv4.String()] != admin.TryRefused || len(states) != 2 || len(try.LeftOut) != 2 {
		t.Errorf("came to %v:\n%s", states, out)
	}
	if !strings.Contains(out, "your IP address is on our block list") || !strings.Contains(out, `"class": "ip_blocklisted"`) {
		t.Errorf("the refusal and its meaning are not in\n%s", out)
	}
	if out, err := kanmon.IP(order...); err == nil || !strings.Contains(out+err.Error(), "one try a minute") {
		t.Errorf("a second try: %v\n%s", err, out)
	}
	audit, err := kanmon.Ask("audit")
	if err != nil || !strings.Contains(audit, "try") || !strings.Contains(audit, "who is it?") || strings.Contains(audit, "somebody@") {
		t.Errorf("%v; the audit has\n%s", err, audit)
	}
	if stands, err := kanmon.IP("list"); err != nil || !strings.Contains(stands, "every sending IP is active everywhere") {
		t.Errorf("%v; the sending IPs stand as\n%s", err, stands)
	}
	if n := mx.Count(); n != 0 {
		t.Errorf("the MX has %d messages", n)
	}
	for _, to := range []string{netlab.SendingIPv4.String(), "127.0.0.1", "::1", "10.255.0.1"} {
		if out, err := kanmon.IP("try", "--mx", to); err == nil {
			t.Errorf("%s is tried:\n%s", to, out)
		}
	}
}

// An MX holds a real MSA's mail, first ahead of its message, and then behind it. By order the first session ends at once, with 421, and the
// second one only behind the reply to its message: that mail is there once, and the MSA knows it.
func TestSessionEndsByOrder(t *testing.T) {
	t.Parallel()
	world := newOutbound(t, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	var holds atomic.Value // the verb
	holds.Store("RCPT")
	answer := make(chan struct{})
	mx := &smtptest.MX{Keywords: []string{}, Reply: func(verb string, _ int) string {
		if verb == holds.Load() {
			<-answer
		}
		return smtptest.Default
	}}
	meetAll(t, world.MXs[0], func(conn net.Conn) { mx.ServeConn(conn) })
	msa := newMSA(t, world.MSAs[0], "may")
	kanmon := newKanmon(t, world)
	must(t, kanmon.Configure(forwardedRedirect+sendingIPs+fmt.Sprintf("[senders]\nfile = %q\n[admin]\nsocket = %q\n", filepath.Join(kanmon.Folder(), "senders.db"), kanmon.Socket())))
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())
	m := note("ended", netlab.Domain(1, false))
	_, err := msa.Submit("news@"+msa.Options.Hostname, []string{m.to}, m.content)
	must(t, err)

	held := func(step string) (id string) {
		t.Helper()
		eventually(t, "a session waits at "+step, func() bool {
			var all admin.Sessions
			out, err := kanmon.Ask("sessions", "--json")
			must(t, err)
			must(t, json.Unmarshal([]byte(out), &all))
			for _, s := range all.Sessions {
				if s.Step == step && s.Held {
					id = s.Session
				}
			}
			return id != ""
		})
		return id
	}
	first := held("rcpt")
	begun := time.Now()
	out, err := kanmon.Ask("sessions", "end", first, "--reason", "it hangs")
	if err != nil || !strings.Contains(out, "ends") && !strings.Contains(out, "has ended") {
		t.Errorf("%v: %s", err, out)
	}
	eventually(t, "the MSA is told", func() bool {
		tries := msa.Attempts(m.to)
		return len(tries) > 0 && strings.Contains(tries[0].Reply, "421 4.3.2") && strings.Contains(tries[0].Reply, "an operator has ended this session")
	})
	t.Logf("the MSA knew after %s", time.Since(begun).Round(time.Millisecond))
	holds.Store(".")
	must(t, msa.Flush())
	second := held("dot")
	if out, err = kanmon.Ask("sessions", "end", second, "--reason", "it hangs, too"); err != nil || !strings.Contains(out, "waits for the reply of the MX") {
		t.Errorf("%v: %s", err, out)
	}
	close(answer)
	eventually(t, "the MSA has delivered it", func() bool {
		tries := msa.Attempts(m.to)
		return len(tries) > 1 && tries[len(tries)-1].Status == "sent"
	})
	if n := mx.Mailbox.Len(); n != 1 {
		t.Errorf("the MX has %d messages", n)
	}
	if audit, err := kanmon.Ask("audit"); err != nil || strings.Count(audit, "end_session") != 2 {
		t.Errorf("%v; the audit has\n%s", err, audit)
	}
}
