package outlet

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// alikeVariable is the file that the other gateway writes its choices to.
const alikeVariable = "KANMON_TEST_CHOICES"

// Two gateways of one configuration, each a process of its own, choose the same sending IP for the same tenant, sender domain and destination:
// of 10,000, all, with equal weights and with others, whatever the order in which the file names the addresses.
func TestTwoGatewaysChooseAlike(t *testing.T) {
	if file := os.Getenv(alikeVariable); file != "" {
		if err := os.WriteFile(file, choicesOf(t, true), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	file := filepath.Join(t.TempDir(), "choices")
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTwoGatewaysChooseAlike$")
	other.Env = append(os.Environ(), alikeVariable+"="+file)
	if out, err := other.CombinedOutput(); err != nil {
		t.Fatalf("the other gateway: %v\n%s", err, out)
	}
	theirs, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ours, differ, used := bytes.Split(choicesOf(t, false), []byte("\n")), 0, map[string]int{}
	for i, choice := range bytes.Split(theirs, []byte("\n")) {
		if i >= len(ours) || !bytes.Equal(choice, ours[i]) {
			differ++
			continue
		}
		used[string(choice)]++
	}
	t.Logf("%d choices, %d differ: %v", len(ours), differ, used)
	if len(ours) != 10_000 || differ != 0 || len(used) != 4 {
		t.Errorf("two gateways chose otherwise %d times of %d, from %d sending IPs", differ, len(ours), len(used))
	}
}

// choicesOf gives a gateway's choices, a line each: of tenants half with a pool of equal weights and half with one of others.
func choicesOf(t *testing.T, turned bool) []byte {
	t.Helper()
	ips := []string{"203.0.113.10", "203.0.113.11", "203.0.113.12", "203.0.113.13"}
	if turned {
		slices.Reverse(ips)
	}
	g := sending(ips...).pool("default", ips...).pool("weighted", ips...)
	for i := range g.pools[1].IPs {
		g.pools[1].IPs[i].Weight = int(g.pools[1].IPs[i].Address.As4()[3]) - 9
	}
	for n := range 10 {
		pool := "default"
		if n%2 == 1 {
			pool = "weighted"
		}
		g = g.claimed(route.Tenant{Name: fmt.Sprintf("tenant%d", n), Sources: []netip.Prefix{netip.PrefixFrom(sourceOf(n), 32)}, Pool: pool})
	}
	o := newOutlet(t, g)
	var all [][]byte
	for n := range 10_000 {
		choice := choiceFor(t, o, request{
			Source: sourceOf(n % 10), Destination: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(n / 250)}), 25),
			DialRequest: session.DialRequest{Sender: fmt.Sprintf("a@d%d.example", n/10%25), SenderKnown: true},
		})
		all = append(all, []byte(choice.IPs()[0].Address.String()))
	}
	return bytes.Join(all, []byte("\n"))
}

func sourceOf(tenant int) netip.Addr { return netip.AddrFrom4([4]byte{10, 20, 0, byte(10 + tenant)}) }
