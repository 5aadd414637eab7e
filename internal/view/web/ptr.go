package web

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/internal/view/find"
)

// A ptrBook has the PTR names of sending IPs, which letters to postmasters name. They are looked up behind the page: where DNS does not answer, a page waits
// only a moment for them, and has them when it is loaded again.
type ptrBook struct {
	mu    sync.Mutex
	known map[netip.Addr]*ptrName
}

type ptrName struct {
	name    string
	until   time.Time     // then it is looked up again
	looking chan struct{} // closed when the first look has ended
}

const (
	ptrMoment  = 150 * time.Millisecond // that a page waits
	ptrLook    = 10 * time.Second       // that DNS is given
	ptrHolds   = 10 * time.Minute
	ptrFailed  = time.Minute // until what has not been found is looked up again
	maxPTRs    = 1024
	mostPTRIPs = 16 // of one page
)

// of gives the names of sending IPs, as far as they are known, or get known within a moment.
func (b *ptrBook) of(s *Server, ips []netip.Addr) find.Names {
	moment := time.NewTimer(ptrMoment)
	defer moment.Stop()
	names := find.Names{}
	var all []*ptrName
	for _, ip := range ips[:min(len(ips), mostPTRIPs)] {
		all = append(all, b.one(s, ip))
	}
	late := false
	for i, one := range all {
		if !late {
			select {
			case <-one.looking:
			case <-moment.C:
				late = true
			}
		}
		b.mu.Lock()
		names[ips[i]] = one.name
		b.mu.Unlock()
	}
	return names
}

// one gives what is known of an IP, and has it looked up where that is too old.
func (b *ptrBook) one(s *Server, ip netip.Addr) *ptrName {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	one := b.known[ip]
	switch {
	case one == nil:
		if b.known == nil || len(b.known) >= maxPTRs {
			b.known = map[netip.Addr]*ptrName{}
		}
		one = &ptrName{looking: make(chan struct{})}
		b.known[ip] = one
	case now.Before(one.until):
		return one
	}
	first := one.until.IsZero()
	one.until = now.Add(ptrLook + time.Second) // nobody else looks meanwhile
	s.streams.Go(func() { b.look(s, ip, one, first) })
	return one
}

func (b *ptrBook) look(s *Server, ip netip.Addr, one *ptrName, first bool) {
	ctx, end := context.WithTimeout(s.life, ptrLook)
	defer end()
	found, err := s.Names.LookupAddr(ctx, ip.String())
	b.mu.Lock()
	defer b.mu.Unlock()
	one.until = time.Now().Add(ptrFailed)
	if err == nil && len(found) > 0 {
		one.name, one.until = strings.TrimSuffix(slices.Min(found), "."), time.Now().Add(ptrHolds) // of several always the same
	}
	if first {
		close(one.looking)
	}
}
