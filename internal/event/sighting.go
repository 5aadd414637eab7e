package event

import (
	"net/netip"

	"kanmon/internal/event/word"
)

// A Sighting is how others see a sending IP, told when that has changed: a public list has it, or has let it go; its names in the DNS agree
// no more, or again. Without an IP it is about a list itself, whose answers cannot be believed, or can again.
type Sighting struct {
	uncaused
	IP     netip.Addr
	List   string // public list; "": names
	State  Sight
	Was    Sight
	Names  []string // of the IP's PTR
	Before []string // the names before, where they have changed
	Codes  []string // what the list answers: "127.0.0.4"
	Why    string
}

// A Sight is how something is seen.
type Sight uint8

// How an IP is seen by a list, how its names are, and how a list is.
const (
	SightUnknown Sight = iota // nothing was asked yet, or there is no answer any more, or nobody asks
	SightClear                // the list does not have it
	SightListed
	SightNamed         // PTR, the way back and the EHLO name agree
	SightNoPTR         // it has no PTR
	SightElsewhere     // no name of its PTR leads back to it
	SightOtherName     // its PTR has other names than kanmon says in EHLO
	SightNotResolved   // the EHLO name does not lead to it
	SightBelieved      // the list answers as lists do
	SightNotBelievable // it refuses, answers for everybody or for nobody, or not at all
)

var sights = word.List[Sight]("sight", "unknown", "clear", "listed", "named", "no_ptr", "ptr_elsewhere", "other_name", "ehlo_not_resolved", "believed", "not_believed")

// String returns the word as it stands in the records.
func (s Sight) String() string { return sights.Text(s) }

// MarshalText is String, for what is kept.
func (s Sight) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a word as String gives it.
func (s *Sight) UnmarshalText(text []byte) error { return sights.Read(text, s) }

// Bad reports whether a person has to do something about it.
func (s Sight) Bad() bool {
	switch s {
	case SightListed, SightNoPTR, SightElsewhere, SightOtherName, SightNotResolved, SightNotBelievable:
		return true
	}
	return false
}
