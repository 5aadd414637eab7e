package sts

import (
	"context"
	"net/netip"
	"time"
)

// A Resolver asks DNS. It is safe for concurrent use; by says in whose part of what is under way a question counts: where that has no place for
// it, the next one that by gives may have one. If there is none in time, the error is [ErrBusy].
type Resolver interface {
	// Texts returns the TXT records of a name.
	Texts(ctx context.Context, name string, by func() string) Texts
	// Addresses returns the addresses of a name, those that are to be tried first in front. No address and no error: it has none.
	Addresses(ctx context.Context, name string, by func() string) ([]netip.Addr, error)
}

// Texts are what DNS says of the TXT records of a name.
type Texts struct {
	All      []string  // each record's strings joined; none: there are no such records, or nobody knows
	Answered bool      // there was an answer: records, or that there are none
	Until    time.Time // the answer, or that there is none, holds until then
	Err      error     // without an answer: why, for people
}
