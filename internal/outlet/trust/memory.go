package trust

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/who/share"
)

// A Memory is what outlives a configuration: names that were proved, and what would have been refused. It is safe for concurrent use.
type Memory struct {
	any     atomic.Bool // there are names
	mu      sync.Mutex
	names   *share.Map[netip.AddrPort, proved]
	refused *share.Map[seen, *Refusal]
}

// A proved is a name that an MX has proved.
type proved struct {
	name string
	at   time.Time
}

// A seen is whose mail would have been refused: that to a domain, or, where nobody can read which domain it is, that of who writes so.
type seen struct {
	domain string
	of     string // without a domain
}

// A Refusal is what would have been refused, had it been enforced.
type Refusal struct {
	Domain      string     // "": of recipients whose domain nobody can read
	Of          string     // without a Domain: the tenant that writes so, or its MSA
	MX          netip.Addr // the last one
	Policy      event.TrustPolicy
	Why         event.TrustReason
	Detail      string
	Perhaps     bool // each time: another name in the handshake, or no ticket, might have done better
	Times       int
	First, Last time.Time
}

const (
	mostProved  = 4096
	mostRefused = 4096
	provedFor   = 24 * time.Hour
	refusedFor  = 7 * 24 * time.Hour
)

// NewMemory makes a Memory.
func NewMemory() *Memory {
	return &Memory{
		names:   share.NewMap[netip.AddrPort, proved](mostProved).Until(func(p proved) bool { return time.Since(p.at) >= provedFor }),
		refused: share.NewMap[seen, *Refusal](mostRefused).Until(func(r *Refusal) bool { return time.Since(r.Last) >= refusedFor }),
	}
}

// name returns the name that was proved at an address last; "": none.
func (m *Memory) name(mx netip.AddrPort, now time.Time) string {
	if !m.any.Load() {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, found := m.names.Get(unmapped(mx)); found && now.Sub(p.at) < provedFor {
		return p.name
	}
	return ""
}

// learn notes a name that was proved. It counts in the part of the MX's network: whoever has many addresses presses no other.
func (m *Memory) learn(mx netip.AddrPort, name string, now time.Time) {
	if name == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names.Put(unmapped(mx), proved{name, now}, networkOf(mx.Addr()))
	m.any.Store(true)
}

// forget notes that an MX does not bear a name.
func (m *Memory) forget(mx netip.AddrPort, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mx = unmapped(mx)
	if p, found := m.names.Get(mx); found && p.name == name {
		m.names.Delete(mx)
	}
}

func unmapped(mx netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(mx.Addr().Unmap(), mx.Port())
}

// networkOf names the /24 or /48 of an address.
func networkOf(addr netip.Addr) string {
	bits := 48
	if addr = addr.Unmap(); addr.Is4() {
		bits = 24
	}
	network, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}

// note notes what would have been refused.
func (m *Memory) note(whose seen, by string, l *session.TrustLeg, j *judged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.refused.Get(whose)
	if !found || l.Now.Sub(r.Last) >= refusedFor {
		r = &Refusal{Domain: whose.domain, Of: whose.of, First: l.Now, Perhaps: true}
		m.refused.Put(whose, r, by)
	}
	r.MX, r.Policy, r.Why, r.Detail, r.Last = l.MX.Addr().Unmap(), j.policy, j.why, event.Printable(j.detail, mostDetail), l.Now
	r.Perhaps = r.Perhaps && (j.shows != "" || j.fresh)
	r.Times++
}

// WouldRefuse returns what would have been refused in the last seven days, by domain. That of which no domain can be read is first.
func (m *Memory) WouldRefuse(now time.Time) (all []Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.refused.All() {
		if now.Sub(r.Last) < refusedFor {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(x, y Refusal) int { return cmp.Or(cmp.Compare(x.Domain, y.Domain), cmp.Compare(x.Of, y.Of)) })
	return all
}
