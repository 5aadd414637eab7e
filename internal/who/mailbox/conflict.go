package mailbox

import "kanmon/internal/event/word"

// A Conflict says which field counts where a message has several that name different accounts, or one that names nobody.
type Conflict uint8

// The ways out of a conflict.
const (
	ConflictDefer Conflict = iota // none: the message is deferred
	ConflictFirst
	ConflictLast
)

var conflicts = word.List[Conflict]("way out", "defer", "first", "last")

// String returns the way out as the configuration has it.
func (c Conflict) String() string { return conflicts.Text(c) }

// UnmarshalText reads a way out.
func (c *Conflict) UnmarshalText(text []byte) error { return conflicts.Read(text, c) }

// Words returns the ways out.
func (Conflict) Words() []string { return conflicts.Words() }
