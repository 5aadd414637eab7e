package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// kept gives what is kept to of a provider, as words.
func kept(t *testing.T, doc, provider string) (words []string) {
	t.Helper()
	cfg, err := Parse("kanmon.toml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cfg.Shaped() {
		for i := range p.Limits {
			if l := &p.Limits[i]; p.Provider == provider && l.Keep {
				words = append(words, l.String())
			}
		}
	}
	return words
}

// What its receiver documents is kept to, and what the operator says; how MTAs are configured only where the operator says so.
func TestWhatIsKeptTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "providers.toml")
	if err := os.WriteFile(file, []byte("[[provider]]\nname = 'own'\nmx = '*.mx.example.jp'\ntakes = [{ count = 'messages', limit = 9, every = '1m', source = 'asked', documented = true }]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rates := filepath.Join(t.TempDir(), "rates.toml") // the lower one is what lets less through, whatever its number is
	if err := os.WriteFile(rates, []byte("[[provider]]\nname = 'own'\nmx = '*.mx.example.jp'\ntakes = [{ count = 'messages', limit = 100, every = '1h', source = 'asked', documented = true },\n"+
		"{ count = 'messages', limit = 10, every = '1s', source = 'an MTA' }]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		doc, provider string
		want          []string
	}{
		"documented":              {"", "orange", []string{"2 connections at once", "100 messages in one connection"}},
		"configurations":          {"", "gmx", nil},
		"enforced":                {"[shaping]\nenforce = 'gmx'\n", "gmx", []string{"4 connections at once", "20 messages in one connection"}},
		"both":                    {"", "outlook", []string{"500 connections at once"}},
		"both, and enforced":      {"[shaping]\nenforce = ['gmx', 'outlook']\n", "outlook", []string{"5 connections at once", "50 messages in one connection"}},
		"one's own":               {"[[shaping_limit]]\nprovider = 'orange'\ncount = 'connections'\nlimit = 3\n", "orange", []string{"100 messages in one connection", "3 connections at once"}},
		"one's own is none":       {"[[shaping_limit]]\nprovider = 'orange'\ncount = 'connections'\nlimit = 0\n", "orange", []string{"100 messages in one connection"}},
		"one's own, in a time":    {"[[shaping_limit]]\nprovider = 'gmx'\ncount = 'messages'\nlimit = 60\nevery = '1m'\n", "gmx", []string{"60 messages in 1m0s"}},
		"one's own, of two rates": {"providers_file = '" + rates + "'\n[shaping]\nenforce = 'own'\n", "own", []string{"100 messages in 1h0m0s"}},
		"one's own provider":      {"providers_file = '" + file + "'\n", "own", []string{"9 messages in 1m0s"}},
	} {
		if got := kept(t, test.doc, test.provider); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// The page has what kanmon has, and each figure has its source.
func TestThePageHasWhatProvidersTake(t *testing.T) {
	text, err := os.ReadFile("../../docs/why/shaping.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("kanmon.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, p := range cfg.Shaped() {
		for i := range p.Limits {
			l, is := &p.Limits[i], "no"
			if l.Keep {
				is = "yes"
			}
			if row := fmt.Sprintf("\n| `%s` | %s | %s | %s |\n", p.Provider, l, is, l.Source); l.Source == "" || !strings.Contains(string(text), row) {
				t.Errorf("the page lacks %s", row)
			}
			rows++
		}
	}
	if got := strings.Count(string(text), " | yes | ") + strings.Count(string(text), " | no | "); got != rows {
		t.Errorf("the page has %d rows, want %d", got, rows)
	}
}
