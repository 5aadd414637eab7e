package slow

import (
	"net/netip"

	"kanmon/internal/event/word"
)

// An Act is what an operator wants to follow of a finding.
type Act uint8

// The acts.
const (
	Tell Act = iota // and nothing else
	Slow            // the IP keeps half of its sessions there
	Move            // likewise; while mail waits for long, one in twenty
	Off             // nothing is measured
)

var acts = word.List[Act]("act", "tell", "slow", "move", "off")

// String returns the act as the configuration has it.
func (a Act) String() string { return acts.Text(a) }

// UnmarshalText reads an act.
func (a *Act) UnmarshalText(text []byte) error { return acts.Read(text, a) }

// Words returns the acts.
func (Act) Words() []string { return acts.Words() }

// Settings are what a configuration says.
type Settings struct {
	Act      Act
	Internal []netip.Prefix // destinations of one's own: what they take says nothing of a sending IP
}

// A Deed is what is done about a key.
type Deed uint8

// The deeds.
const (
	Told  Deed = iota // nothing but that it was told
	Split             // half of its mail goes from another IP, as control
	Slowed
	Moved
)

var deeds = word.List[Deed]("deed", "told", "split", "slowed", "moved")

// String gives the deed as it stands in the records.
func (d Deed) String() string { return deeds.Text(d) }

// share is which part of its sessions the IP keeps.
func (d Deed) share() float64 { return [...]float64{1, splitShare, slowShare, moveShare}[d] }

const (
	splitShare = 1. / 2
	slowShare  = 1. / 2
	moveShare  = 1. / 20
)
