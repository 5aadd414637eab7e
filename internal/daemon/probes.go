package daemon

import (
	"net/netip"
	"sync"

	"kanmon/internal/standing"
)

// Probes are the sessions that have been let in to probe a suspended sending IP. Such a session may connect once more.
type probes struct {
	mu   sync.Mutex
	open map[standing.Key]*probe // the last one of each key: one that went on for too long has been given up by the standing
}

type probe struct {
	number      uint64     // of the permit
	source      netip.Addr // the MSA
	connections int
}

// began notes a connection of a probe.
func (p *probes) began(key standing.Key, number uint64, source netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[standing.Key]*probe)
	}
	if last := p.open[key]; last == nil || last.number != number {
		p.open[key] = &probe{number: number, source: source}
	}
	p.open[key].connections++
}

// of gives the number of the probe that this MSA's session is; 0 if it is none.
func (p *probes) of(key standing.Key, source netip.Addr) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.open[key]; last != nil && last.source == source {
		return last.number
	}
	return 0
}

// ended says whether that was the probe's last connection.
func (p *probes) ended(key standing.Key, number uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.open[key]
	if last == nil || last.number != number {
		return false
	}
	if last.connections--; last.connections > 0 {
		return false
	}
	delete(p.open, key)
	return true
}
