package word_test

import (
	"slices"
	"strings"
	"testing"

	"kanmon/internal/event/word"
)

type colour uint8

const (
	none colour = iota
	red
	green
	seen
)

// Each value has its word; what nobody may say is written and not read; what is no word is refused with those that are.
func TestWords(t *testing.T) {
	all := word.List[colour]("colour", "none", "red", "green", "seen")
	said := all.Between(red, green)
	for v, text := range []string{"none", "red", "green", "seen"} {
		var read colour
		if err := all.Read([]byte(text), &read); err != nil || int(read) != v || all.Text(colour(v)) != text || said.Text(colour(v)) != text {
			t.Errorf("%s: read as %d, %v; written as %s and %s", text, read, err, all.Text(colour(v)), said.Text(colour(v)))
		}
		read = seen
		if err := said.Read([]byte(text), &read); (err == nil) != (v == int(red) || v == int(green)) || err != nil && read != seen {
			t.Errorf("%s, which may be said or not: %d, %v", text, read, err)
		}
	}
	if got := said.Words(); !slices.Equal(got, []string{"red", "green"}) {
		t.Errorf("words %q", got)
	}
	read := green
	if err := said.Read([]byte("Red"), &read); err == nil || read != green || !strings.Contains(err.Error(), `"Red" is no colour: want one of red, green`) {
		t.Errorf("Red: %d, %v", read, err)
	}
	if got := all.Text(9); got != "colour 9" {
		t.Errorf("no value: %s", got)
	}
	if v, known := said.Of("none"); known || v != red {
		t.Errorf("none: %d, %t", v, known)
	}
}
