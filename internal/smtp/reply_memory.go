package smtp

import (
	"math/bits"
	"sync"
)

// A reply of more than some lines is read into memory that all share, given back with the next Reset or Park: an MX can
// say 64 KiB to each of a thousand recipients. It comes in sizes of powers of two, so that a reply which stops in the
// middle does not hold much more than it has.

const (
	ownText  = 1 << 10 // is the reply's own
	mostText = maxReplySize + maxReplyLine + 1
)

// lentTexts are by the power of two of their size, the largest of them of mostText.
var lentTexts [18]sync.Pool

// room makes room for so many octets more.
func (p *Reply) room(n int) {
	need := len(p.text) + n
	if need <= cap(p.text) || need <= ownText {
		return
	}
	class := bits.Len(uint(need - 1))
	lent, _ := lentTexts[class].Get().(*[]byte)
	if lent == nil {
		text := make([]byte, min(1<<class, mostText))
		lent = &text
	}
	text := append((*lent)[:0], p.text...)
	p.giveBack()
	p.text, p.lent = text, lent
}

// giveBack gives back what is lent. The text is lost by that.
func (p *Reply) giveBack() {
	if p.lent != nil {
		lentTexts[bits.Len(uint(cap(*p.lent)-1))].Put(p.lent)
		p.text, p.lent = nil, nil
	}
}

// Park lets the reply hold no more memory than its text needs. Call it before a long wait.
func (p *Reply) Park() {
	switch {
	case p.lent != nil:
		text := append(make([]byte, 0, len(p.text)), p.text...)
		p.giveBack()
		p.text = text
	case len(p.text) == 0: // it is waited for
		p.text = nil
	}
}
