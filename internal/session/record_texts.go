package session

import (
	"unicode/utf8"

	"kanmon/internal/smtp"
)

// How much of what strangers say is kept for the record. An MX of a tenant's own may say 64 KiB to each of a thousand recipients.
const (
	// maxText bounds one text: what is written of it (2,048 octets), and so much behind that an address at the cut is known for one.
	maxText = 2048 + 512
	// maxTransactionText bounds the texts of one transaction. Once it has so many, a recipient's address and the reply to it are kept as far
	// as shortAddress (what RFC 5321 §4.5.3.1 allows) and shortReply (the codes and some words). So the texts of a thousand recipients never
	// take more than 700 KiB.
	maxTransactionText = 256 << 10
	shortAddress       = 320
	shortReply         = 128
)

// A Span is a piece of text inside a [Record]. The zero Span is the empty text.
type Span struct {
	off  uint32
	size uint32 // octets; above sizeBits those that were left out behind them
}

const sizeBits = 12 // maxText fits

func newSpan(off, n, cut int) Span {
	return Span{uint32(off), uint32(n) | uint32(min(cut, 1<<(32-sizeBits)-1))<<sizeBits}
}

func (s Span) n() uint32 { return s.size & (1<<sizeBits - 1) }

// Cut is how many octets of the text are not in the record.
func (s Span) Cut() int { return int(s.size >> sizeBits) }

// texts are what spans are pieces of.
type texts []byte

func (x texts) of(s Span) []byte { return x[s.off : s.off+s.n()] }

// add copies text as far as most octets, and gives its span.
func (x *texts) add(text []byte, most int) Span {
	off := len(*x)
	*x = append(*x, text[:min(len(text), most)]...)
	return x.end(off, len(text)-most)
}

// addReply is add for a reply with all its lines.
func (x *texts) addReply(reply *smtp.Reply, most int) Span {
	off := len(*x)
	all, left := reply.AppendRawPart(*x, most)
	*x = all
	return x.end(off, left)
}

// end gives the span of what begins at off, behind which so many octets were left out: there, not in the middle of a character.
func (x *texts) end(off, left int) Span {
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

// take copies a text from others, with what is known of its cut.
func (x *texts) take(from texts, s Span) Span {
	off := len(*x)
	*x = append(*x, from.of(s)...)
	return Span{uint32(off), s.size}
}
