package event

import "kanmon/internal/event/word"

// A Count is what a provider takes only so much of from one sending IP.
type Count uint8

// The counts. Uncounted is none of them.
const (
	Uncounted               Count = iota
	Connections                   // at once
	NewConnections                // in a time
	Messages                      // in a time
	Recipients                    // in a time
	MessagesPerConnection         // of one
	RecipientsPerConnection       // of one
	RecipientsPerMessage          // of one
	CountCount
)

var counts = word.List[Count](
	"count", "", "connections", "new_connections", "messages", "recipients", "messages_per_connection", "recipients_per_connection", "recipients_per_message",
).Between(Connections, RecipientsPerMessage)

// String returns the count as configuration, rules and records have it.
func (c Count) String() string { return counts.Text(c) }

// UnmarshalText reads a count.
func (c *Count) UnmarshalText(text []byte) error { return counts.Read(text, c) }

// Words returns the counts.
func (Count) Words() []string { return counts.Words() }

// IsTogether reports whether it is counted for all connections together.
func (c Count) IsTogether() bool { return c >= Connections && c <= Recipients }

// IsRate reports whether so many are allowed in a time.
func (c Count) IsRate() bool { return c >= NewConnections && c <= Recipients }
