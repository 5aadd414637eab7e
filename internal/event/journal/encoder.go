package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// An Encoder gives the JSON lines of records at once, as a Journal writes them: for whoever has records of another time, or another place for
// them than a file. It loses nothing, and is for one goroutine.
type Encoder struct {
	format *formatter
	lines  *sink // that numbers them
	now    time.Time
}

// NewEncoder makes one. Of the options those count that say what a line looks like; Gateway is required.
func NewEncoder(o Options) (*Encoder, error) {
	if o.Addresses == AddressesHashed && len(o.HashKey) < minHashKey {
		return nil, fmt.Errorf("journal: %w", ErrHashKey)
	}
	if o.Gateway == "" {
		return nil, errors.New("journal: lines without a gateway cannot be told apart")
	}
	e := &Encoder{format: newFormatter(o), lines: &sink{stamp: stampOf(o.Gateway, o.Run), lines: new(atomic.Uint64)}}
	e.format.now = func() time.Time { return e.now }
	return e, nil
}

// Append appends the lines of a record, if it has any, and releases it. The records of a run come in the order of their At.
func (e *Encoder) Append(dst []byte, r *event.Record) []byte {
	e.now = r.At
	e.format.beginOf(ownerOf(r), r)
	dst = e.lines.place(dst, e.format.json(r))
	r.Release()
	return dst
}

// Due appends the lines of what has been counted for long enough by then, or at the end of a run all of it.
func (e *Encoder) Due(dst []byte, now time.Time, all bool) []byte {
	var due [][]byte
	e.format.repeats.due(now, all, func(_ string, line []byte) { due = append(due, line) })
	slices.SortFunc(due, bytes.Compare) // the same each time
	for _, line := range due {
		dst = e.lines.place(dst, line)
	}
	return dst
}

// Dropped appends a line that says how many records of a tenant are missing.
func (e *Encoder) Dropped(dst []byte, at time.Time, tenant string, records uint64) []byte {
	return e.lines.place(dst, jsonSheet.gap(nil, at, owner{tenant: tenant}, records))
}

// Lines is how many it has given.
func (e *Encoder) Lines() uint64 { return e.lines.lines.Load() }
