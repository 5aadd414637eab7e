package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// A Rig is a pair of network namespaces. The suites run in one, kanmon in the other:
//
//	suite namespace                                gateway namespace
//	client ──▶ 127.0.0.1:port
//	   translated to 10.99.1.1:port ═══ veth ═══▶ redirected to the proxy
//	server ◀── 127.0.0.1:port
//	   translated back from         ◀═══ veth ═══ the proxy dials 10.99.1.1:port
//
// The proxy sees an ordinary forwarded connection to an address that is not its own, exactly as on a gateway.
type Rig struct {
	suite, gateway string // names of the namespaces
}

// ProxyPort is where the program between client and server must listen, on all addresses of the gateway namespace.
const ProxyPort = 10025

// SourceNet holds every source address the proxy sees.
const SourceNet = "10.99.0.0/24"

const setup = `
ip netns add $S
ip netns add $G
ip link add suite0 netns $S type veth peer name gw0 netns $G
ip -n $S link set lo up
ip -n $G link set lo up
ip -n $S addr add 10.99.0.1/24 dev suite0
ip -n $G addr add 10.99.0.254/24 dev gw0
ip -n $S link set suite0 up
ip -n $G link set gw0 up
ip -n $S route add 10.99.1.1/32 via 10.99.0.254
ip -n $G route add 10.99.1.1/32 via 10.99.0.1
# Loopback addresses leave the suite's namespace, and come back to it, only through the translation below.
ip netns exec $S sh -c 'for f in all suite0; do echo 1 > /proc/sys/net/ipv4/conf/$f/route_localnet; done'
`

const gatewayRules = `table ip interop {
  chain pre {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "gw0" meta l4proto tcp counter redirect to :%d
  }
}
`

const suiteRules = `table ip interop {
  chain out {
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.1 meta l4proto tcp counter dnat to 10.99.1.1
  }
  chain post {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "suite0" ip saddr 127.0.0.1 meta l4proto tcp snat to 10.99.0.1
  }
  chain pre {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "suite0" ip daddr 10.99.1.1 meta l4proto tcp counter dnat to 127.0.0.1
  }
}
`

// NewRig makes the namespaces, with client and server talking directly. Close takes them away.
func NewRig(ctx context.Context) (*Rig, error) {
	r := &Rig{suite: "interop-suite", gateway: "interop-gateway"}
	cmd := exec.CommandContext(ctx, "sh", "-euc", setup)
	cmd.Env = append(os.Environ(), "S="+r.suite, "G="+r.gateway)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Close()
		return nil, fmt.Errorf("making the namespaces (root is needed): %w: %s", err, bytes.TrimSpace(out))
	}
	if err := r.nft(ctx, r.gateway, fmt.Sprintf(gatewayRules, ProxyPort)); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close removes the namespaces. What still runs in them keeps them alive until it ends.
func (r *Rig) Close() {
	for _, ns := range []string{r.suite, r.gateway} {
		_ = exec.Command("ip", "netns", "del", ns).Run() // absent if NewRig failed half-way
	}
}

// Through leads every TCP connection that the suite namespace makes to 127.0.0.1 through the gateway namespace.
func (r *Rig) Through(ctx context.Context) error { return r.nft(ctx, r.suite, suiteRules) }

// Direct undoes Through.
func (r *Rig) Direct(ctx context.Context) error {
	return r.nft(ctx, r.suite, "table ip interop\ndelete table ip interop\n")
}

// Connections is how many connections came out of the proxy to the suite's servers since Through.
func (r *Rig) Connections(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", r.suite, "nft", "list", "chain", "ip", "interop", "pre").Output()
	if err != nil {
		return 0, fmt.Errorf("reading the counter: %w", err)
	}
	_, after, found := strings.Cut(string(out), "counter packets ")
	if !found {
		return 0, fmt.Errorf("no counter in %q", out)
	}
	count, _, _ := strings.Cut(after, " ")
	return strconv.Atoi(count)
}

// Listening says whether something listens on [ProxyPort] in the gateway namespace.
func (r *Rig) Listening(ctx context.Context) bool {
	out, err := r.Gateway(ctx, "cat", "/proc/net/tcp", "/proc/net/tcp6").Output()
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // number, local address, remote address, state (0A: listening)
		if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", ProxyPort)) {
			return true
		}
	}
	return false
}

// Suite gives a command that runs in the suite namespace.
func (r *Rig) Suite(ctx context.Context, name string, args ...string) *exec.Cmd {
	return in(ctx, r.suite, name, args)
}

// Gateway gives a command that runs in the gateway namespace.
func (r *Rig) Gateway(ctx context.Context, name string, args ...string) *exec.Cmd {
	return in(ctx, r.gateway, name, args)
}

func in(ctx context.Context, ns, name string, args []string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns, name}, args...)...)
}

func (r *Rig) nft(ctx context.Context, ns, rules string) error {
	cmd := in(ctx, ns, "nft", []string{"-f", "-"})
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading rules in %s: %w: %s", ns, err, bytes.TrimSpace(out))
	}
	return nil
}
