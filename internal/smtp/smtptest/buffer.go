package smtptest

import "sync"

// A buffer holds the octets on their way in one direction. It owns memory only while octets are in it, so that a
// held connection costs next to nothing.
type buffer struct {
	mem []byte // mem[off:] is what has not been read
	off int
}

const (
	smallBuffer = 2 << 10  // a reply or a command
	largeBuffer = 64 << 10 // a body
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

func (b *buffer) len() int { return len(b.mem) - b.off }

// push takes as many octets of p as fit under limit and says how many.
func (b *buffer) push(p []byte, limit int) int {
	n := min(len(p), limit-b.len())
	if n <= 0 {
		return 0
	}
	b.reserve(n)
	b.mem = append(b.mem, p[:n]...)
	return n
}

// reserve makes room for n more octets: it moves what is left to the front, or into larger memory.
func (b *buffer) reserve(n int) {
	need := b.len() + n
	switch {
	case len(b.mem)+n <= cap(b.mem):
	case need <= cap(b.mem):
		kept := copy(b.mem, b.mem[b.off:])
		b.mem, b.off = b.mem[:kept], 0
	default:
		larger := buffer{mem: append(takeMemory(need), b.mem[b.off:]...)}
		b.drop()
		*b = larger
	}
}

// pop moves octets into p and says how many.
func (b *buffer) pop(p []byte) int {
	n := copy(p, b.mem[b.off:])
	b.off += n
	if b.len() == 0 {
		b.drop()
	}
	return n
}

// drop discards the octets and gives the memory back.
func (b *buffer) drop() {
	switch mem := b.mem[:cap(b.mem)]; len(mem) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(mem))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(mem))
	}
	*b = buffer{}
}

func takeMemory(n int) []byte {
	switch {
	case n <= smallBuffer:
		return smallBuffers.Get().(*[smallBuffer]byte)[:0]
	case n <= largeBuffer:
		return largeBuffers.Get().(*[largeBuffer]byte)[:0]
	default:
		return make([]byte, 0, n)
	}
}
