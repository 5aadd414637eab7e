package contain

import (
	"encoding/binary"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// A codec writes values as octets or reads them, so that one text of what there is serves for both.
type codec struct {
	octets []byte
	reads  bool
	bad    bool // what is read makes no sense: all further values are zero
}

// must notes that what was read makes no sense, if it does not.
func (c *codec) must(ok bool) {
	if c.reads && !ok {
		c.bad, c.octets = true, nil
	}
}

// number is one that is not negative.
func number[T int32 | int64 | uint8 | uint32 | uint64 | witness.Mark](c *codec, v *T) {
	if !c.reads {
		c.octets = binary.AppendUvarint(c.octets, uint64(*v))
		return
	}
	n, size := binary.Uvarint(c.octets)
	if *v = T(n); size <= 0 || *v < 0 || uint64(*v) != n {
		*v = 0
		c.must(false)
		return
	}
	c.octets = c.octets[size:]
}

// flag reports whether something is there.
func (c *codec) flag(there bool) bool {
	var n uint8
	if there {
		n = 1
	}
	number(c, &n)
	c.must(n <= 1)
	return n == 1 && !c.bad
}

// length is how many there are, no more than most.
func (c *codec) length(n, most int) int {
	size := uint64(n) //nolint:gosec // no slice has less than nothing
	number(c, &size)
	if c.must(size <= uint64(most)); c.bad { //nolint:gosec // likewise
		return 0
	}
	return int(size) //nolint:gosec // at most most
}

// fixed is so many octets.
func (c *codec) fixed(p []byte) {
	if !c.reads {
		c.octets = append(c.octets, p...)
		return
	}
	if c.must(len(c.octets) >= len(p)); !c.bad {
		c.octets = c.octets[copy(p, c.octets):]
	}
}

// text is at most so many octets, and fit to be shown.
func (c *codec) text(s *string, most int) {
	n := c.length(len(*s), most)
	if !c.reads {
		c.octets = append(c.octets, *s...)
		return
	}
	p := make([]byte, n)
	c.fixed(p)
	*s = event.Printable(string(p), most)
}
