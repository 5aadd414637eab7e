package follow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kanmon/internal/view/history"
)

// A file is known by its first octets, whatever it is called, wherever it lies, and whether it has been compressed since: the first line
// says what no other file begins with.

// headSize is how many octets a file is known by, once it has as many.
const headSize = 1024

// A head is the first octets of a file. The zero one is that of a file of which nothing has been read.
type head struct {
	size int
	sum  string
}

func headOf(first []byte) head {
	first = first[:min(len(first), headSize)]
	if len(first) == 0 {
		return head{}
	}
	sum := sha256.Sum256(first)
	return head{len(first), hex.EncodeToString(sum[:8])}
}

// is reports whether a file that begins so is the one that is meant.
func (h head) is(first []byte) bool {
	return h.size > 0 && len(first) >= h.size && headOf(first[:h.size]) == h
}

func (h head) String() string {
	if h.size == 0 {
		return "-"
	}
	return strconv.Itoa(h.size) + "-" + h.sum
}

func parseHead(text string) (head, error) {
	if text == "-" {
		return head{}, nil
	}
	size, sum, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(size)
	if err != nil || n < 1 || n > headSize || len(sum) != 16 {
		return head{}, fmt.Errorf("%q names no file", text)
	}
	return head{n, sum}, nil
}

// A place is how far a source has been read: one file up to an offset, and others, older ones mostly, to their end.
type place struct {
	at     head
	offset int64
	done   []head
}

const (
	// keptDone is of how many files it is remembered that they are read, though they are there no more: what is moved while a folder is
	// listed may be seen nowhere.
	keptDone = 64
	// mostDone bounds a mark. Who has more files beside each other reads the oldest again, and keeps nothing twice.
	mostDone = 4000
)

func placeOf(m history.Mark) (p place, err error) {
	if m.File == "" {
		return place{}, nil
	}
	p.offset = m.Offset
	for i, name := range strings.Fields(m.File) {
		h, err := parseHead(name)
		if err != nil {
			return place{}, err
		}
		if i == 0 {
			p.at = h
		} else {
			p.done = append(p.done, h)
		}
	}
	return p, nil
}

// file is the place in a mark.
func (p *place) file() string {
	names := []string{p.at.String()}
	for _, h := range p.done {
		names = append(names, h.String())
	}
	return strings.Join(names, " ")
}

// finish notes that a file has been read to its end.
func (p *place) finish(h head) {
	if h.size > 0 && !slices.Contains(p.done, h) {
		p.done = append(p.done, h)
	}
	if len(p.done) > mostDone {
		p.done = slices.Delete(p.done, 0, len(p.done)-mostDone)
	}
	p.at, p.offset = head{}, 0
}

// isDone reports whether the file that begins so has been read to its end.
func (p *place) isDone(first []byte) bool {
	return slices.ContainsFunc(p.done, func(h head) bool { return h.is(first) })
}
