package route

import (
	"maps"
	"net/netip"
	"sync/atomic"
)

// Shares know which sending IPs have not the part of their pools that their weights say, but less of it: those that
// warm up. What they will have with their full weight comes to them bit by bit as the share grows, and nothing goes
// back. All routers of a process share one. It is safe for concurrent use; the zero value, and a nil one, leave all
// weights as they are.
type Shares struct {
	parts   atomic.Pointer[parts]
	changes atomic.Uint64
}

// parts are never changed: who has seen one may keep what it has made of it.
type parts map[netip.Addr]float64

// Changes returns a number that is another one whenever a share is.
func (s *Shares) Changes() uint64 {
	if s == nil {
		return 0
	}
	return s.changes.Load()
}

// Set gives the shares, 0 to 1, of those that have not all.
func (s *Shares) Set(shares map[netip.Addr]float64) {
	defer s.changes.Add(1)
	if len(shares) == 0 {
		s.parts.Store(nil)
		return
	}
	p := parts(maps.Clone(shares))
	s.parts.Store(&p)
}

// now gives them; nil in nearly all cases.
func (s *Shares) now() *parts {
	if s == nil {
		return nil
	}
	return s.parts.Load()
}

// A scaled list is one with weights as the shares make them.
type scaled struct {
	of *parts
	candidates
}

// with gives the candidates with their shares. They are made once, for as long as the shares hold.
func (c *candidates) with(p *parts) *candidates {
	if p == nil {
		return c
	}
	if made := c.scaled.Load(); made != nil && made.of == p {
		return &made.candidates
	}
	made := &scaled{of: p}
	made.list = make([]candidate, len(c.list))
	copy(made.list, c.list)
	for i := range made.list {
		if share, less := (*p)[made.list[i].Address]; less {
			made.list[i].weight *= share
		}
	}
	made.even = isEven(made.list)
	c.scaled.Store(made)
	return &made.candidates
}

func isEven(list []candidate) bool {
	for i := range list {
		if list[i].weight != list[0].weight {
			return false
		}
	}
	return true
}
