package route

import "kanmon/internal/event/word"

// A RescueMode says whether another sending IP is spent on a mail that ours was refused for.
type RescueMode uint8

// The modes.
const (
	RescueOn      RescueMode = iota
	RescueObserve            // it is recorded what would be done
	RescueOff
)

var rescueModes = word.List[RescueMode]("mode", "on", "observe", "off")

// String returns the mode as the configuration has it.
func (m RescueMode) String() string { return rescueModes.Text(m) }

// UnmarshalText reads a mode.
func (m *RescueMode) UnmarshalText(text []byte) error { return rescueModes.Read(text, m) }

// Words returns the modes.
func (RescueMode) Words() []string { return rescueModes.Words() }

// Handling is what is done about refusals of a mail.
type Handling struct {
	Rescue  RescueMode
	Soften  bool // a 5xx that is about our IP goes to the MSA as 4xx
	Suspend bool // it gives way to what evidence has suspended or slowed
	PerHour int  // rescues of one tenant at one provider
}

// Heeds reports whether evidence decides where mail leaves from. What an operator has suspended by hand always does.
func (h Handling) Heeds() bool { return h.Suspend && h.Rescue != RescueObserve }
