package smtptest

import "slices"

// A Cut is a way in which a connection ends in the middle.
type Cut uint8

// The cuts. Octets on their way when the cut happens still arrive; nothing after them does.
const (
	FIN   Cut = iota // both ends see the other close
	RST              // both ends see a reset
	Stall            // the cable is pulled: no octet, FIN or RST passes any more, in neither direction
	Shut             // the end that has been told closes its sending side, and reads on
)

// String names the cut.
func (how Cut) String() string { return [...]string{"FIN", "RST", "stall", "half-close"}[how] }

// Stall cuts the connection as with [Stall]: reads block, writes succeed until the window is full.
func (c *Conn) Stall() {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.cut(Stall)
}

// CutReadAfter cuts the connection when this end has read n octets since it was opened. Octets sent to it beyond those are lost.
func (c *Conn) CutReadAfter(n int, how Cut) {
	c.tapped(func(t *tap) { t.readCut = &cutPoint{after: n, how: how} })
}

// CutWriteAfter cuts the connection when this end has written n octets since it was opened. The write that
// reaches the point succeeds as a whole; its octets beyond the point are lost.
func (c *Conn) CutWriteAfter(n int, how Cut) {
	c.tapped(func(t *tap) { t.writeCut = &cutPoint{after: n, how: how} })
}

// Chunk limits what the following Reads return to these numbers of octets, in turn and then from the first
// again. Without sizes the limit is lifted.
func (c *Conn) Chunk(sizes ...int) {
	c.tapped(func(t *tap) { t.sizes, t.next = sizes, 0 })
}

// Record returns all octets that Read has returned since the first call of Record, which switches the recording on.
func (c *Conn) Record() []byte {
	var octets []byte
	c.tapped(func(t *tap) {
		t.recording = true
		octets = slices.Clone(t.record)
	})
	return octets
}

// A tap is what a test has asked to be done to one end's octets. All but its setters work on a nil tap.
type tap struct {
	sizes             []int
	next              int
	recording         bool
	record            []byte
	readCut, writeCut *cutPoint
}

type cutPoint struct {
	after int
	how   Cut
}

func (c *Conn) tapped(set func(*tap)) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	if c.tap == nil {
		c.tap = new(tap)
	}
	set(c.tap)
	c.cutIfDue()
}

// readLimit is how many of n octets the next Read may return when total have been read.
func (t *tap) readLimit(n, total int) int {
	if t != nil && len(t.sizes) > 0 {
		n = min(n, t.sizes[t.next%len(t.sizes)])
	}
	return t.beforeCut(n, total)
}

// beforeCut is how many of n octets come before the read cut.
func (t *tap) beforeCut(n, total int) int {
	if t == nil || t.readCut == nil {
		return n
	}
	return min(n, t.readCut.after-total)
}

// cutsBefore reports whether the read cut comes before what stands behind the first total octets.
func (t *tap) cutsBefore(total int) bool {
	return t != nil && t.readCut != nil && total >= t.readCut.after
}

// writeLimit is how many of n octets come before the write cut.
func (t *tap) writeLimit(n, total int) int {
	if t == nil || t.writeCut == nil {
		return n
	}
	return min(n, t.writeCut.after-total)
}

// saw notes the octets that a Read returns.
func (t *tap) saw(p []byte) {
	if len(t.sizes) > 0 {
		t.next++
	}
	if t.recording {
		t.record = append(t.record, p...)
	}
}

// cutIfDue cuts the connection if one of its points is reached. It reports whether it did.
func (c *Conn) cutIfDue() bool {
	t := c.tap
	switch {
	case t == nil:
		return false
	case t.readCut != nil && c.readTotal >= t.readCut.after:
		how := t.readCut.how
		t.readCut = nil
		c.in.drop() // what is left lies beyond the point, and so does a FIN behind it
		c.fin, c.peerGone = false, false
		c.cut(how)
		return true
	case t.writeCut != nil && c.sentTotal >= t.writeCut.after:
		how := t.writeCut.how
		t.writeCut = nil
		c.cut(how)
		return true
	}
	return false
}

func (c *Conn) cut(how Cut) {
	if c.link.stalled {
		return
	}
	switch how {
	case FIN:
		c.finish()
		c.peer.finish()
	case RST:
		c.refused()
		c.peer.refused()
	case Stall:
		c.link.stalled = true
	case Shut:
		c.shut, c.peer.fin = true, true
		c.peer.hangsUp()
	}
}
