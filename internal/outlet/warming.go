package outlet

import (
	"net/netip"
	"strings"

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
// is.
func (s *State) StandingChanged(c *standing.Change) {
	if c.State != standing.Suspended && c.State != standing.Slowed || c.Session == 0 && c.By != standing.ByCheck {
		return // it was ordered, or is better than before
	}
	name, part := standing.Split(c.Provider)
	class := classOf(name)
	whole := c.State == standing.Suspended && part == "" && class != warm.Others || c.Provider == standing.Every
	s.warm.Found(c.IP, class, strangerOf(name), whole, findingOf(c))
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

// strangerOf names, of all others, the one at a destination, by the provider of its standing's key: its network.
func strangerOf(provider string) string {
	if mx, err := netip.ParseAddr(strings.TrimPrefix(provider, witness.Strange)); err == nil {
		return witness.Network(mx).String()
	}
	return ""
}

// classOf gives the class of a destination by the provider of its standing's key.
func classOf(provider string) string {
	if strings.HasPrefix(provider, witness.Strange) {
		return warm.Others
	}
	return provider
}
