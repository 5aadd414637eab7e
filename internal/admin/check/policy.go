package check

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/outlet/trust/dns"
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
	if p.On {
		c.resolvers(p)
	}
}

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
