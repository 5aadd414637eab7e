package daemon

import (
	"net/netip"
	"sync"

	"kanmon/internal/standing"
)

// Probes are the sessions that have been let in to probe a suspended sending IP. Such a session may connect once more.
type probes struct {
	mu   sync.Mutex
	open map[standing.Key]*probe
}

type probe struct {
	source      netip.Addr // the MSA
	connections int
}

func (p *probes) began(key standing.Key, source netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[standing.Key]*probe)
	}
	if p.open[key] == nil {
		p.open[key] = &probe{source: source}
	}
	p.open[key].connections++
}

// of says whether this MSA's session is the probe.
func (p *probes) of(key standing.Key, source netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[key] != nil && p.open[key].source == source
}

// ended says whether that was the probe's last connection.
func (p *probes) ended(key standing.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[key] == nil {
		return false
	}
	if p.open[key].connections--; p.open[key].connections > 0 {
		return false
	}
	delete(p.open, key)
	return true
}
