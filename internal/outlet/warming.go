package outlet

import (
	"net/netip"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/who/witness"
)

// openWarm opens what is kept of sending IPs that warm up: in the file of the standing, where there is one.
func openWarm(o *StateOptions, shares *route.Shares) (*warm.Book, error) {
	options := warm.Options{Clock: o.Clock, Log: o.Log, Shares: shares.Set, News: o.Warmed}
	if o.File != nil {
		options.Store = warm.NewTable(o.File)
	}
	return warm.New(options)
}

// Warming gives what is known of the sending IPs that warm up.
func (s *State) Warming() *warm.Book { return s.warm }

// StandingChanged tells of a standing that has changed. What evidence has suspended or slowed is a finding of the day
// for an IP that warms up: about the provider alone, but where a provider with a name has suspended it, or the whole IP
// is. What one of its customers has led to, or an MX of nobody's, is a witness' word.
func (s *State) StandingChanged(c *standing.Change) {
	if c.State != standing.Suspended && c.State != standing.Slowed || c.Session == 0 && c.By != standing.ByCheck {
		return // it was ordered, or is better than before
	}
	name, part := standing.Split(c.Provider)
	class := classOf(name)
	whole := c.State == standing.Suspended && part == "" && class != warm.Others || c.Provider == standing.Every
	by := voiceAt(c.Provider, c.Tenant)
	if by.Receiver != "" && by.Tenant == "" && c.By != standing.ByCheck {
		return // nobody knows any more whose mail it was: it may be the other witness's
	}
	s.warm.Found(c.IP, class, by, whole, findingOf(c))
}

func findingOf(c *standing.Change) string {
	text := c.State.String()
	if c.Provider != standing.Every {
		text += " at " + c.Provider
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// voiceAt says who has spoken where a standing's key is, with a tenant's mail: a provider itself, one of its customers, or a stranger.
func voiceAt(provider, tenant string) warm.Voice {
	name, part := standing.Split(provider)
	if mx, err := netip.ParseAddr(strings.TrimPrefix(name, witness.Strange)); err == nil {
		return voiceOf(&witness.Receiver{Domain: part, MX: mx}, tenant)
	}
	switch mx, err := netip.ParseAddr(strings.Trim(part, "[]")); {
	case part == "":
		return warm.Voice{}
	case err == nil:
		return voiceOf(&witness.Receiver{MX: mx}, tenant)
	}
	return voiceOf(&witness.Receiver{Domain: part}, tenant)
}

// voiceOf is a witness: two are two if nothing that is known of them is the same.
func voiceOf(r *witness.Receiver, tenant string) warm.Voice {
	v := warm.Voice{Tenant: tenant}
	var known []string
	if r.MX.IsValid() {
		known = append(known, witness.Network(r.MX).String())
	}
	for _, domain := range [...]string{r.Host, r.Domain} {
		if domain != "" && !strings.ContainsAny(domain, "[| \t") {
			known = append(known, witness.Registered(domain))
		}
	}
	v.Receiver = strings.Join(known, " ")
	return v
}

// speaker says whose word a refusal is that a class may rest for; ok is false where it is nobody's: it may repeat what the message says, or be of any of
// several recipients' domains. A provider that says nothing has done so itself, where its customers run no MX.
func (p *plea) speaker() (v warm.Voice, ok bool) {
	r, tenant, o := p.receiver, p.tenant, p.o
	if o.sites.oneTenant(o.tenants) {
		tenant = "" // nobody can tell two apart
	}
	if p.Code != 0 && (p.nobodys || p.Partial && p.Phase >= event.PhaseBody) {
		return v, false
	}
	domain := p.domain
	if p.Code == 0 {
		domain = ""
	}
	switch {
	case r.Provider == "":
		return voiceOf(&r, tenant), true
	case o.providers.OwnWord(r.Provider, domain, p.Text):
		return v, true
	case p.domain == "":
		return voiceOf(&witness.Receiver{MX: p.mx()}, tenant), true
	}
	return voiceOf(&witness.Receiver{Domain: p.domain}, tenant), true // a provider's customers are told apart by their domains
}

// classOf gives the class of a destination by the provider of its standing's key.
func classOf(provider string) string {
	if strings.HasPrefix(provider, witness.Strange) {
		return warm.Others
	}
	return provider
}
