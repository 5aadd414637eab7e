package classify

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kanmon/internal/event"
)

// A class that a reply can have is explained, has a scope, and a row in docs/ref/classification.md, in the same order.
func TestEveryClassOfAReplyIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ref/classification.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	_, table, _ := strings.Cut(string(page), "\n## Classes\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for line := range strings.Lines(table) {
		if row, found := strings.CutPrefix(line, "| `"); found {
			class, _, _ := strings.Cut(row, "`")
			rows = append(rows, class)
		}
	}
	if want := event.Unjudged.Words(); !slices.Equal(rows, want) {
		t.Errorf("docs/ref/classification.md has the classes\n%q, want\n%q", rows, want)
	}
	for c := IPBlocklisted; c <= PolicyUnspecified; c++ {
		if meaning, action := Explain(c); meaning == "" || action == "" || defaults[c].scope == event.Unscoped {
			t.Errorf("class %v: label.go does not say what it means, what to do about it, and whose it is", c)
		}
	}
}

// Each word of a verdict is that of one value, and reads as it is written; nobody can say what no reply is.
func TestWordsOfAVerdict(t *testing.T) {
	words := map[string]bool{}
	for c := range event.ClassCount {
		if word := c.String(); words[word] || strings.HasPrefix(word, "class ") {
			t.Errorf("class %d has the word %q", c, word)
		} else {
			words[word] = true
		}
		var read event.Class
		if err := read.UnmarshalText([]byte(c.String())); (err == nil) != (c >= IPBlocklisted && c <= PolicyUnspecified) || err == nil && read != c {
			t.Errorf("class %q reads as %v, %v", c, read, err)
		}
	}
	for s := ScopeUnknown; s < event.ScopeCount; s++ {
		var read event.Scope
		if err := read.UnmarshalText(fmt.Append(nil, s)); err != nil || read != s {
			t.Errorf("scope %q reads as %v, %v", s, read, err)
		}
	}
	for w := range event.WeightCount {
		if got := event.WeightOf(w.String()); got != w {
			t.Errorf("weight %q reads as %v", w, got)
		}
	}
}
