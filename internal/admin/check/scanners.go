package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"kanmon/internal/config"
)

// Scanners asks the scanners of content to prove that they work as they are configured.
type Scanners struct {
	Config *config.Config
	Probe  func(context.Context) ([]Proof, error)
}

// A Proof is what a scanner was asked to show.
type Proof struct {
	Scanner, Address, What string
	Err                    error // that it has not; nil: it has
}

var (
	scannerUnproved = declare(Kind{
		ID: "scanner-unproved", Severity: Warning,
		Meaning: "a scanner of content does not show, with a message of kanmon's own, that it works as it is configured",
		Why:     "mail would be judged by other rules than yours, or not at all, and nothing else would tell",
		Cure:    "docs/howto/content.md",
	})
	scannerPlain = declare(Kind{
		ID: "scanner-plain", Severity: Warning,
		Meaning: "a scanner of content is on another host, and is spoken to without TLS",
		Why:     "whoever is on the way reads the mail that is scanned",
		Cure:    "https:// in url of [[scanner]], or a proxy of the scanner on this host",
	})
	scannerStreams = declare(Kind{
		ID: "scanner-streams", Severity: Note,
		Meaning: "a tenant's rule diverts doubtful mail, and of messages that are streamed nothing is diverted",
		Why: "a message larger than hold_message, or to a slow MX, is at its MX already when the verdict comes: it leaves from where it is, " +
			"and its sender can make it that large",
		Cure: "on_spam = \"defer\" or \"refuse\", a larger hold_message, or leave it so: such mail has verdict divert and done accept in the records",
	})
)

// Run gives a finding for each thing that is not as it should be. Where no tenant's mail is scanned there is none.
func (s *Scanners) Run(ctx context.Context) []Finding {
	c := &checker{Site: Site{Config: s.Config, Host: &Host{}}, ctx: ctx}
	if !s.Config.Scans() {
		return nil
	}
	for i := range s.Config.Scanners {
		if one := &s.Config.Scanners[i]; isPlain(one.URL) {
			c.find(scannerPlain, fmt.Sprintf("scanner[%d].url", i), one.URL+" is not on this host", "")
		}
	}
	s.seeStreamed(c)
	all, err := s.Probe(ctx)
	if err != nil {
		c.unchecked("the scanners of content", err.Error())
	}
	for _, p := range all {
		if p.Err != nil {
			c.findAt(scannerUnproved, "scanner "+p.Scanner+" at "+p.Address, fmt.Sprintf("%s: %s", p.What, p.Err), "")
		}
	}
	Sort(c.findings)
	return c.findings
}

// seeStreamed tells of tenants whose mail is diverted only as far as it is held.
func (s *Scanners) seeStreamed(c *checker) {
	for i := range s.Config.Tenants {
		t := &s.Config.Tenants[i]
		if s.Config.Content.Enforce && t.Diverts() {
			what := fmt.Sprintf("tenant %s has mail diverted, which messages above %d octets are not", t.Name, s.Config.Content.HoldMessage)
			c.find(scannerStreams, "content.hold_message", what, "")
			return // one tells of all
		}
	}
}

// isPlain reports whether what is sent to an address can be read on its way. A name may lead anywhere.
func isPlain(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "https" || u.Scheme == "unix" {
		return false
	}
	host := u.Hostname()
	if host == "" {
		host, _, _ = net.SplitHostPort(u.Host)
	}
	ip, err := netip.ParseAddr(host)
	return host != "localhost" && (err != nil || !ip.IsLoopback())
}
