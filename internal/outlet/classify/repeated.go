package classify

import (
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// A content filter may quote any part of a message: a field of its header, the name of an attachment, a link. Which, only the message
// itself tells. So where a refusal of a message blames our IP, it is read once more without what the message says as well.

// Bounds of what counts as repeated: fewer words may be chance.
const (
	repeatedWords  = 3
	repeatedOctets = 12
)

// WithoutRepeated returns the reply without the runs of words that stand in the message, too, and whether there were any. Words are
// letters and digits, in any case, whatever stands between them.
func WithoutRepeated(reply string, message []byte) (rest string, found bool) {
	seed := maphash.MakeSeed()
	text := []byte(reply)
	var words []word
	var hashes []uint64
	for w := (word{}); w.next(text); {
		words, hashes = append(words, w), append(hashes, w.hash(seed, text))
	}
	said := map[uint64]bool{} // the runs of the reply, which are few; true: the message has it
	for at := range len(words) - repeatedWords + 1 {
		said[run(hashes[at:at+repeatedWords])] = false
	}
	var last [repeatedWords]uint64
	for n, w := 0, (word{}); w.next(message); n++ {
		copy(last[:], last[1:])
		last[repeatedWords-1] = w.hash(seed, message)
		if h := run(last[:]); n >= repeatedWords-1 {
			if _, asked := said[h]; asked {
				said[h] = true
			}
		}
	}
	for from := 0; from+repeatedWords <= len(words); {
		past := from
		for at := from; at+repeatedWords <= len(words); at++ {
			if !said[run(hashes[at:at+repeatedWords])] {
				break
			}
			past = at + repeatedWords
		}
		if past == from || words[past-1].end-words[from].begin < repeatedOctets {
			from++
			continue
		}
		for _, w := range words[from:past] {
			found = w.blank(text) || found
		}
		from = past
	}
	return string(text), found
}

// run is the hash of a run of words.
func run(words []uint64) (h uint64) {
	for _, w := range words {
		h = h*0x9e3779b97f4a7c15 + w
	}
	return h
}

// A word is where one begins and ends in a text.
type word struct{ begin, end int }

// next finds the word behind this one.
func (w *word) next(text []byte) bool {
	at := w.end
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if isWordRune(r) {
			break
		}
		at += size
	}
	w.begin = at
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if !isWordRune(r) {
			break
		}
		at += size
	}
	w.end = at
	return w.begin < w.end
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func (w word) hash(seed maphash.Seed, text []byte) uint64 {
	var lower [64]byte
	n := 0
	for _, c := range text[w.begin:min(w.end, w.begin+len(lower))] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[n] = c
		n++
	}
	return maphash.Bytes(seed, lower[:n])
}

// blank makes a word one that says nothing. Numbers stay: the reply's codes are among them.
func (w word) blank(text []byte) bool {
	letters := false
	for _, c := range text[w.begin:w.end] {
		letters = letters || c < '0' || c > '9'
	}
	if !letters {
		return false
	}
	for i := w.begin; i < w.end; i++ {
		text[i] = 'x'
	}
	return true
}
