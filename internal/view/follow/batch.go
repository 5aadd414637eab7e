package follow

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A batch is lines that are kept together.
type batch struct {
	gateways []string // whose lines are kept; none: all
	lines    []history.Line
	octets   int
	read     bool // something was, be it no record
	newest   time.Time

	bad, foreign, lost int64
}

// What one batch may have. Each writes the pages that the words of its lines lie on, which are anywhere in a day: of fewer lines, more is written again and again.
const (
	mostLines  = 8000
	mostOctets = 16 << 20
)

func (b *batch) isFull() bool { return len(b.lines) >= mostLines || b.octets >= mostOctets }

// errForeign is a record of a gateway whose records are not kept.
var errForeign = errors.New("it is of a gateway that history.gateways does not name")

// ahead is how far a gateway's clock may be ahead of ours. A day that is named too early by more would be the newest for years: mail that waits would be
// forgotten, and today shortened, for its sake.
const ahead = 24 * time.Hour

// errAhead is a record of a time that is still to come.
var errAhead = errors.New("it says a time that is still to come: the clock of the gateway, or of this host, is wrong")

// add takes a line up, if it is a record of a gateway whose records are kept; else the error says why not.
func (b *batch) add(line []byte, err error) error {
	b.read = true
	b.octets += len(line)
	var e *event.Entry
	if err == nil {
		e, err = event.ParseEntry(line)
	}
	if err == nil && time.Until(e.At) > ahead {
		err = fmt.Errorf("%w: %s", errAhead, e.At.Format(time.RFC3339))
	}
	switch {
	case err != nil:
		b.bad++
		b.lines = append(b.lines, history.Line{Raw: slices.Clone(line[:min(len(line), mostShown)])})
		return err
	case len(b.gateways) > 0 && !slices.Contains(b.gateways, e.Gateway):
		b.foreign++
		b.newest = e.At // the file is read as far as that
		return fmt.Errorf("%w: %s", errForeign, event.Printable(e.Gateway, 64))
	case e.Type == "dropped":
		b.lost += int64(e.Records)
	}
	b.newest = e.At
	b.lines = append(b.lines, history.Line{Raw: slices.Clone(line), Entry: e})
	return nil
}
