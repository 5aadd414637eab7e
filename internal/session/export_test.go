package session

import (
	"time"

	"kanmon/internal/event"
)

// FieldsOf is fieldsOf.
var FieldsOf = fieldsOf

// KeptOctets is what all sessions keep of messages under way.
func KeptOctets(l *Live) int64 {
	b := &l.bodies
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(b.pieces.All()+b.common) * outBuffer
}

// NewID gives an ID.
func NewID(l *Live, now time.Time) event.ID { return l.newID(now) }

// Watched is how many MSAs are watched while an MX is waited for.
func Watched(l *Live) int {
	l.hangUps.mu.Lock()
	defer l.hangUps.mu.Unlock()
	return len(l.hangUps.waits)
}
