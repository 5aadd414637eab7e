package limit

import "kanmon/internal/event/word"

// What a rule is made of has two words: its text is the configuration's, String is for people, records and counters.

// A Measure says what a rule counts.
type Measure uint8

// The measures. Sessions is how many at once, the others are rates.
const (
	Messages Measure = iota
	Recipients
	Octets
	Connections // new ones
	Sessions
	measureCount
)

var (
	measures      = word.List[Measure]("measure", "messages", "recipients", "bytes", "connections", "sessions")
	measuresShown = word.List[Measure]("measure", "messages", "recipients", "octets", "connections", "sessions")
)

// String returns the measure as people are shown it, and as counters are kept under it.
func (m Measure) String() string { return measuresShown.Text(m) }

// MarshalText writes the measure as the configuration has it.
func (m Measure) MarshalText() ([]byte, error) { return []byte(measures.Text(m)), nil }

// UnmarshalText reads the measure as the configuration has it.
func (m *Measure) UnmarshalText(text []byte) error { return measures.Read(text, m) }

// Words returns the measures as the configuration has them.
func (Measure) Words() []string { return measures.Words() }

// Can reports whether a limit of what is measured can do this where it is reached: what is counted when the sending IP
// has been chosen diverts nothing.
func (m Measure) Can(a Action) bool { return a != Divert || m == Messages || m == Octets }

// An Action is what the caller does with a mail for which a limit has no room.
type Action uint8

// The actions.
const (
	Defer  Action = iota // 4xx: the MSA tries again
	Delay                // the command is held until there is room, or deferred if that is too long
	Reject               // 5xx
	Divert               // the mail leaves from another pool, and is not counted
	Block                // deferred, and so is all of the sender's until a person lifts it
)

var actions = word.List[Action]("action", "defer", "delay", "reject", "divert", "block")

// String returns the action as the configuration has it.
func (a Action) String() string { return actions.Text(a) }

// UnmarshalText reads an action.
func (a *Action) UnmarshalText(text []byte) error { return actions.Read(text, a) }

// Words returns the actions.
func (Action) Words() []string { return actions.Words() }
