package daemon

import (
	"sync"

	"kanmon/internal/session"
	"kanmon/internal/standing"
)

// Probes are the sessions that have been let in to probe a suspended sending IP. Such a session may connect once more.
type probes struct {
	mu   sync.Mutex
	open map[standing.Key]*probe // the last one of each key: one that went on for too long has been given up by the standing
}

type probe struct {
	number      uint64 // of the permit
	session     session.ID
	connections int
}

// began notes a connection of a probe.
func (p *probes) began(key standing.Key, number uint64, s session.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[standing.Key]*probe)
	}
	if last := p.open[key]; last == nil || last.number != number {
		p.open[key] = &probe{number: number, session: s}
	}
	p.open[key].connections++
}

// of gives the number of the probe that this session was let in as; 0 if it was not. The probe may be over: the standing knows.
func (p *probes) of(key standing.Key, s session.ID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.open[key]; last != nil && last.session == s {
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
