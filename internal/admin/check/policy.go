package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/outlet/trust"
	"kanmon/internal/outlet/trust/dns"
	"kanmon/internal/session"
)

// rootWithin is how long a DNS server may take to answer about the root, which every resolver has at hand.
const rootWithin = 2 * time.Second

// tlsPolicy: whether what MXs must prove can be found out, and is asked.
func (c *checker) tlsPolicy() {
	p := &c.Config.TLSPolicy
	enforced := p.On && p.Mode == config.TLSEnforce
	if c.Config.TLSReport.Socket != "" && !enforced {
		c.find(reportsUnused, "tls_report.socket", `no TLS report is made: [tls_policy] has no mode = "enforce"`, "")
	}
	for i := range c.Config.Destinations {
		if enforced && c.Config.Destinations[i].Passthrough {
			c.find(policyPassed, fmt.Sprintf("destination[%d].passthrough", i), "kanmon asks nothing of the MXs here, which it does not see: the MSA itself must", "")
		}
	}
	if p.On && !enforced {
		c.find(msaSettings, "tls_policy.mode", "kanmon observes. Before it enforces: MSAs must not want verified TLS themselves, and should ask the same resolver", "")
	}
	if p.On {
		c.resolvers(p)
		c.clock(p)
	}
}

// roots: whether anybody may vouch for MXs that have to prove who they are.
func (c *checker) roots() {
	p := &c.Config.TLSPolicy
	if !p.On && !slices.ContainsFunc(c.Config.Destinations, func(d config.Destination) bool { return d.TLS == session.TLSVerify }) {
		return
	}
	if _, err := trust.Roots(p.Roots); err != nil && !errors.As(err, new(*fs.PathError)) { // a file that cannot be opened is told as a file
		c.find(rootsNone, "tls_policy.roots", strings.TrimPrefix(err.Error(), "tls_policy.roots: "), "")
	}
}

// clockSlack is how far clocks may be apart.
const clockSlack = 10 * time.Minute

// clock: whether it shows a time that has been already. Certificates and policies are judged by it.
func (c *checker) clock(p *config.TLSPolicy) {
	now, key := c.Host.now().Add(clockSlack), "tls_policy.mode"
	if c.Host.Built.After(now) {
		c.find(clockBehind, key, fmt.Sprintf("this host's clock shows %s, and this kanmon was built at %s", stamped(c.Host.now()), stamped(c.Host.Built)), "")
		return
	}
	d := database{key: "tls_policy.store", path: p.Store}
	if info, err := os.Stat(p.Store); p.Store == "" || err != nil || c.Host.inUse(p.Store) || !info.Mode().IsRegular() || info.Size() == 0 {
		return
	}
	seen := int64(0)
	if err := d.ask(c.ctx, "SELECT coalesce(max(seen_ms), 0) FROM sts_clock", &seen); err == nil && time.UnixMilli(seen).After(now) {
		c.find(clockBehind, d.key, fmt.Sprintf("this host's clock shows %s, and %s has seen %s", stamped(c.Host.now()), p.Store, stamped(time.UnixMilli(seen))), "")
	}
}

func stamped(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// resolvers asks each DNS server about the root: whether that is signed says whether the server validates.
func (c *checker) resolvers(p *config.TLSPolicy) {
	const key = "tls_policy.resolver"
	given := ""
	if p.Resolver.IsValid() {
		given = p.Resolver.String()
	}
	servers, err := dns.Servers(given)
	if err != nil {
		c.unchecked("the resolver of [tls_policy]", err.Error())
		return
	}
	for _, server := range servers {
		switch a := c.Host.root(c.ctx, server); {
		case a.Outcome == dns.Failed:
			c.find(resolverSilent, key, fmt.Sprintf("%s does not answer: %v", server, a.Err), "")
		case p.DANE && !p.TrustAD && !onThisHost(server):
			c.find(resolverBlind, key, server+" is not on this host, and trust_ad is not set: what it says of DNSSEC proves nothing, so there is no DANE", "")
		case p.DANE && !a.Secure:
			c.find(resolverBlind, key, server+" does not validate DNSSEC: there is no DANE", "")
		}
	}
}

func onThisHost(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// root asks a DNS server about the root.
func (h *Host) root(ctx context.Context, server string) dns.Answer {
	if h.Root != nil {
		return h.Root(server)
	}
	return dns.Exchange(ctx, server, ".", dns.TypeSOA, rootWithin)
}
