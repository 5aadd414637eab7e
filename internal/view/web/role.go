package web

import "slices"

// A Role is what a person may: each may all that the ones before it may.
type Role int

// The roles.
const (
	Nobody Role = iota
	Look        // see all but addresses of people
	Search      // see addresses and look for them, which is noted
	Act         // change something
)

var roleWords = [...]string{"nobody", "look", "search", "act"}

// String returns the word for it.
func (r Role) String() string { return roleWords[r] }

// MarshalText implements encoding.TextMarshaler.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ParseRole reads the word of a role that a person can have.
func ParseRole(word string) (Role, bool) {
	i := slices.Index(roleWords[:], word)
	return Role(max(i, 0)), i > 0
}

// A Person is who looks.
type Person struct {
	Name string
	Role Role
}
