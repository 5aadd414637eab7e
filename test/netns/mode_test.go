package netns

import (
	"strings"
	"testing"

	"kanmon/test/netlab"
)

// TestObserve shows that without sending IPs kanmon changes nothing but TLS: the MSA's own EHLO name reaches the MX,
// from the address that the kernel chose.
func TestObserve(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "may")
	startKanmon(t, world, forwardedRedirect)
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			from := "[203.0.113.1]"
			if family.v6 {
				from = "[IPv6:2001:db8:71::1]"
			}
			_, stored := deliver(t, msa, mx, note("observed", netlab.Domain(1, family.v6)))
			expectReceived(t, stored, "from msa1.example ", from, "using TLSv1.3")
		})
	}
}

// TestPassthrough shows that an MSA that insists on TLS of its own has it end to end with an MX that is passed through,
// and that kanmon writes down no word of the dialogue.
func TestPassthrough(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "encrypt")
	kanmon := startKanmon(t, world, forwardedRedirect, sendingIPs, `
[[destination]]
networks    = ["198.51.100.0/24", "2001:db8:51::/64"]
passthrough = true
`)
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) {
			attempt, stored := deliver(t, msa, mx, note("opaque", netlab.Domain(1, family.v6)))
			expectReceived(t, stored, "from msa1.example ", "using TLSv1.3")
			if !strings.Contains(msa.Log(), "TLS connection established to "+attempt.Relay) {
				t.Error("the MSA's log shows no TLS of its own")
			}
			address := netlab.MXAddr(1, family.v6).String()
			eventually(t, "a record of the connection to "+address, func() bool {
				return strings.Contains(kanmon.Records(), address)
			})
			if strings.Contains(kanmon.SessionLog(), "MAIL FROM") {
				t.Error("the session log shows the dialogue")
			}
		})
	}
}

// TestEncryptRefused is the other side of it: an MSA that insists on TLS and is not passed through keeps its mail.
func TestEncryptRefused(t *testing.T) {
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "encrypt")
	startKanmon(t, world, forwardedRedirect, sendingIPs)
	m := note("insisting", netlab.Domain(1, false))
	_, err := msa.Submit("sender@msa1.example", []string{m.to}, m.content)
	must(t, err)
	attempt, err := msa.WaitStatus(t.Context(), m.to, "deferred")
	must(t, err)
	if !strings.Contains(attempt.Reply, "TLS is required") {
		t.Errorf("the MSA deferred the mail because of %q", attempt.Reply)
	}
	if n := mx.Count(); n != 0 {
		t.Errorf("%d messages reached the MX", n)
	}
}
