package sts

import (
	"strings"
	"time"

	"kanmon/internal/event/word"
)

// A Mode is what a policy asks for (RFC 8461 section 5).
type Mode uint8

// The modes.
const (
	None    Mode = iota // as if there were no policy
	Testing             // failures are reported, and mail goes
	Enforce             // mail goes only to MXs that keep to it
)

var modes = word.List[Mode]("MTA-STS mode", "none", "testing", "enforce")

// String returns the mode as policies have it.
func (m Mode) String() string { return modes.Text(m) }

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error { return modes.Read(text, m) }

// Words returns the modes.
func (Mode) Words() []string { return modes.Words() }

// A Policy is what a domain asks of its MXs. It never changes.
type Policy struct {
	ID      string // of the TXT record that it was fetched for
	Mode    Mode
	MX      []string      // patterns: A-labels in small letters, no trailing dot, perhaps "*." in front; none only with mode none
	MaxAge  time.Duration // at most a year
	Fetched time.Time     // by the wall clock
	Until   time.Time     // Fetched and MaxAge
	Lines   []string      // as served, for reports; not all of a very long policy
}

// Allows reports whether an MX name is one that the policy names (RFC 8461 section 4.1): "*." stands for exactly one label. That
// the MX has proved this name is for others to say.
func (p *Policy) Allows(mx string) bool {
	mx = strings.TrimSuffix(mx, ".")
	dot := strings.IndexByte(mx, '.')
	for _, pattern := range p.MX {
		if below, wild := strings.CutPrefix(pattern, "*"); wild {
			if dot > 0 && strings.EqualFold(mx[dot:], below) {
				return true
			}
		} else if strings.EqualFold(mx, pattern) {
			return true
		}
	}
	return false
}

// size is how much room a policy takes, in octets.
func (p *Policy) size() int {
	const each = 16 // of a string
	size := len(p.ID)
	for _, list := range [][]string{p.MX, p.Lines} {
		for _, text := range list {
			size += len(text) + each
		}
	}
	return size
}
