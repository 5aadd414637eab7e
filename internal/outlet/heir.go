package outlet

import (
	"encoding/json"
	"errors"
	"fmt"

	"kanmon/internal/store/keep"
)

// A memory is what is learnt, in a table of its own in the file of the standing.
type memory interface {
	Learn(rows []keep.Row)
	Flush() error
	Table() string
}

func (l *learnt) memories() []memory { return []memory{l.addresses, l.mxs, l.pins, l.tight, l.timed} }

// Learn takes over rows that another process would write, which has had the file before this one and lets its sessions end. Of other parts
// it takes none, and says so.
func (s *State) Learn(part string, rows json.RawMessage) (taken bool, err error) {
	for _, m := range s.learnt.memories() {
		if m.Table() != part {
			continue
		}
		var all []keep.Row
		if err := json.Unmarshal(rows, &all); err != nil {
			return true, fmt.Errorf("%s: %w", part, err)
		}
		m.Learn(all)
		return true, nil
	}
	return false, nil
}

// Flush writes what has changed, for whoever reads the file next.
func (s *State) Flush() error {
	var errs []error
	for _, m := range s.learnt.memories() {
		errs = append(errs, m.Flush())
	}
	return errors.Join(errs...)
}
