package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kanmon/internal/intercept"
)

func (d *decoder) validateIntercept(cfg *Config) {
	in := &cfg.Intercept
	d.validateListeners(cfg)
	d.validateSources(in)
	d.validateInterfaces("intercept.interfaces", in.Interfaces)
	d.validateExclusion(in)
	d.validateTProxy(in)
	if in.ManageRules && !in.Local && d.good("intercept") && len(in.Sources)+len(in.Interfaces) == 0 && !cfg.TenantInterfaces() {
		d.wrong("intercept.manage_rules", "the rules would redirect nobody's mail", `add sources = ["10.20.0.0/16"], interfaces = ["eth1"] or local = true`)
	}
	if d.has("intercept.rules_on_stop") && !in.ManageRules && d.good("intercept.manage_rules") {
		d.wrong("intercept.rules_on_stop", "kanmon does not touch the rules unless manage_rules = true", "remove it, or add manage_rules = true")
	}
}

func (d *decoder) validateListeners(cfg *Config) {
	const key = "intercept.listen"
	in := &cfg.Intercept
	if !d.good(key) {
		return
	}
	d.judge(filled(key, in.Listen, "empty: kanmon would not listen", `want addresses such as ["0.0.0.0:10025", "[::]:10025"]`))
	for i, listener := range in.Listen {
		d.judge(rule{
			fmt.Sprintf("%s[%d]", key, i), listener, listener.Port() != 25, "%q has port 25, the port that is intercepted",
			"want another port such as 10025",
		})
		for j, earlier := range in.Listen[:i] {
			if problem := collide(listener, earlier, in.Listen); problem != "" {
				line := d.line(fmt.Sprintf("%s[%d]", key, j))
				d.wrong(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q %s %q in line %d", listener, problem, earlier, line), "remove one of the two, or use one port")
				break
			}
		}
	}
	d.validateReach(cfg)
}

// collide says why two listeners cannot both be, or "". The firewall rules redirect to one port only.
func collide(a, b netip.AddrPort, all []netip.AddrPort) string {
	sameFamily := a.Addr().Is4() == b.Addr().Is4()
	switch {
	case a == b:
		return "is listened on already, as"
	case a.Port() != b.Port():
		return "has another port than"
	case sameFamily && (a.Addr().IsUnspecified() || b.Addr().IsUnspecified()):
		return "overlaps with"
	case dualStack(a, all) || dualStack(b, all):
		return "overlaps with"
	default:
		return ""
	}
}

// dualStack: the IPv6 wildcard takes IPv4 too, unless the IPv4 wildcard with the same port is there.
func dualStack(a netip.AddrPort, all []netip.AddrPort) bool {
	return a.Addr() == netip.IPv6Unspecified() && !slices.Contains(all, netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()))
}

// validateReach: REDIRECT gives a forwarded connection an address of the interface it came in by, and one of this
// host itself a loopback address. A listener elsewhere never sees it.
func (d *decoder) validateReach(cfg *Config) {
	in := &cfg.Intercept
	if in.Mode != intercept.Redirect || !d.good("intercept") {
		return
	}
	reached := func(ok func(netip.Addr) bool) bool {
		return slices.ContainsFunc(in.Listen, func(l netip.AddrPort) bool { return l.Addr().IsUnspecified() || ok(l.Addr()) })
	}
	forwarded := len(in.Sources)+len(in.Interfaces) > 0 || cfg.TenantInterfaces()
	if forwarded && !reached(func(a netip.Addr) bool { return !a.IsLoopback() }) {
		d.wrong("intercept.listen", "redirected mail of other hosts does not arrive at a loopback address", `want "0.0.0.0:10025" or "[::]:10025"; the rules refuse what was not redirected`)
	}
	if in.Local && !reached(netip.Addr.IsLoopback) {
		d.wrong("intercept.listen", "redirected mail of this host arrives at 127.0.0.1 and ::1, which are not listened on", `add "127.0.0.1:10025" and "[::1]:10025"`)
	}
}

func (d *decoder) validateSources(in *Intercept) {
	const key = "intercept.sources"
	for i, source := range in.Sources {
		item := fmt.Sprintf("%s[%d]", key, i)
		if !source.IsValid() {
			continue
		}
		for j, earlier := range in.Sources[:i] {
			if earlier.IsValid() && earlier.Overlaps(source) {
				d.wrong(item, fmt.Sprintf("%q overlaps with %q in line %d", source, earlier, d.line(fmt.Sprintf("%s[%d]", key, j))), "keep the wider of the two")
				break
			}
		}
		if d.good("intercept.listen") && len(in.Listen) > 0 && !in.ListensFor(source.Addr().Is4()) {
			d.wrong(item, fmt.Sprintf("%q is %s, but no listener is", source, Family(source.Addr())), fmt.Sprintf("add %s to listen", exampleListener(source.Addr())))
		}
	}
}

// ListensFor reports whether a family is listened on.
func (in *Intercept) ListensFor(v4 bool) bool {
	for _, l := range in.Listen {
		if l.Addr().Is4() == v4 || v4 && dualStack(l, in.Listen) {
			return true
		}
	}
	return false
}

// Family names the family of an address.
func Family(addr netip.Addr) string {
	if addr.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func exampleListener(addr netip.Addr) string {
	if addr.Is4() {
		return `"0.0.0.0:10025"`
	}
	return `"[::]:10025"`
}

func (d *decoder) validateInterfaces(list string, names []string) {
	seen := map[string]bool{}
	for i, name := range names {
		key := fmt.Sprintf("%s[%d]", list, i)
		switch {
		case !d.good(key):
		case !isInterfaceName(name):
			d.wrong(key, fmt.Sprintf("%q is not the name of an interface", name), `want a name such as "eth1", or "msa*" for all that begin so`)
		case seen[name]:
			d.wrong(key, fmt.Sprintf("%q stands here twice", name), "remove one of the two")
		}
		seen[name] = true
	}
}

// isInterfaceName is narrower than the kernel: the name becomes part of the firewall rules.
func isInterfaceName(name string) bool {
	name = strings.TrimSuffix(name, "*")
	return name != "" && len(name) <= 15 && strings.Trim(name, nameChars+".:@") == ""
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// validateExclusion: kanmon's own connections must not be redirected to kanmon.
func (d *decoder) validateExclusion(in *Intercept) {
	switch {
	case d.has("intercept.user") && d.has("intercept.mark"):
		d.wrong("intercept.mark", "user and mark both say which traffic is kanmon's own", "keep one: user needs no privilege, mark needs CAP_NET_RAW")
	case d.has("intercept.mark") && in.Mark == 0 && d.good("intercept.mark"):
		d.wrong("intercept.mark", "0 is the mark of all other traffic", "want a mark such as 0x2525")
	default:
		d.judge(rule{"intercept.user", in.User, isUserName(in.User), "%q is not the name of a user", `want a name such as "kanmon"`})
	}
}

// isUserName takes what useradd takes, and numbers; the name becomes part of the firewall rules.
func isUserName(name string) bool {
	return name != "" && len(name) <= 32 && name[0] != '-' && strings.Trim(name, nameChars+".") == ""
}

func (d *decoder) validateTProxy(in *Intercept) {
	if !d.good("intercept.mode") || in.Mode != intercept.TProxy {
		for _, key := range []string{"intercept.tproxy_mark", "intercept.tproxy_table"} {
			if d.has(key) && d.good("intercept.mode") {
				d.wrong(key, `only used with mode = "tproxy"`, `remove it, or write mode = "tproxy"`)
			}
		}
		return
	}
	d.judge(
		rule{"intercept.tproxy_mark", nil, in.TProxyMark != 0, "0 is the mark of all other traffic", "want a mark such as 0x1000"},
		rule{
			"intercept.tproxy_table", in.TProxyTable, in.TProxyTable != 0 && (in.TProxyTable < 253 || in.TProxyTable > 255),
			"%d is one of the kernel's own tables", "want a table that nothing else uses, such as 27501",
		},
	)
	if both := in.TProxyMark & in.Mark; in.Mark != 0 && (both == in.Mark || both == in.TProxyMark) {
		origin := ""
		if !d.has("intercept.tproxy_mark") {
			origin = " (the default)"
		}
		d.wrong("intercept.mark", fmt.Sprintf("all bits of %#x are in tproxy_mark %#x%s, or the other way round: kanmon's own connections would be routed back to it", in.Mark, in.TProxyMark, origin), "want two marks with different bits: tproxy_mark is looked for as bits, whatever others there are")
	}
}
