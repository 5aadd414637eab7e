package outlet

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/who/witness"
)

// Sites know what cannot be told apart because there is but one of it: MSAs, and recipient domains of a provider. The
// standing asks for several of both before it takes doubts for our IP's, which a small gateway and a small provider
// could never give it. They outlive reloads.
type sites struct {
	seed maphash.Seed

	first atomic.Pointer[netip.Addr] // MSA
	many  atomic.Bool                // there are others
	days  atomic.Uint64              // that heard began anew

	mu     sync.RWMutex
	heard  map[uint64]heardOf // by provider
	before map[uint64]heardOf // the same, of the day before
	since  time.Time          // begin of heard
}

// A heardOf is what was heard of the recipient domains of a provider.
type heardOf struct {
	domain uint64
	more   bool // than that one
}

const (
	maxHeard = 10_000
	heardFor = 24 * time.Hour
)

func newSites() *sites {
	return &sites{seed: maphash.MakeSeed(), heard: map[uint64]heardOf{}, since: time.Now()}
}

// from hears of an MSA.
func (s *sites) from(source netip.Addr) {
	if s.many.Load() {
		return
	}
	source = witness.Source(source)
	if !s.first.CompareAndSwap(nil, &source) && *s.first.Load() != source {
		s.many.Store(true)
	}
}

// oneTenant reports whether all mail is of one tenant, where so many are configured. Without any each MSA is one.
func (s *sites) oneTenant(configured int) bool {
	return configured == 1 || configured == 0 && !s.many.Load()
}

// to hears of a recipient's domain. It is asked for every mail, and does not allocate where there is nothing new.
func (s *sites) to(provider, domain string) {
	p, d := maphash.String(s.seed, provider), maphash.String(s.seed, domain)
	s.mu.RLock()
	h, known := s.heard[p]
	s.mu.RUnlock()
	if known && (h.more || h.domain == d) {
		return
	}
	if lower := strings.ToLower(domain); lower != domain {
		s.to(provider, lower)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, known = s.heard[p]; !known && len(s.heard) < maxHeard {
		s.heard[p] = heardOf{domain: d}
	} else if known && h.domain != d {
		s.heard[p] = heardOf{h.domain, true}
	}
}

// oneDestination reports whether all mail to a provider is to one domain, as far as is known; configured is how many it is known to have.
func (s *sites) oneDestination(provider string, configured int) bool {
	if configured > 1 {
		return false
	}
	p := maphash.String(s.seed, provider)
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.since) >= heardFor {
		s.before, s.heard, s.since = s.heard, map[uint64]heardOf{}, time.Now()
		s.days.Add(1)
	}
	now, known := s.heard[p]
	return !now.more && !s.before[p].more && (known || len(s.heard) < maxHeard)
}
