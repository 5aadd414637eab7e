package netns

import (
	"context"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// Pieces that the scenarios' configurations are put together from.
const (
	// forwardedRedirect redirects the tenants' mail. kanmon's own is told apart by a mark.
	forwardedRedirect = `
[intercept]
mode    = "redirect"
listen  = ["0.0.0.0:10025", "[::]:10025"]
sources = ["10.20.0.0/16", "fd20::/32"]
mark    = 0x2525
`
	// forwardedTProxy takes the tenants' mail by transparent sockets.
	forwardedTProxy = `
[intercept]
mode    = "tproxy"
listen  = ["127.0.0.1:10025", "[::1]:10025"]
sources = ["10.20.0.0/16", "fd20::/32"]
mark    = 0x2525
`
	// localByMark redirects the gateway's own mail but for kanmon's, which has a mark.
	localByMark = `
[intercept]
mode   = "redirect"
listen = ["0.0.0.0:10025", "[::]:10025"]
local  = true
mark   = 0x2525
`
	// localByUser redirects the gateway's own mail but for kanmon's, which runs as a user of its own.
	localByUser = `
[intercept]
mode   = "redirect"
listen = ["0.0.0.0:10025", "[::]:10025"]
local  = true
user   = "kanmon"
`
	sendingIPs = `
[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"

[[sending_ip]]
address = "2001:db8:71::10"
ehlo    = "out10.example"
`
	otherSendingIPs = `
[[sending_ip]]
address = "203.0.113.11"
ehlo    = "out11.example"

[[sending_ip]]
address = "2001:db8:71::11"
ehlo    = "out11.example"
`
)

// newKanmon prepares kanmon on the gateway. Nothing runs yet and no rule is set.
func newKanmon(t *testing.T, world *netlab.Outbound, config ...string) *netlab.Kanmon {
	t.Helper()
	kanmon, err := netlab.NewKanmon(world.Gateway, strings.Join(config, ""))
	must(t, err)
	return kanmon
}

// startKanmon prepares kanmon, sets its rules and runs it.
func startKanmon(t *testing.T, world *netlab.Outbound, config ...string) *netlab.Kanmon {
	t.Helper()
	kanmon := newKanmon(t, world, config...)
	rules(t, kanmon, "apply")
	must(t, kanmon.Start())
	return kanmon
}

func rules(t *testing.T, kanmon *netlab.Kanmon, verb string) {
	t.Helper()
	_, err := kanmon.Rules(verb)
	must(t, err)
}

// eventually waits for a condition on a log or on the records, which are written a moment after the mail.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("not seen within 30 s: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// dialogue gives the lines of the session that a message went through, found by the MX's queue id: each begins with
// its mark. Times and the session's name are cut off.
func dialogue(t *testing.T, kanmon *netlab.Kanmon, queueID string) []string {
	t.Helper()
	var lines []string
	eventually(t, "the reply with "+queueID+" in the session log", func() bool {
		lines = sessionLines(kanmon.SessionLog(), "queued as "+queueID)
		return len(lines) > 0
	})
	return lines
}

func sessionLines(log, text string) (lines []string) {
	session := ""
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(line, text) {
			session = fields[1]
		}
	}
	for line := range strings.Lines(log) {
		// time, session, elapsed, mark and text
		if fields := strings.Fields(line); session != "" && len(fields) > 3 && fields[1] == session {
			lines = append(lines, strings.Join(fields[3:], " "))
		}
	}
	return lines
}

// expectInOrder checks that lines with these beginnings appear in this order, others between them or not.
func expectInOrder(t *testing.T, lines []string, want ...string) {
	t.Helper()
	rest := lines
	for _, prefix := range want {
		at := 0
		for at < len(rest) && !strings.HasPrefix(rest[at], prefix) {
			at++
		}
		if at == len(rest) {
			t.Errorf("the session log lacks %q, or has it too early:\n%s", prefix, strings.Join(lines, "\n"))
			return
		}
		rest = rest[at+1:]
	}
}

// expectReceived checks what the MX wrote into its Received field.
func expectReceived(t *testing.T, stored netlab.Stored, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(stored.Received, part) {
			t.Errorf("the MX received the mail %q, want %q in it", stored.Received, part)
		}
	}
}
