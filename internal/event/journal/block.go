package journal

import "slices"

// A block is formatted text and where the records in it end.
type block struct {
	data    []byte
	marks   []mark
	written int // octets of data that are in the file
}

// A mark is where a record ends, or a line that tells what was lost.
type mark struct {
	seq   uint64 // number of the record; 0 if it is counted as lost already
	end   int    // offset behind it
	of    *owner
	tells uint64 // how many were lost; 0: it is a record
}

// chunk is what is to be written next: whole records, so that nobody else's text can come between the parts of one.
func (b *block) chunk() []byte {
	end := b.written + writeChunk
	switch i := b.ended(end); {
	case end >= len(b.data):
		end = len(b.data)
	case i >= 0 && b.marks[i].end > b.written:
		end = b.marks[i].end
	default: // it is longer than that
		end = b.marks[i+1].end
	}
	return b.data[b.written:end]
}

// unwritten returns the marks of what is not in the file as a whole.
func (b *block) unwritten() []mark { return b.marks[b.ended(b.written)+1:] }

// ended returns the last record that ends at an offset or before it; -1 if none does.
func (b *block) ended(at int) int {
	i, exact := slices.BinarySearchFunc(b.marks, at, func(m mark, at int) int { return m.end - at })
	if exact {
		return i
	}
	return i - 1
}

// whole returns the end of the last record that is whole before an offset.
func (b *block) whole(at int) int {
	if i := b.ended(at); i >= 0 {
		return b.marks[i].end
	}
	return 0
}

// torn is what is in the file of a record that is not whole, once n octets more are.
func (b *block) torn(n int) []byte {
	at := b.written + n
	if at == len(b.data) {
		return nil
	}
	return b.data[max(b.whole(at), b.written):at]
}

// rewind goes back to the start of a record that was written in part: a new file must not begin with half a line.
func (b *block) rewind() {
	if b.written < len(b.data) {
		b.written = b.whole(b.written)
	}
}

// disown marks a record as counted for lost; false if it is not here.
func (b *block) disown(seq uint64) bool {
	for i := len(b.marks) - 1; i >= 0; i-- { // it was the last one a moment ago
		if b.marks[i].seq == seq {
			b.marks[i].seq = 0
			return true
		}
	}
	return false
}
