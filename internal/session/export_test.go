package session

import (
	"time"

	"kanmon/internal/event"
)

// FieldsOf is fieldsOf.
var FieldsOf = fieldsOf

// KeptOctets is what all sessions keep of messages under way.
func KeptOctets(l *Live) int64 { return l.bodies.octets() }

// NewID gives an ID.
func NewID(l *Live, now time.Time) event.ID { return l.newID(now) }
