package event

import "unicode/utf8"

// How much of what strangers say is kept for the record. An MX of a tenant's own may say 64 KiB to each of a thousand recipients.
const (
	// MaxText bounds one text: what is written of it (2,048 octets), and so much behind that an address at the cut is known for one.
	MaxText = 2048 + 512
	// maxTransactionText bounds the texts of one transaction. Once it has so many, the others are kept as far as what is short for them: so
	// those of a thousand recipients never take more than 700 KiB.
	maxTransactionText = 256 << 10
)

// A Span is a piece of text inside a [Record]. The zero Span is the empty text.
type Span struct {
	off  uint32
	size uint32 // octets; above sizeBits those that were left out behind them
}

const sizeBits = 12 // MaxText fits

func newSpan(off, n, cut int) Span {
	if n == 0 && cut <= 0 {
		return Span{} // wherever it would be: it is told from others by being empty
	}
	return Span{uint32(off), uint32(n) | uint32(min(cut, 1<<(32-sizeBits)-1))<<sizeBits}
}

func (s Span) n() uint32 { return s.size & (1<<sizeBits - 1) }

// Cut is how many octets of the text are not in the record.
func (s Span) Cut() int { return int(s.size >> sizeBits) }

// Texts are what spans are pieces of.
type Texts []byte

// Of returns the octets of a span.
func (x Texts) Of(s Span) []byte { return x[s.off : s.off+s.n()] }

// Add copies text as far as most octets, and gives its span.
func (x *Texts) Add(text []byte, most int) Span {
	off := len(*x)
	*x = append(*x, text[:min(len(text), most)]...)
	return x.End(off, len(text)-most)
}

// End returns the span of what has been appended from off on, behind which so many octets were left out: there, not in the middle of a
// character.
func (x *Texts) End(off, left int) Span {
	if left <= 0 {
		return newSpan(off, len(*x)-off, 0)
	}
	n := len(*x)
	for at := n - 1; at >= max(off, n-utf8.UTFMax+1); at-- {
		if utf8.RuneStart((*x)[at]) {
			if !utf8.FullRune((*x)[at:]) {
				*x = (*x)[:at]
			}
			break
		}
	}
	return newSpan(off, len(*x)-off, left+n-len(*x))
}

// Take copies a text from others, with what is known of its cut.
func (x *Texts) Take(from Texts, s Span) Span {
	if s == (Span{}) {
		return s
	}
	off := len(*x)
	*x = append(*x, from.Of(s)...)
	return Span{uint32(off), s.size}
}
