package content

import "kanmon/internal/event/word"

// A Mode says how much of a tenant's mail is scanned.
type Mode uint8

// The modes.
const (
	Off    Mode = iota // none
	Sample             // that of new and of doubtful accounts, and a part of the rest that nobody can predict
	All
)

var modes = word.List[Mode]("way to scan", "off", "sample", "all")

func (m Mode) String() string { return modes.Text(m) }

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error { return modes.Read(text, m) }

// Words returns the modes.
func (Mode) Words() []string { return modes.Words() }

// A Lack says what becomes of a message of which a scanner says nothing.
type Lack uint8

// What there is to choose from.
const (
	BySuspicion Lack = iota // the mail of who is doubtful waits, that of others passes
	AcceptAll
	DeferAll
)

var lacks = word.List[Lack]("answer without a verdict", "by_suspicion", "accept", "defer")

func (l Lack) String() string { return lacks.Text(l) }

// UnmarshalText reads one.
func (l *Lack) UnmarshalText(text []byte) error { return lacks.Read(text, l) }

// Words returns what there is to choose from.
func (Lack) Words() []string { return lacks.Words() }
