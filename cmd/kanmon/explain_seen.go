package main

import (
	"net/netip"

	"kanmon/internal/config"
	"kanmon/internal/outlet/route"
)

// A hostSeen is what this host has of a configuration's sending IPs.
type hostSeen struct {
	lacks []netip.Addr // none of their pools, as for a kanmon that runs here
	words string       // for who reads; "": it has all
}

// seenOf looks at the host. One that has none of them is no gateway yet: what the file says is explained then.
func (c *console) seenOf(cfg *config.Config) (seen hostSeen) {
	if c.lacks == nil || len(cfg.SendingIPs) == 0 {
		return seen
	}
	lacks, err := c.lacks(cfg)
	if err != nil {
		seen.words = "not looked at: " + err.Error() + "; what follows is as if it had all sending IPs"
		return seen
	}
	switch seen.lacks = lacks; len(lacks) {
	case 0:
	case len(cfg.SendingIPs):
		seen.lacks = nil
		seen.words = "it has none of the sending IPs, and no mail leaves from it; what follows is as if it had them"
	default:
		seen.words = "no mail leaves from " + texts(seen.lacks) + " until it is on this host (kanmon check)"
	}
	return seen
}

// refused says of mail that it does not leave at all, whoever's it is or is said to be.
func (p *explanation) refused(router *route.Router, q route.Query, destinations []netip.Addr) {
	for _, to := range destinations {
		owner := router.Owner(p.known(q, to))
		switch {
		case q.Source.IsValid() && owner.Tenant == "" && !owner.Later:
			p.line("refused", "451: no tenant claims this mail, and it leaves from nowhere (unknown_tenant of [senders])")
			return
		case owner.Spoofed == "":
			continue
		case p.cfg.Senders.Spoofing == config.SpoofingRefuse:
			p.line("refused", "550: its sender's domain is that of tenant "+owner.Spoofed+" (spoofing of [senders]); forwarded mail of an account that is marked so is not")
		default:
			p.line("spoofed", "the records tell that its sender's domain is that of tenant "+owner.Spoofed+", and nothing is done (spoofing of [senders])")
		}
		return
	}
}

// unasked says what is the running kanmon's to say: blocks may refuse this mail, and a suspended sending IP is none that it leaves from.
func (p *explanation) unasked() {
	p.line("not seen", "what people have blocked or suspended, containment, limits, and what stands against sending IPs:")
	p.line("", "kanmon account explain ADDRESS, kanmon tenant explain NAME, kanmon ip list")
}
