package outlet

import (
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Stuck remembers at which MXs a mail could not move to its sender's own sending IP: many take no second connection, or are slow to greet. There
// nobody moves for that alone for a while, and new sessions still begin where their mail belongs. The zero value is ready; all outlets share one.
type stuck struct {
	mu   sync.Mutex
	last *share.Map[netip.Addr, time.Time] // by MX
}

const (
	stuckFor = time.Hour
	maxStuck = 4096 // MXs; a tenant has its part
)

// add notes a mail that could not move.
func (s *stuck) add(mx netip.Addr, tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = share.NewMap[netip.Addr, time.Time](maxStuck).Until(func(at time.Time) bool { return time.Since(at) >= stuckFor })
	}
	s.last.Put(mx, time.Now(), tenant)
}

// has reports whether one could not lately.
func (s *stuck) has(mx netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return false
	}
	at, known := s.last.Get(mx)
	return known && time.Since(at) < stuckFor
}
