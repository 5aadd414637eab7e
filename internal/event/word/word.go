// Package word is how a vocabulary is written and read: a type whose values count from 0, each with a word of its own, as the
// configuration, rules and records have it. The package that gives the values their meaning has the list of their words, once.
//
//	var scopes = word.List[Scope]("scope", "tenant", "account")
//
//	func (s Scope) String() string                   { return scopes.Text(s) }
//	func (s *Scope) UnmarshalText(text []byte) error { return scopes.Read(text, s) }
//	func (Scope) Words() []string                    { return scopes.Words() }
package word

import (
	"fmt"
	"slices"
	"strings"
)

// Words are those of a type, by value.
type Words[T ~uint8] struct {
	what string
	all  []string
	from int // of all: those that can be read
	to   int
}

// List makes the words of a type; what says in errors what they are.
func List[T ~uint8](what string, words ...string) *Words[T] {
	return &Words[T]{what, words, 0, len(words)}
}

// Between makes words of which only those of first to last can be read: nobody says the others.
func (w *Words[T]) Between(first, last T) *Words[T] {
	return &Words[T]{w.what, w.all, int(first), int(last) + 1}
}

// Text returns the word of a value. One that the list does not have is shown as its number.
func (w *Words[T]) Text(v T) string {
	if int(v) >= len(w.all) {
		return fmt.Sprintf("%s %d", w.what, v)
	}
	return w.all[v]
}

// Words returns those that can be read.
func (w *Words[T]) Words() []string { return w.all[w.from:w.to] }

// Read stores the value that a word stands for. The error names the words that there are.
func (w *Words[T]) Read(text []byte, into *T) error {
	v, known := w.Of(string(text))
	if !known {
		return fmt.Errorf("%q is no %s: want one of %s", text, w.what, strings.Join(w.Words(), ", "))
	}
	*into = v
	return nil
}

// Of returns the value that a word stands for.
func (w *Words[T]) Of(text string) (v T, known bool) {
	at := slices.Index(w.Words(), text)
	return T(max(at, 0) + w.from), at >= 0
}
