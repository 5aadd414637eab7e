package config

import (
	"context"
	"fmt"
	"strings"
)

// Severity says whether kanmon can run with a finding.
type Severity uint8

// The severities.
const (
	SeverityWarning Severity = iota // it runs, but not as the configuration promises
	SeverityError                   // it cannot run
)

// String gives the severity as it stands in front of a finding.
func (s Severity) String() string {
	if s == SeverityError {
		return "error"
	}
	return "warning"
}

// A Finding is something that the configuration asks for and the host does not give.
type Finding struct {
	Severity Severity
	Where    string // "kanmon.toml:12: sending_ip[0].address", or a setting of the host
	What     string
	Fix      string // what would be right, where possible the command
}

// String shows the finding in the form of an [Error].
func (f Finding) String() string {
	text := fmt.Sprintf("%s: %s: %s", f.Severity, f.Where, f.What)
	if f.Fix != "" {
		text += "\n      = " + f.Fix
	}
	return text
}

// Check compares a configuration with this host. It sends no traffic, changes nothing, and ends early with ctx.
func Check(ctx context.Context, cfg *Config) []Finding {
	return (&Host{}).Check(ctx, cfg)
}

// Check compares a configuration with the host.
func (h *Host) Check(ctx context.Context, cfg *Config) []Finding {
	c := &checker{host: h, cfg: cfg}
	for _, check := range []func(){
		c.addresses,
		c.pools,
		c.routes,
		c.providers,
		c.scope,
		c.exclusion,
		c.privileges,
		c.descriptors,
		c.kernel,
		c.tproxy,
		c.certificate,
		c.journal,
		c.memory,
		c.drain,
	} {
		if ctx.Err() != nil {
			break
		}
		check()
	}
	return c.findings
}

// A checker collects findings.
type checker struct {
	host     *Host
	cfg      *Config
	findings []Finding
}

func (c *checker) fail(key, what, fix string) {
	c.findings = append(c.findings, Finding{SeverityError, c.where(key), what, fix})
}

func (c *checker) warn(key, what, fix string) {
	c.findings = append(c.findings, Finding{SeverityWarning, c.where(key), what, fix})
}

// where names a key with the line of the file that sets it; a default has no line.
func (c *checker) where(key string) string {
	if line, set := c.cfg.lines[key]; set {
		return fmt.Sprintf("%s:%d: %s", c.cfg.file, line, key)
	}
	return key
}

// said reports whether the file sets a key: what a person has switched off is no surprise.
func (c *checker) said(key string) bool {
	_, set := c.cfg.lines[key]
	return set
}

// addresses: mail can only leave from an address that the host has.
func (c *checker) addresses() {
	local, err := c.host.addresses()
	if err != nil {
		c.warn("sending_ip", "the addresses of this host could not be read: "+err.Error(), "")
		return
	}
	v4, v6 := 0, 0
	for i, ip := range c.cfg.SendingIPs {
		if ip.Address.Is4() {
			v4++
		} else {
			v6++
		}
		if !local[ip.Address] && !ip.Address.IsLoopback() {
			c.fail(fmt.Sprintf("sending_ip[%d].address", i), fmt.Sprintf("%s is not an address of this host", ip.Address),
				fmt.Sprintf("ip address add %s/%d dev INTERFACE%s", ip.Address, ip.Address.BitLen(), deprecated(ip.Address.Is4())))
		}
	}
	for i, l := range c.cfg.Intercept.Listen {
		if !local[l.Addr()] && !l.Addr().IsUnspecified() && !l.Addr().IsLoopback() {
			c.fail(fmt.Sprintf("intercept.listen[%d]", i), fmt.Sprintf("%s is not an address of this host", l.Addr()), "listen on an address of the interface that the MSAs are behind")
		}
	}
	if v4 > 0 && v6 == 0 && listensFor(c.cfg.Intercept.Listen, false) {
		c.warn("sending_ip", "none is IPv6: mail to IPv6 addresses of MXs is refused with 421, and the MSAs go on to IPv4", "add an IPv6 sending IP, or listen on IPv4 only")
	}
	if v6 > 0 && v4 == 0 && listensFor(c.cfg.Intercept.Listen, true) {
		c.warn("sending_ip", "none is IPv4: mail to IPv4 addresses of MXs is refused with 421", "add an IPv4 sending IP")
	}
}

// deprecated keeps the kernel from choosing the new IPv6 address for other traffic of the host.
func deprecated(v4 bool) string {
	if v4 {
		return ""
	}
	return " preferred_lft 0"
}

// scope: without sources, interfaces and local there is no mail to intercept.
func (c *checker) scope() {
	in := &c.cfg.Intercept
	if !in.Local && len(in.Sources)+len(in.Interfaces) == 0 && !c.cfg.tenantInterfaces() {
		c.warn("intercept", "nobody's mail is intercepted", `add sources = ["10.20.0.0/16"], interfaces = ["eth1"] or local = true`)
	}
	c.interfaces("intercept.interfaces", in.Interfaces)
	for i, t := range c.cfg.Tenants {
		c.interfaces(fmt.Sprintf("tenant[%d].interfaces", i), t.Interfaces)
	}
}

func (c *checker) interfaces(key string, names []string) {
	for i, name := range names {
		if !strings.HasSuffix(name, "*") && !c.host.hasInterface(name) {
			c.warn(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("this host has no interface %q", name), "ip link show")
		}
	}
}

// exclusion: the rules know kanmon's own traffic by its user.
func (c *checker) exclusion() {
	in := &c.cfg.Intercept
	if in.User == "" || !in.Local && !in.ManageRules {
		return
	}
	if err := c.host.lookupUser(in.User); err != nil {
		c.fail("intercept.user", fmt.Sprintf("there is no user %q, so the rules cannot leave its traffic alone", in.User), "useradd --system --no-create-home --shell /usr/sbin/nologin "+in.User)
	}
}

// Capabilities, as numbered in capabilities(7).
const (
	capNetAdmin = 12
	capNetRaw   = 13
)

// memory that ends with the process: what was learnt of sending IPs and senders, and what people have decided.
func (c *checker) memory() {
	if len(c.cfg.SendingIPs) > 0 && c.cfg.Standing.File == "" && !c.said("standing.file") {
		c.warn("standing.file", "which sending IPs are suspended, and by whom, is forgotten at a restart", `add file = "/var/lib/kanmon/standing.db" to [standing]`)
	}
	if (len(c.cfg.Tenants) > 0 || len(c.cfg.SenderLimits) > 0) && c.cfg.Senders.File == "" && !c.said("senders.file") {
		c.warn("senders.file", "blocks, limits by hand and what was learnt of senders are forgotten at a restart, and there is no audit", `add file = "/var/lib/kanmon/senders.db" to [senders]`)
	}
}

// privileges of this process: those of the service may differ, hence no errors.
func (c *checker) privileges() {
	in := &c.cfg.Intercept
	if err := c.host.lookPath("nft"); err != nil {
		problem, fix := "the program nft is not installed", "apt-get install nftables"
		if in.ManageRules {
			c.fail("intercept.manage_rules", problem, fix)
		} else {
			c.warn("intercept.manage_rules", problem+": `kanmon rules apply` needs it", fix)
		}
	}
	if in.ManageRules {
		if !c.host.capable(capNetAdmin) {
			c.warn("intercept.manage_rules", "applying rules needs CAP_NET_ADMIN, which this process lacks", "use manage_rules = false with kanmon-rules.service, or add AmbientCapabilities=CAP_NET_ADMIN to kanmon.service")
		}
	}
	raw := c.host.capable(capNetRaw) || c.host.capable(capNetAdmin)
	if in.Mode == ModeTProxy && !raw && !c.host.SocketsGiven {
		c.warn("intercept.mode", "a transparent listener needs CAP_NET_RAW, which this process lacks", "use kanmon.socket, or add AmbientCapabilities=CAP_NET_RAW to kanmon.service")
	}
	if in.Mark != 0 && !raw {
		c.warn("intercept.mark", "marking connections needs CAP_NET_RAW, which this process lacks", `use user = "kanmon" instead of mark, or add AmbientCapabilities=CAP_NET_RAW to kanmon.service`)
	}
}
