package session

import (
	"sync"

	"kanmon/internal/who/share"
)

// Bodies count the memory of all messages that are kept in case their dot is refused, in pieces of outBuffer octets. Where there are several
// tenants each has a part of it. The zero bodies are ready.
type bodies struct {
	mu     sync.Mutex
	pieces share.Places[holder]
}

// take takes a piece for a session; false if there is none for it.
func (b *bodies) take(s *session) bool {
	whose, most := bodyOwner(s), int(s.e.Rescue.bodiesBytes()/outBuffer)
	bounds := share.Bounds{Most: most}
	if s.e.Tenant != nil {
		bounds.Reserve = most
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pieces.Take(whose, bounds)
}

// give gives pieces back.
func (b *bodies) give(s *session, pieces int) {
	whose := bodyOwner(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	for range pieces {
		b.pieces.Give(whose)
	}
}

// bodyOwner is whose part a session's pieces are of; without several tenants there are no parts.
func bodyOwner(s *session) holder {
	if s.e.Tenant == nil {
		return holder{}
	}
	return s.sharer()
}

// octets is what is kept now.
func (b *bodies) octets() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(b.pieces.All()) * outBuffer
}
