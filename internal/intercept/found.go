package intercept

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// asFound returns the rules that the kernel has, where nothing else is known of them. They can be guarded and put back
// as they are, and not be written down: what they were made of is not in them.
func asFound(ctx context.Context) (kept Kept, err error) {
	table := Rules{}.table()
	if kept.Imprint, err = imprint(table); err != nil {
		return Kept{}, err
	}
	if kept.Imprint == "" {
		return Kept{}, errors.New("the kernel has none")
	}
	if kept.found, err = run(ctx, "", "nft", "--stateless", "list", "table", "inet", table); err != nil {
		return Kept{}, fmt.Errorf("list the firewall rules: %w", err)
	}
	if kept.Rules, err = foundRoutes(); err != nil {
		return Kept{}, err
	}
	return kept, nil
}

// foundRoutes returns rules that have the policy routes of those in force, and nothing else.
func foundRoutes() (r Rules, err error) {
	for _, f := range []family{ipv4, ipv6} {
		rules, err := rulesOf(f)
		if err != nil {
			return Rules{}, err
		}
		for _, rule := range rules {
			if rule.Protocol != routeProtocol {
				continue
			}
			r.Mode, r.RouteMark, r.RouteTable = TProxy, rule.Mark, uint32(rule.Table)
			r.Listen = append(r.Listen, netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(f.loopback, "[]")), 0))
		}
	}
	return r, nil
}

// putFound puts rules back as they were found.
func (k Kept) putFound(ctx context.Context) error {
	for _, p := range k.Rules.policyRoutes() {
		if err := p.put(); err != nil {
			return fmt.Errorf("policy route: %w", err)
		}
	}
	name := "inet " + k.Rules.table()
	if _, err := run(ctx, "table "+name+"\ndelete table "+name+"\n"+k.found, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("load the firewall rules: %w", err)
	}
	return nil
}
