package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
)

// A fakeNet has two interfaces: eth0 toward the Internet, with the sending IPs, and eth1 toward the MSAs.
type fakeNet struct {
	links        []Interface
	outOf        map[string]string // interface that mail from an address leaves by; "-": there is no route; else eth0
	local        netip.Prefix      // that a route makes the host's own
	rule, route  bool              // of tproxy
	interfaceErr error
}

func (n *fakeNet) Interfaces() ([]Interface, error) { return n.links, n.interfaceErr }

func (n *fakeNet) Route(to, from netip.Addr, _ uint32) (Route, error) {
	out := "eth0"
	for _, l := range n.links {
		for _, p := range l.Addresses {
			if p.Masked().Contains(to) {
				out = l.Name
			}
		}
	}
	if by := n.outOf[from.String()]; by != "" {
		out = by
	}
	if out == "-" {
		return Route{}, ErrNoRoute
	}
	return Route{Interface: out, Source: from, Local: n.local.Contains(to)}, nil
}

func (n *fakeNet) PolicyRoute(bool, uint32, uint32) (rule, route bool, err error) {
	return n.rule, n.route, nil
}

func (n *fakeNet) link(name string) *Interface {
	i := slices.IndexFunc(n.links, func(l Interface) bool { return l.Name == name })
	return &n.links[i]
}

func prefixesOf(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// A rig is a host that gives everything; a test takes something away.
type rig struct {
	*testing.T
	*Host
	net     *fakeNet
	service *Service
	dir     string
}

// kanmonUser is who kanmon runs as, and who looks.
var kanmonUser = User{Name: "kanmon", ID: 990, Groups: []int{990}}

func newRig(t *testing.T) *rig {
	t.Helper()
	n := &fakeNet{rule: true, route: true, outOf: map[string]string{}, links: []Interface{
		{Name: "lo", Loopback: true, Addresses: prefixesOf("127.0.0.1/8", "::1/128")},
		{
			Name: "eth0", Addresses: prefixesOf("203.0.113.9/24", "203.0.113.10/24", "203.0.113.11/24", "2001:db8::10/64", "fe80::1/64"),
			Primary: prefixesOf("203.0.113.9/24"),
		},
		{Name: "eth1", Addresses: prefixesOf("10.20.0.1/16", "fe80::2/64")},
	}}
	r := &rig{T: t, net: n, dir: t.TempDir(), Host: &Host{
		Proc:         t.TempDir(),
		Network:      n,
		FileLimit:    func() (uint64, error) { return 1 << 20, nil },
		LookPath:     func(name string) (string, error) { return "/usr/sbin/" + name, nil },
		LookupUser:   func(string) (*User, error) { return &kanmonUser, nil },
		Own:          func() User { return kanmonUser },
		Ruleset:      func(context.Context) ([]byte, error) { return []byte(noNAT), nil },
		InForce:      func(context.Context) ([]Fault, error) { return nil, nil },
		LegacyTables: func() []string { return nil },
		Now:          func() time.Time { return time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC) },
	}}
	r.Kept = func() (*intercept.Keeper, *intercept.Report) {
		return &intercept.Keeper{Dir: filepath.Join(r.dir, "kept")}, &intercept.Report{Dir: filepath.Join(r.dir, "kept")}
	}
	r.guard(intercept.Guarding{})
	r.Service = func(context.Context) (*Service, error) { return r.service, nil }
	for path, content := range map[string]string{
		"thread-self/status":                     "Name:\tkanmon\nCapEff:\t0000000000003000\n",
		"sys/net/core/somaxconn":                 "4096\n",
		"sys/net/netfilter/nf_conntrack_max":     "262144\n",
		"sys/net/netfilter/nf_conntrack_count":   "100\n",
		"sys/net/ipv4/ip_local_port_range":       "32768\t60999\n",
		"sys/net/ipv4/conf/all/src_valid_mark":   "0\n",
		"sys/net/ipv4/conf/eth1/src_valid_mark":  "0\n",
		"sys/net/ipv4/conf/all/rp_filter":        "0\n",
		"sys/net/ipv4/conf/eth1/rp_filter":       "1\n",
		"sys/net/ipv6/conf/lo/disable_ipv6":      "0\n",
		"sys/net/ipv6/conf/all/forwarding":       "1\n",
		"sys/net/bridge/bridge-nf-call-iptables": "0\n",
	} {
		r.proc(path, content)
	}
	return r
}

const noNAT = `{"nftables":[{"table":{"family":"inet","name":"kanmon"}}]}`

func (r *rig) proc(path, content string) { r.write(filepath.Join(r.Proc, path), content) }

func (r *rig) link(path, to string) {
	r.Helper()
	path = filepath.Join(r.Proc, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) write(path, content string) {
	r.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.Fatal(err)
	}
}

// guard makes one that runs, and says this.
func (r *rig) guard(g intercept.Guarding) {
	g.Told = time.Now()
	r.remember("guard.json", g)
}

// remember writes what is remembered of the rules.
func (r *rig) remember(name string, value any) {
	r.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		r.Fatal(err)
	}
	r.write(filepath.Join(r.dir, "kept", name), string(text))
}

// unit makes kanmon a service, as the shipped unit has it but for the sandbox around files.
func (r *rig) unit() *Service {
	r.service = &Service{
		Unit: serviceUnit, User: "kanmon", FileLimit: 65536,
		State: []string{"kanmon"}, Logs: []string{"kanmon"}, Runtime: []string{"kanmon"},
	}
	return r.service
}

// rulesOf is what package daemon makes of a configuration, as far as it matters here.
func rulesOf(cfg *config.Config) intercept.Rules {
	in := &cfg.Intercept
	rules := intercept.Rules{Listen: in.Listen, Sources: in.Sources, Interfaces: in.Interfaces, Local: in.Local, User: in.User, Mark: in.Mark}
	if in.Mode == intercept.TProxy {
		rules.Mode = intercept.TProxy
	}
	return rules
}

// parse reads a document; DIR in it stands for the test's folder.
func (r *rig) parse(doc string) *config.Config {
	r.Helper()
	cfg, err := config.Parse("kanmon.toml", []byte(strings.ReplaceAll(doc, "DIR", r.dir)))
	if err != nil {
		r.Fatal(err)
	}
	return cfg
}

// check judges a document.
func (r *rig) check(doc string) []Finding {
	r.Helper()
	cfg := r.parse(doc)
	return Run(r.Context(), Site{Config: cfg, Rules: rulesOf(cfg), Host: r.Host, Schemas: map[string]int{"standing": 3}})
}

// checkFile judges a file.
func (r *rig) checkFile(path string) []Finding {
	r.Helper()
	cfg, err := config.Load(path)
	if err != nil {
		r.Fatal(err)
	}
	return Run(r.Context(), Site{Config: cfg, Rules: rulesOf(cfg), Host: r.Host, Schemas: map[string]int{"standing": 3}})
}

// wantOnly wants one finding with an id and a text, or none where the id is "".
func (r *rig) wantOnly(findings []Finding, id, text string) {
	r.Helper()
	text = strings.ReplaceAll(text, "DIR", r.dir)
	var list strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&list, "\n%s", f)
	}
	switch {
	case id == "" && len(findings) > 0:
		r.Errorf("findings %s\nwant none", list.String())
	case id != "" && (len(findings) != 1 || findings[0].ID != id || !strings.Contains(findings[0].String(), text)):
		r.Errorf("findings %s\nwant one %s with %q", list.String(), id, text)
	}
}
