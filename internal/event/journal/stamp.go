package journal

import (
	"bytes"
	"strconv"
	"time"
)

// Each JSON line says which gateway wrote it, in which run, and its number there: whoever keeps lines has a key.
// Numbers are given out where lines are put behind each other, so they rise without a gap in what is written.

// stampOf returns what all lines of a run have.
func stampOf(gateway string, run time.Time) []byte {
	stamp := new(formatter).appendJSON([]byte(`,"gateway":`), []byte(gateway), 0)
	stamp = append(stamp, `,"run":"`...)
	stamp = run.UTC().AppendFormat(stamp, timeFormat)
	return append(stamp, `","line":`...)
}

// maxDigits is how long a number can be.
const maxDigits = 20

// begin has lines come, each with a stamp where they have one; what was missing before is told now.
func (s *sink) begin(stamp []byte) {
	s.mu.Lock()
	s.begun = true
	if s.numbered {
		s.stamp = stamp
	}
	s.mu.Unlock()
	s.poke()
}

// stampsOf is how many octets stamps add to a text at most.
func (s *sink) stampsOf(text []byte) int {
	if s.stamp == nil {
		return 0
	}
	return bytes.Count(text, newline) * (len(s.stamp) + maxDigits)
}

// place appends a text of whole lines, each with its stamp.
func (s *sink) place(dst, text []byte) []byte {
	if s.stamp == nil {
		return append(dst, text...)
	}
	for line := range bytes.Lines(text) {
		dst = append(dst, line[:len(line)-len("}\n")]...)
		dst = append(dst, s.stamp...)
		dst = strconv.AppendUint(dst, s.lines.Add(1), 10)
		dst = append(dst, "}\n"...)
	}
	return dst
}
