package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// firewall: kanmon's own rules, and those that would rewrite the addresses that mail leaves from.
func (c *checker) firewall() {
	text, err := c.Host.ruleset(c.ctx)
	if err != nil {
		c.unchecked("the firewall's rules", err.Error())
		c.guardsWord()
		return
	}
	all, err := parseRuleset(text)
	if err != nil {
		c.unchecked("the firewall's rules", err.Error())
		return
	}
	c.ownRules(all)
	c.letIn(all)
	c.letInOwn(all)
	for i, ip := range c.Config.SendingIPs {
		if c.has(ip.Address) {
			key := fmt.Sprintf("sending_ip[%d].address", i)
			c.rewritten(all, key, ip.Address)
			c.letOut(all, key, ip.Address)
		}
	}
	for _, table := range c.Host.legacyTables() {
		c.unchecked("rules of iptables-legacy, table "+table, "nft does not list them: iptables-legacy-save -t "+table)
	}
}

// rewritten looks for the rule that would give mail from an address another one.
func (c *checker) rewritten(all *ruleset, key string, ip netip.Addr) {
	p, ok := c.dial(ip)
	if !ok {
		return // told elsewhere
	}
	found, sure := all.rewrites(p)
	if found == nil {
		return
	}
	where := fmt.Sprintf("chain %s, table %s", found.Chain, found.table())
	cure := fmt.Sprintf("nft insert rule %s %s ip%s saddr %s tcp dport 25 accept", found.table(), found.Chain, six(ip), ip)
	if sure {
		c.find(sourceRewritten, key, fmt.Sprintf("a rule in %s gives what leaves from %s by %s another source address (%s)", where, ip, p.out, found.verb), cure)
	} else {
		c.find(sourceMaybeRewritten, key, fmt.Sprintf("a rule in %s may give what leaves from %s by %s another source address (%s); kanmon cannot tell from its conditions", where, ip, p.out, found.verb), cure)
	}
}

// dial is the beginning of kanmon's connection from an address; ok is false where there is no route.
func (c *checker) dial(ip netip.Addr) (p packet, ok bool) {
	route, err := c.Host.network().Route(far(ip), ip, c.Config.Intercept.Mark)
	if err != nil {
		return p, false
	}
	p = packet{from: ip, to: far(ip), out: route.Interface, port: 25, state: "new", mark: c.Config.Intercept.Mark, masqueraded: c.masqueraded(route, ip)}
	if u, err := c.eyes(); err == nil && u != nil {
		p.user, p.name = u.ID, u.Name
	} else {
		own := c.Host.own()
		p.user, p.name = own.ID, own.Name
	}
	return p, true
}

// masqueraded returns the address that masquerade would put in the place of another one; zero: it is not known. A host with one address
// there masquerades it by itself, which changes nothing.
func (c *checker) masqueraded(route Route, ip netip.Addr) netip.Addr {
	link := c.link(route.Interface)
	if link == nil {
		return netip.Addr{}
	}
	if ip.Is6() { // by the same choice that the kernel makes where no source is given (RFC 6724)
		chosen, err := c.Host.network().Route(far(ip), netip.Addr{}, c.Config.Intercept.Mark)
		if err != nil || chosen.Interface != route.Interface {
			return netip.Addr{}
		}
		return chosen.Source
	}
	// The first primary one of the interface in the gateway's network, else the first of all.
	var first netip.Addr
	for _, p := range link.Primary {
		if route.Gateway.IsValid() && p.Masked().Contains(route.Gateway) {
			return p.Addr()
		}
		if !first.IsValid() {
			first = p.Addr()
		}
	}
	return first
}

func six(ip netip.Addr) string {
	if ip.Is6() {
		return "6"
	}
	return ""
}

// ruleset returns all rules of the kernel.
func (h *Host) ruleset(ctx context.Context) ([]byte, error) {
	if h.Ruleset != nil {
		return h.Ruleset(ctx)
	}
	return nft(ctx, "", "-j", "list", "ruleset")
}

// nft runs nft.
func nft(ctx context.Context, input string, args ...string) ([]byte, error) {
	path, err := (&Host{}).find("nft")
	if err != nil {
		return nil, errors.New("nft is not installed: apt-get install nftables")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(input)
	text, err := cmd.Output()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return text, nil
	case errors.As(err, &failed) && strings.Contains(string(failed.Stderr), "Operation not permitted"):
		return nil, errors.New("only root sees them: sudo kanmon check")
	case errors.As(err, &failed):
		return nil, fmt.Errorf("nft %s: %s", strings.Join(args, " "), strings.TrimSpace(string(failed.Stderr)))
	default:
		return nil, fmt.Errorf("nft: %w", err)
	}
}

// legacyTables are those of the kernel's older firewall.
func (h *Host) legacyTables() (list []string) {
	if h.LegacyTables != nil {
		return h.LegacyTables()
	}
	for _, file := range []string{"net/ip_tables_names", "net/ip6_tables_names"} {
		text, err := os.ReadFile(h.proc(filepath.Join("thread-self", file)))
		if err != nil {
			continue
		}
		for _, table := range strings.Fields(string(text)) {
			if !slices.Contains(list, table) {
				list = append(list, table)
			}
		}
	}
	return list
}

// A ruleset is what nft lists, as far as it matters here.
type ruleset struct {
	tables []string // "inet kanmon"
	chains []nftChain
	rules  map[place][]*nftRule
	sets   []nftSet
}

// A place is a chain: hosts of containers have thousands.
type place struct{ family, table, chain string }

type (
	nftChain struct {
		Family, Table, Name, Type, Hook, Policy string
		Prio                                    int
	}
	nftRule struct {
		Family, Table, Chain string
		Expr                 []map[string]json.RawMessage
	}
	nftSet struct {
		Family, Table, Name string
		Elem                []json.RawMessage
	}
)

func parseRuleset(text []byte) (*ruleset, error) {
	var list struct {
		Objects []struct {
			Table *struct{ Family, Name string }
			Chain *nftChain
			Rule  *nftRule
			Set   *nftSet
		} `json:"nftables"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("nft's list is not understood: %w", err)
	}
	r := &ruleset{rules: map[place][]*nftRule{}}
	for _, o := range list.Objects {
		switch {
		case o.Table != nil:
			r.tables = append(r.tables, o.Table.Family+" "+o.Table.Name)
		case o.Chain != nil:
			r.chains = append(r.chains, *o.Chain)
		case o.Rule != nil:
			at := place{o.Rule.Family, o.Rule.Table, o.Rule.Chain}
			r.rules[at] = append(r.rules[at], o.Rule)
		case o.Set != nil:
			r.sets = append(r.sets, *o.Set)
		}
	}
	return r, nil
}
