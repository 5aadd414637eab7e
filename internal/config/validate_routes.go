package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"kanmon/internal/intercept"
	"kanmon/internal/policy/contain"
	"kanmon/internal/who/mailbox"
)

const mostWeight = 1000

func (d *decoder) validatePools(cfg *Config) {
	known := map[netip.Addr]bool{}
	for _, ip := range cfg.SendingIPs {
		known[ip.Address] = true
	}
	highRisk, owners := "", map[netip.Addr]string{} // owners: of the sending IPs of other pools
	for _, name := range slices.Sorted(maps.Keys(cfg.Pools)) {
		pool, key := cfg.Pools[name], join("pool", name)
		switch {
		case d.failedItself(key):
			continue
		case !isName(name):
			d.wrong(key, fmt.Sprintf("%q is not a name", name), `want letters, digits, hyphens and underscores, at most 64, such as "bulk"`)
		case pool.HighRisk && highRisk != "":
			d.wrong(key+".high_risk", fmt.Sprintf("pool %q is the high-risk pool already, in line %d", highRisk, d.line(join("pool", highRisk)+".high_risk")), "only one pool can be")
		case pool.HighRisk:
			highRisk = name
		}
		d.validateMembers(key, pool, known, d.good("sending_ip"))
		if !pool.HighRisk {
			for _, ip := range pool.IPs {
				owners[ip] = name
			}
		}
	}
	if highRisk != "" {
		d.validateHighRisk(cfg, highRisk, owners)
	}
	if _, found := cfg.Pools[DefaultPool]; len(cfg.Pools) > 0 && !found && d.good("pool") {
		d.wrong("pool", `there is no pool "default": mail that no tenant and no route claims could not leave`, "add [pool.default]")
	}
}

// validateMembers judges the sending IPs of a pool, and their weights.
func (d *decoder) validateMembers(key string, pool Pool, known map[netip.Addr]bool, judge bool) {
	d.must(key+".ips", `ips = ["203.0.113.10"], addresses of [[sending_ip]]`)
	d.judge(filled(key+".ips", pool.IPs, "empty: mail of the pool could not leave", "want addresses of [[sending_ip]]"))
	seen := map[netip.Addr]string{}
	for i, ip := range pool.IPs {
		item := fmt.Sprintf("%s.ips[%d]", key, i)
		first, twice := seen[ip]
		switch {
		case !ip.IsValid():
		case twice:
			d.wrong(item, fmt.Sprintf("%q stands here already, in line %d", ip, d.line(first)), "a larger share is a matter of weights")
		case !known[ip] && judge:
			d.wrong(item, fmt.Sprintf("%q is not a sending IP", ip), "add a [[sending_ip]] with this address and its EHLO name")
		}
		seen[ip] = item
	}
	for _, ip := range slices.SortedFunc(maps.Keys(pool.Weights), netip.Addr.Compare) {
		item := join(key+".weights", ip.String())
		weight := pool.Weights[ip]
		switch _, member := seen[ip]; {
		case !ip.IsValid() || !d.good(item):
		case !member && d.good(key+".ips"):
			d.wrong(item, fmt.Sprintf("%q is not in this pool", ip), "want an address of ips")
		case weight < 1 || weight > mostWeight:
			d.wrong(item, fmt.Sprintf("%d is not a weight", weight), fmt.Sprintf("want 1 to %d; to take no mail, an address leaves the pool", mostWeight))
		}
	}
}

// validateHighRisk: what the pool does to the reputation of an address must not hit others' mail.
func (d *decoder) validateHighRisk(cfg *Config, name string, owners map[netip.Addr]string) {
	for i, ip := range cfg.Pools[name].IPs {
		if other, shared := owners[ip]; shared {
			d.wrong(fmt.Sprintf("pool.%s.ips[%d]", name, i), fmt.Sprintf("%q is in pool %q too: it would share the reputation of the high-risk mail", ip, other), "want addresses of its own")
		}
	}
}

// poolKnown judges a name of a pool.
func (d *decoder) poolKnown(cfg *Config, key, name string) {
	if _, found := cfg.Pools[name]; found || name == DefaultPool {
		return // a missing default pool is told at [pool]
	}
	d.judge(refers(key, "pool", name, slices.Sorted(maps.Keys(cfg.Pools)), "add [pool."+name+"]"))
}

func (d *decoder) validateTenants(cfg *Config) {
	names := map[string]string{}
	for i, t := range cfg.Tenants {
		key := fmt.Sprintf("tenant[%d]", i)
		if d.failedItself(key) {
			continue
		}
		d.validateName(key+".name", t.Name, "tenant", "acme", names)
		if !d.has(key + ".listen_port") {
			d.must(key+".sources", `sources = ["10.20.1.0/24"], the addresses of its MSAs, or a listen_port of its own`)
		}
		d.judge(filled(key+".sources", t.Sources, "empty: the tenant would have no mail", `want networks such as ["10.20.1.0/24"]`))
		d.validateDomains(key+".sender_domains", t.SenderDomains)
		d.poolKnown(cfg, key+".pool", t.Pool)
	}
	d.validateTenantListeners(cfg)
	d.validateSourceOverlap(cfg.Tenants)
	d.validateDomainOverlap(cfg.Tenants)
}

// validateTenantListeners: a port of its own makes a tenant known, whatever the addresses of its MSAs are.
func (d *decoder) validateTenantListeners(cfg *Config) {
	ports := map[int]string{} // by port, the key
	for i, t := range cfg.Tenants {
		port, interfaces := fmt.Sprintf("tenant[%d].listen_port", i), fmt.Sprintf("tenant[%d].interfaces", i)
		d.validateInterfaces(interfaces, t.Interfaces)
		if d.has(interfaces) && !d.has(port) {
			d.wrong(interfaces, "only a listener of its own gets what comes in by an interface", "add listen_port = 10026, a port that nothing else has")
		}
		d.judge(
			within(port, t.ListenPort, 1, 65535, "%d is not a port", "want 1 to 65535, such as 10026"),
			rule{port, nil, t.ListenPort != 25, "25 is the port that is intercepted", "want another port such as 10026"},
		)
		if !d.has(port) || !d.good(port) || t.ListenPort == 25 {
			continue
		}
		switch first, twice := ports[t.ListenPort]; {
		case twice:
			d.wrong(port, fmt.Sprintf("%d is another tenant's already, in line %d", t.ListenPort, d.line(first)), "want a port that nothing else has")
		case slices.ContainsFunc(cfg.Intercept.Listen, func(a netip.AddrPort) bool { return int(a.Port()) == t.ListenPort }):
			d.wrong(port, fmt.Sprintf("%d is the port of intercept.listen, which is for the tenants without one of their own", t.ListenPort), "want a port that nothing else has")
		}
		ports[t.ListenPort] = port
	}
	d.validateInterfaceOverlap(cfg.Tenants)
}

// validateInterfaceOverlap: what comes in by an interface is one tenant's.
func (d *decoder) validateInterfaceOverlap(list []Tenant) {
	var claims []claim
	for i, t := range list {
		for j, name := range t.Interfaces {
			c := claim{i, fmt.Sprintf("tenant[%d].interfaces[%d]", i, j), name}
			for _, first := range claims {
				if first.tenant != i && intercept.Meets(first.text, name) {
					d.wrong(c.key, fmt.Sprintf("%q overlaps with %q of tenant %q in line %d", name, first.text, list[first.tenant].Name, d.line(first.key)), "what comes in by an interface belongs to one tenant")
					break
				}
			}
			claims = append(claims, c)
		}
	}
}

// A claim is what a tenant says is its own, and where in the file.
type claim struct {
	tenant int
	key    string
	text   string
}

// validateSourceOverlap: of tenants without sender domains, a source can have only one.
func (d *decoder) validateSourceOverlap(list []Tenant) {
	var claims bart.Table[claim]
	each := func(visit func(c claim, source netip.Prefix)) {
		for i, t := range list {
			for j, source := range t.Sources {
				if (len(t.SenderDomains) == 0 || t.Kind == contain.Forwarder) && source.IsValid() {
					visit(claim{i, fmt.Sprintf("tenant[%d].sources[%d]", i, j), source.String()}, source)
				}
			}
		}
	}
	each(func(c claim, source netip.Prefix) {
		if first, twice := claims.Get(source); twice {
			d.overlap(c, list[first.tenant].Name, first)
			return
		}
		claims.Insert(source, c)
	})
	each(func(c claim, source netip.Prefix) {
		for wider, first := range claims.Supernets(source) {
			if wider != source {
				d.overlap(c, list[first.tenant].Name, first)
			}
		}
	})
}

func (d *decoder) overlap(c claim, name string, first claim) {
	d.wrong(c.key, fmt.Sprintf("%q overlaps with %q of tenant %q in line %d", c.text, first.text, name, d.line(first.key)),
		"a mail belongs to one tenant: if tenants share a source, give each of them sender_domains")
}

// validateDomainOverlap: behind a shared source, a sender domain can have only one tenant.
func (d *decoder) validateDomainOverlap(list []Tenant) {
	claims := mailbox.DomainMap[[]claim]{}
	var patterns []string
	for i, t := range list {
		for j, domain := range t.SenderDomains {
			pattern, _ := mailbox.Pattern(domain)
			patterns = append(patterns, pattern)
			claims.Put(pattern, append(claims.Said(pattern), claim{i, fmt.Sprintf("tenant[%d].sender_domains[%d]", i, j), domain}))
		}
	}
	slices.Sort(patterns)
	for _, pattern := range slices.Compact(patterns) {
		own := claims.Said(pattern)
		above := claims.Above(pattern)
		for n, c := range own {
			for _, rival := range append(slices.Concat(above...), own[:n]...) {
				if meet(list[c.tenant].Sources, list[rival.tenant].Sources) {
					d.overlap(c, list[rival.tenant].Name, rival)
					break
				}
			}
		}
	}
}

func meet(a, b []netip.Prefix) bool {
	return slices.ContainsFunc(a, func(x netip.Prefix) bool {
		return slices.ContainsFunc(b, x.Overlaps)
	})
}

func (d *decoder) validateRoutes(cfg *Config) {
	tenants, providers := []string{}, []string{}
	for _, t := range cfg.Tenants {
		tenants = append(tenants, t.Name)
	}
	for _, p := range cfg.providers {
		providers = append(providers, p.Name)
	}
	for i, r := range cfg.Routes {
		key := fmt.Sprintf("route[%d]", i)
		if d.failedItself(key) {
			continue
		}
		switch {
		case d.has(key + ".pool"):
			d.poolKnown(cfg, key+".pool", r.Pool)
		case !d.has(key+".rescue") && !d.has(key+".soften") && !d.has(key+".suspend") && !d.has(key+".rescue_per_hour"):
			d.wrong(key, "the route changes nothing",
				`add pool = "default", where its mail leaves from, or one of rescue, soften, suspend and rescue_per_hour`)
		}
		d.judge(
			perHour(key+".rescue_per_hour", r.PerHour),
			filled(key+".destination", r.Destinations, "empty", "remove it, or name a network"),
			rule{key + ".suspicion_min", r.SuspicionMin, r.SuspicionMin > 0 && r.SuspicionMin <= 1, "%g is not a score", "want a number above 0, at most 1"},
		)
		d.known(key+".tenant", "tenant", r.Tenants, tenants, "add a [[tenant]] of this name")
		if d.good("providers_file") {
			d.known(key+".provider", "provider", r.Providers, providers, "`kanmon explain` shows a recipient's provider; add your own in providers_file")
		}
		d.validateDomains(key+".sender_domain", r.SenderDomains)
		d.validateDomains(key+".recipient_domain", r.RecipientDomains)
		d.validateSenders(key+".sender", r.Senders)
		if r.NullSender && (d.has(key+".sender") || d.has(key+".sender_domain")) {
			d.wrong(key+".null_sender", "the null sender has no address: with sender or sender_domain the route never matches", "make two routes of it")
		}
	}
}

// known judges a list of names that stand elsewhere.
func (d *decoder) known(key, what string, names Names, known []string, want string) {
	d.judge(filled(key, names, "empty", "remove it, or name a "+what))
	for i, name := range names {
		d.judge(refers(fmt.Sprintf("%s[%d]", key, i), what, name, known, want))
	}
}

func (d *decoder) validateSenders(key string, senders Names) {
	d.judge(filled(key, senders, "empty", "remove it, or name an address; null_sender = true is for the null sender"))
	for i, sender := range senders {
		domain := mailbox.DomainOf(mailbox.Form([]byte(sender)))
		d.judge(rule{
			fmt.Sprintf("%s[%d]", key, i), sender, checkDomain(domain) == nil, "%q is not an address",
			`want "news@acme.example"; for a whole domain use sender_domain`,
		})
	}
}
