package find

import (
	"fmt"

	"kanmon/internal/event/word"
)

// A Lang is a language that texts for people are written in.
type Lang uint8

// The languages.
const (
	English Lang = iota
	Japanese
	langCount
)

var langs = word.List[Lang]("language", "en", "ja")

// String returns the language as HTML and the command line name it.
func (l Lang) String() string { return langs.Text(l) }

// UnmarshalText reads a language.
func (l *Lang) UnmarshalText(text []byte) error { return langs.Read(text, l) }

// Words returns the languages.
func (Lang) Words() []string { return langs.Words() }

// A text is one thing in all languages.
type text [langCount]string

// in fills a text in.
func (t text) in(l Lang, values ...any) string {
	if len(values) == 0 {
		return t[l]
	}
	return fmt.Sprintf(t[l], values...)
}
