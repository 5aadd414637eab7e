package smtp

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// A long reply costs no memory that another one has not used before it, and goes on in octets, not in single ones.
func BenchmarkLongReply(b *testing.B) {
	var wire []byte
	for range 128 {
		wire = append(append(append(wire, "250-"...), bytes.Repeat([]byte("fine "), 90)...), "\r\n"...)
	}
	wire = append(wire, "250 fine\r\n"...)
	var reply Reply
	var out []byte
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		reply.Reset()
		for line := range bytes.Lines(wire) {
			if err := reply.addLine(bytes.TrimRight(line, "\r\n")); err != nil {
				b.Fatal(err)
			}
		}
		out = reply.AppendWire(out[:0], false)
	}
}

// Replies of all lengths share memory, and each has its own octets as long as it is not reset: parked or not, copied or not.
func TestRepliesKeepTheirOctets(t *testing.T) {
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			var replies [4]Reply
			var want [4][]byte
			for range 3_000 {
				i := rnd.IntN(len(replies))
				p := &replies[i]
				p.Reset()
				want[i] = nil
				for last, length := rnd.IntN(40), 1+rnd.IntN(1900); last >= 0; last-- {
					line := bytes.Repeat([]byte{byte('a' + rnd.IntN(26))}, length)
					if err := p.addLine(append([]byte("250-"), line...)); err != nil {
						t.Error(err)
						return
					}
					if rnd.IntN(30) == 0 {
						p.Park()
					}
					if want[i] != nil {
						want[i] = append(want[i], '\n')
					}
					want[i] = append(want[i], line...)
				}
				want[i] = want[i][:min(len(want[i]), len(p.text))] // what a reply keeps ends somewhere
				if copied := p.Clone(); !bytes.Equal(copied.Text(), want[i]) {
					t.Error("a copy has other octets")
				}
				for k := range replies {
					if !bytes.Equal(replies[k].Text(), want[k]) {
						t.Errorf("reply %d has other octets than it was given", k)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// A reply that has stopped in the middle, and waits, holds what it has; one that has been reset holds next to nothing.
func TestRepliesHoldWhatTheyHave(t *testing.T) {
	var p Reply
	for p.Reset(); len(p.text) < 5000; {
		if err := p.addLine([]byte("250-" + strings.Repeat("x", 499))); err != nil {
			t.Fatal(err)
		}
	}
	if held := cap(p.text); held > 2*len(p.text) {
		t.Errorf("%d octets for a text of %d", held, len(p.text))
	}
	if p.Park(); cap(p.text) > len(p.text)+64 {
		t.Errorf("parked: %d octets for a text of %d", cap(p.text), len(p.text))
	}
	if p.Reset(); cap(p.text) > ownText {
		t.Errorf("reset: %d octets", cap(p.text))
	}
}

// All that may not stand in a reply is seen wherever in eight octets it stands, and nothing else.
func TestPlainTextIsKnown(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				text := bytes.Repeat([]byte("~"), size)
				text[at] = byte(c)
				if want := c >= ' ' && c < 0x7f; isPlain(text) != want {
					t.Fatalf("octet %#x at %d of %d: plain %t", c, at, size, !want)
				}
			}
		}
	}
	for _, around := range []string{" ", "~", "\x80", "\x1f", "\x7f"} { // what borrows from its neighbour
		for _, c := range []string{"\x00", "\x01", " ", "!", "\x7f", "\x80", "\xff"} {
			text := []byte(strings.Repeat(around, 3) + c + strings.Repeat(around, 4))
			want := !bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })
			if isPlain(text) != want {
				t.Errorf("%q: plain %t", text, !want)
			}
		}
	}
}

// Who waits long for a reply holds nothing of the one before.
func TestAReplyThatIsWaitedForHoldsNothing(t *testing.T) {
	p := NewReply(250, "", "the one before")
	p.Reset()
	if p.Park(); cap(p.Text()) > 0 {
		t.Errorf("%d octets", cap(p.Text()))
	}
}
