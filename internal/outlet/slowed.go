package outlet

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/warm"
)

// A provider that is slow to answer one sending IP has not said of what there is too much. Where the operator wants anything to follow from that, all that
// is counted for all connections together is halved there; messages of one connection are not, since fewer of them are more connections. Where nobody
// knows how much the provider takes nothing is: an amount that nobody has a source for would have mail wait for what only seems to be.

// A lead is the shaping of the newest configuration: what the times say is of no session.
type lead struct {
	mu      sync.Mutex
	shaping *shaping // nil: nothing is counted
}

// Lead says whose configuration holds for what the times say from now on. Where nothing may follow from that, what they had taken is given back.
func (s *State) Lead(o *Outlet) {
	s.lead.mu.Lock()
	defer s.lead.mu.Unlock()
	s.lead.shaping = o.shaping
	if o.shaping == nil || !o.shaping.byTime {
		s.rooms.ForgetTimes()
		s.learnt.forgetTimes()
	}
}

// slowsDown tightens what a sending IP may have where something follows from a finding.
func (s *State) slowsDown(f *slow.Found) {
	if f.Did < slow.Slowed {
		return
	}
	if t, done := s.tightenByTime(&f.Key, f.Did == slow.Moved); done && s.tightened != nil {
		s.tightened(t)
	}
}

func (s *State) tightenByTime(k *slow.Key, worst bool) (told Tightened, done bool) {
	s.lead.mu.Lock()
	defer s.lead.mu.Unlock()
	of := s.lead.shaping
	if of == nil || !of.byTime || of.takes[k.Provider] == nil || s.warm.Room(k.IP, classOf(k.Provider)) != warm.Free {
		return told, false // one that warms up has a plan that says what it takes
	}
	takes := of.takes[k.Provider]
	t, done := of.rooms.TightenByTime(takes, k.IP, worst)
	return Tightened{Tightening: t, Observed: of.observe, Left: limitsText(of.rooms.ByTime(takes, k.IP))}, done
}

// Spared says what the times of mail have left of what a sending IP may have at a provider, and that nothing can be left where nobody knows how much
// that takes; "": they take nothing from anybody.
func (o *Outlet) Spared(k slow.Key) string {
	s := o.shaping
	if s == nil || !s.byTime {
		return ""
	}
	takes := s.takes[k.Provider]
	if takes == nil || !takes.KeepsTogether() {
		return "nobody knows how much it takes at once, or in a time: nothing is tightened"
	}
	left := limitsText(s.rooms.ByTime(takes, k.IP))
	switch {
	case left == "":
		return ""
	case s.observe:
		return left + " are left, observed and not enforced"
	default:
		return left + " are left"
	}
}

func limitsText(all []shape.Limit) string {
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = all[i].String()
	}
	return strings.Join(texts, ", ")
}

// Shaped is how a sending IP stands with one of a provider's limits.
type Shaped struct {
	Provider string
	shape.Shown
}

// Shaped says how a sending IP stands at the providers that an MX is known of, and where a reply, or time, has taken from an amount.
func (o *Outlet) Shaped(ip netip.Addr) []Shaped { return o.ShapedAt([]netip.Addr{ip})[ip] }

// ShapedAt is Shaped for several sending IPs.
func (o *Outlet) ShapedAt(ips []netip.Addr) map[netip.Addr][]Shaped {
	if o.shaping == nil {
		return nil
	}
	all, met := map[netip.Addr][]Shaped{}, o.providers.Met()
	for _, ip := range ips {
		all[ip] = o.shapedAt(ip, met)
	}
	return all
}

func (o *Outlet) shapedAt(ip netip.Addr, met map[string]bool) (all []Shaped) {
	for _, name := range slices.Sorted(maps.Keys(o.shaping.takes)) {
		shown := o.shaping.rooms.Show(o.shaping.takes[name], ip)
		if !met[name] && !slices.ContainsFunc(shown, func(s shape.Shown) bool { return s.Tightened() }) {
			continue
		}
		for _, s := range shown {
			all = append(all, Shaped{name, s})
		}
	}
	return all
}
