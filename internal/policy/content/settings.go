package content

import (
	"maps"
	"slices"
	"time"

	"kanmon/internal/event"
)

// Settings are what a [Judge] decides by. Nothing in them may be changed once they are given to it.
type Settings struct {
	Enforce bool          // false: nothing follows, all is scanned behind
	Sample  int           // percent of the ordinary mail of tenants with Mode Sample
	Hold    int64         // octets: larger messages are not held
	Verdict time.Duration // that a verdict may take
	Dot     time.Duration // from the MSA's dot to that toward the MX, of what is held
	Pool    string        // that doubtful mail leaves from; "": there is none

	Scanners map[string]*Scanner // by name
	Tenants  map[string]*Tenant  // those whose mail is scanned
}

// A Scanner is what is said of one, whatever program it is.
type Scanner struct {
	Largest int64 // message that it takes
	Lacks   Lacks
}

// Lacks say what becomes of a message of which a scanner says nothing.
type Lacks struct{ Unavailable, TooLarge, Busy Lack }

// A Tenant is what is said of one's mail.
type Tenant struct {
	Mode     Mode
	Scanners []string // that are asked, by name; nil: all
	Lacks    [3]*Lack // Unavailable, TooLarge, Busy instead of the scanners' own; nil: those

	OnVirus, OnReject, OnSoftReject, OnSpam event.Handling

	Fields []byte // complete header fields that what is held gets at its top; nil: none
}

// asked gives the names of a tenant's scanners, in order.
func (s *Settings) asked(t *Tenant) []string {
	if t.Scanners != nil {
		return t.Scanners
	}
	return slices.Sorted(maps.Keys(s.Scanners))
}

// largest is the largest message that any of a tenant's scanners takes.
func (s *Settings) largest(t *Tenant) (most int64) {
	for _, name := range s.asked(t) {
		if one := s.Scanners[name]; one != nil {
			most = max(most, one.Largest)
		}
	}
	return most
}

// lacks say what holds for a tenant's mail at a scanner.
func (s *Settings) lacks(t *Tenant, scanner string) (l Lacks) {
	if one := s.Scanners[scanner]; one != nil {
		l = one.Lacks
	}
	for i, of := range []*Lack{&l.Unavailable, &l.TooLarge, &l.Busy} {
		if t.Lacks[i] != nil {
			*of = *t.Lacks[i]
		}
	}
	return l
}
