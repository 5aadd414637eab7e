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

// Unstuffed is what a scanner reads of a message in pieces, so many octets at once.
func Unstuffed(pieces [][]byte, most int) string {
	c := contentOf(pieces)
	var all []byte
	for in, p := c.open(), make([]byte, most); ; {
		n, err := in.Read(p)
		if all = append(all, p[:n]...); err != nil {
			break
		}
	}
	if int64(len(all)) != c.octets {
		return "octets do not add up"
	}
	return string(all)
}
