package netns

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// What the page has somebody type when nothing else helps opens the direct way, without a program of kanmon's, and leaves nothing behind.
//
// page: docs/howto/firewall.md#when-nothing-else-helps
func TestWhenNothingElseHelpsMailLeavesDirectly(t *testing.T) {
	page, err := os.ReadFile("../../docs/howto/firewall.md")
	must(t, err)
	_, section, _ := strings.Cut(string(page), "\n## When nothing else helps\n")
	section, _, _ = strings.Cut(section, "\n## ")
	commands := regexp.MustCompile(`(?m)^    ((?:nft|ip) [^#\n]*)`).FindAllStringSubmatch(section, -1)
	if len(commands) != 2 {
		t.Fatalf("%d lines for nft and ip in %q", len(commands), section)
	}
	world, mx := newWorld(t, 1)
	msa := newMSA(t, world.MSAs[0], "may")
	before := policyRules(t, world)
	kanmon := startKanmon(t, world, forwardedTProxy, sendingIPs)
	must(t, kanmon.Stop(20*time.Second))
	for _, command := range commands {
		_, err := world.Gateway.Run("sh", "-ec", command[1])
		must(t, err)
	}
	for _, family := range families {
		_, stored := deliver(t, msa, mx, note("direct-"+family.name, netlab.Domain(1, family.v6)))
		expectReceived(t, stored, "from msa1.example ")
	}
	if after := policyRules(t, world); after != before {
		t.Errorf("policy rules before:\n%s\nbehind it:\n%s", before, after)
	}
}

func policyRules(t *testing.T, world *netlab.Outbound) string {
	t.Helper()
	rules, err := world.Gateway.Run("sh", "-ec", "ip -4 rule; ip -6 rule")
	must(t, err)
	return rules
}
