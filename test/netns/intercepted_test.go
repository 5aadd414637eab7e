package netns

import (
	"strings"
	"testing"

	"kanmon/test/netlab"
)

// TestIntercepted sends every awkward message through kanmon in each way that the kernel can hand connections to it.
func TestIntercepted(t *testing.T) {
	for _, scenario := range []struct {
		name   string
		config string
		local  bool   // the MSA is on the gateway itself
		user   uint32 // kanmon's
	}{
		{name: "redirect", config: forwardedRedirect},
		{name: "tproxy", config: forwardedTProxy},
		{name: "same host, by mark", config: localByMark, local: true},
		{name: "same host, by user", config: localByUser, local: true, user: netlab.UnprivilegedUser},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			world, mx := newWorld(t, 1)
			host := world.MSAs[0]
			if scenario.local {
				host = world.Gateway
			}
			msa := newMSA(t, host, "may")
			kanmon := newKanmon(t, world, scenario.config, sendingIPs)
			kanmon.User = scenario.user
			rules(t, kanmon, "apply")
			must(t, kanmon.Start())
			for _, family := range families {
				t.Run(family.name, func(t *testing.T) {
					for _, m := range awkwardMails(netlab.Domain(1, family.v6)) {
						attempt, stored := deliver(t, msa, mx, m)
						checkIntercepted(t, kanmon, msa, mx, m, attempt, stored, family.v6)
					}
				})
			}
		})
	}
}

// checkIntercepted checks what all sides have on record about a message.
func checkIntercepted(
	t *testing.T, kanmon *netlab.Kanmon, msa, mx *netlab.Postfix,
	m mail, attempt netlab.Attempt, stored netlab.Stored, v6 bool,
) {
	t.Helper()
	sendingIP := netlab.SendingIPv4
	if v6 {
		sendingIP = netlab.SendingIPv6
	}
	expectReceived(t, stored, "from "+netlab.SendingName+" ", "["+ipLiteral(sendingIP)+"]", "using TLSv1.3")
	client := netlab.SendingName + "[" + sendingIP.String() + "]"
	for _, line := range []string{"TLS connection established from " + client, attempt.RemoteQueueID() + ": client=" + client} {
		if !strings.Contains(mx.Log(), line) {
			t.Errorf("the MX's log lacks %q", line)
		}
	}
	if at := "[" + netlab.MXAddr(1, v6).String() + "]:25"; !strings.Contains(attempt.Relay, at) {
		t.Errorf("the MSA thinks that it spoke to %s, want %s", attempt.Relay, at)
	}
	lines := dialogue(t, kanmon, attempt.RemoteQueueID())
	expectInOrder(t, lines,
		"-- connected from ",
		"-- connected to ",
		"<- 220 "+mx.Options.Hostname,
		">| EHLO "+msa.Options.Hostname,
		"|> EHLO "+netlab.SendingName,
		"|< 250-STARTTLS",
		"|> STARTTLS",
		"|< 220 ",
		"|> EHLO "+netlab.SendingName,
		"|< 250-"+mx.Options.Hostname,
		"-> MAIL FROM:<sender@",
		"-> RCPT TO:<"+m.to+">",
		"-> DATA",
		"<- 250 2.1.0 ",
		"<- 250 2.1.5 ",
		"<- 354 ",
		"<- 250 2.0.0 Ok: queued as "+attempt.RemoteQueueID(),
		"<- 221 ",
	)
	for _, line := range lines {
		if strings.HasPrefix(line, "<-") && strings.Contains(line, "STARTTLS") {
			t.Errorf("the MSA was offered STARTTLS: %q", line)
		}
	}
}
