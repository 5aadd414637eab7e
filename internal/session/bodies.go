package session

import (
	"sync"

	"kanmon/internal/who/share"
)

// Bodies count the memory of all messages that are kept in case their dot is refused, in pieces of outBuffer octets.
// Where there are several tenants each has a part of it. The zero bodies are ready.
type bodies struct {
	mu     sync.Mutex
	pieces share.Places[holder]
	common int // of sessions without several tenants, whose pieces are nobody's part
}

// take takes a piece for a session; false if there is none for it.
func (b *bodies) take(s *session) bool {
	most := int(s.e.Rescue.bodiesBytes() / outBuffer)
	if s.e.Tenant == nil {
		return b.takeCommon(most)
	}
	whose := s.sharer()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pieces.Take(whose, share.Bounds{Most: most - b.common, Reserve: most})
}

func (b *bodies) takeCommon(most int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pieces.All()+b.common >= most {
		return false
	}
	b.common++
	return true
}

// give gives pieces back.
func (b *bodies) give(s *session, pieces int) {
	var whose holder
	if s.e.Tenant != nil {
		whose = s.sharer()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.e.Tenant == nil {
		b.common -= pieces
		return
	}
	for range pieces {
		b.pieces.Give(whose)
	}
}

// octets is the memory of all pieces.
func (b *bodies) octets() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(b.pieces.All()+b.common) * outBuffer
}
