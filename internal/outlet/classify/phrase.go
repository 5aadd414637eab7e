package classify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a phrase.
const (
	nearGap     = 24   // octets that ".." may skip, within one sentence: "is currently", "has been"
	farGap      = 100  // octets that "..." may skip, within one sentence
	next        = -1   // no octet: the next word
	maxSpelled  = 4096 // ways in which one part of a phrase may be spelled
	maxWays     = 32   // ways from which on it is cut into pieces
	maxNesting  = 12   // {word} groups inside each other
	maxLiterals = 200_000
)

// A part is what stands between two gaps of a phrase, or a piece of it, compiled.
type part struct {
	id             int32
	begins, closes bool // a word begins, and ends, with it: no * there
	short          bool // one of its spellings is one letter
}

// phrase compiles a phrase: "{your|the} ip ... {listed} {at|on} *example.org". It gives the number that traces know it by.
func (c *compiler) phrase(text string) (int32, error) {
	if id, known := c.ids[text]; known {
		return id, nil
	}
	place, gap := int32(-1), int32(0)
	for rest := text; rest != ""; {
		words, after, found := strings.Cut(rest, "..")
		rest = after
		if strings.TrimSpace(words) == "" || found && strings.TrimSpace(strings.TrimPrefix(rest, ".")) == "" {
			return 0, fmt.Errorf("%q: a part of the phrase is empty: words are wanted on both sides of ... and .. in it", text)
		}
		parts, err := c.parts(words)
		if err != nil {
			return 0, fmt.Errorf("%q: %w", text, err)
		}
		for _, p := range parts {
			place = c.found.place(p.id, place, gap)
			gap = next
		}
		if rest, found = strings.CutPrefix(rest, "."); found {
			gap = farGap
		} else {
			gap = nearGap
		}
	}
	if c.found.literals > maxLiterals {
		return 0, errors.New("the rules have too many phrases")
	}
	c.ids[text] = place
	return place, nil
}

// parts compiles what stands between two gaps. Where its words have many spellings together it is cut into pieces that follow each other
// with nothing between: their spellings add up then, and do not multiply.
func (c *compiler) parts(text string) ([]part, error) {
	var pieces []string
	ways, solid := 0, false // of the piece at hand; solid: it is never empty
	for _, word := range wordsOf(text) {
		spelled, err := c.spell(word)
		if err != nil {
			return nil, err
		}
		whole := !slices.ContainsFunc(spelled, func(s string) bool { return strings.TrimSpace(s) == "" })
		if len(pieces) == 0 || solid && whole && ways*len(spelled) > maxWays {
			pieces, ways, solid = append(pieces, word), len(spelled), whole
			continue
		}
		pieces[len(pieces)-1] += " " + word
		ways, solid = ways*len(spelled), solid || whole
	}
	parts := make([]part, 0, len(pieces))
	for i, piece := range pieces {
		p, err := c.part(piece)
		switch {
		case err != nil:
			return nil, err
		case i > 0 && !p.begins, i < len(pieces)-1 && !p.closes:
			return nil, insideError(text)
		case p.short && len(pieces) == 1:
			return nil, fmt.Errorf("%q matches almost everything: want two letters or more", text)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// wordsOf returns the words of a text. Braces, and what stands in them, are in one word.
func wordsOf(text string) (words []string) {
	depth, start := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ' ':
			if depth <= 0 {
				words, start = append(words, text[start:i]), i+1
			}
		}
	}
	return slices.DeleteFunc(append(words, text[start:]), func(word string) bool { return word == "" })
}

// part compiles a piece, each once.
func (c *compiler) part(text string) (part, error) {
	if p, known := c.pieces[text]; known {
		return p, nil
	}
	spelled, err := c.spell(text)
	if err != nil {
		return part{}, err
	}
	p := part{begins: true, closes: true}
	literals := make([]string, 0, len(spelled))
	for _, s := range spelled {
		l, err := literal(s)
		if err != nil {
			return p, err
		}
		p.begins, p.closes = p.begins && l[0] == ' ', p.closes && l[len(l)-1] == ' '
		p.short = p.short || len(strings.TrimSpace(l)) < 2
		literals = append(literals, l)
	}
	p.id = c.found.part(literals)
	c.pieces[text] = p
	return p, nil
}

// spell returns all spellings of a text, each text once.
func (c *compiler) spell(text string) ([]string, error) {
	spelled, known := c.spelled[text]
	if known {
		return spelled, nil
	}
	spelled, err := spell(text, c.words, 0)
	if err == nil {
		c.spelled[text] = spelled
	}
	return spelled, err
}

// spell resolves the first pair of braces, and the rest by calling itself.
func spell(part string, words map[string][]string, depth int) ([]string, error) {
	open := strings.IndexByte(part, '{')
	if open < 0 {
		if strings.IndexByte(part, '}') >= 0 {
			return nil, errors.New("} without {")
		}
		if strings.Contains(part, "..") { // of a group: a phrase has been cut there before
			return nil, fmt.Errorf("%q: ... and .. may stand in phrases only, not in [words]", part)
		}
		return []string{part}, nil
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("groups of words name each other, or more than %d braces", maxNesting)
	}
	choices, rest, err := choose(part[open+1:])
	if err != nil {
		return nil, err
	}
	if len(choices) == 1 {
		group, known := words[choices[0]]
		if !known {
			return nil, fmt.Errorf("{%s}: no such group in [words]; for a choice write {a|b}", choices[0])
		}
		choices = group
	}
	var out []string
	for _, choice := range choices {
		more, err := spell(part[:open]+choice+rest, words, depth+1)
		if err != nil {
			return nil, err
		}
		if out = append(out, more...); len(out) > maxSpelled {
			return nil, fmt.Errorf("more than %d spellings: use fewer braces", maxSpelled)
		}
	}
	return out, nil
}

// choose splits what follows an opening brace, which may hold further braces, at its own bars.
func choose(s string) (choices []string, rest string, err error) {
	depth, start := 0, 0
	for i := range len(s) {
		switch {
		case s[i] == '{':
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case s[i] == '}':
			return append(choices, s[start:i]), s[i+1:], nil
		case s[i] == '|' && depth == 0:
			choices, start = append(choices, s[start:i]), i+1
		}
	}
	return nil, "", errors.New("{ without }")
}

// literal returns what the automaton looks for: the spelling, normalised as replies are, a blank at either end unless * is there.
func literal(spelled string) (string, error) {
	if plain(spelled) {
		return " " + strings.Join(strings.Fields(spelled), " ") + " ", nil
	}
	n := normal{text: []byte{' '}}
	n.line(string(n.fold(nil, standIns.Replace(spelled), len(spelled)*maxText)))
	l := strings.TrimSuffix(string(n.text), ". ")
	if rest, open := strings.CutPrefix(l, " "+string(wild)); open {
		l = rest
	}
	if rest, open := strings.CutSuffix(l, string(wild)+" "); open {
		l = rest
	}
	switch {
	case strings.ContainsRune(l, wild):
		return "", insideError(spelled)
	case strings.ContainsRune(spelled, '@') || strings.Count(l, "<ip>") != strings.Count(spelled, "<ip>"):
		return "", fmt.Errorf("%q: addresses are not read as they stand: write <mail> or <ip>", spelled)
	case strings.TrimSpace(l) == "":
		return "", fmt.Errorf("%q matches almost everything: want two letters or more", spelled)
	}
	return l, nil
}

// standIns are what a phrase has for what replies are made of.
var standIns = strings.NewReplacer("<ip>", "192.0.2.1", "<mail>", "a@b.example", "<said>", string(markSaid), "*", string(wild))

// plain reports whether a spelling consists of words that are already as replies are.
func plain(spelled string) bool {
	for i := range len(spelled) {
		if c := spelled[i]; c != ' ' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return strings.TrimSpace(spelled) != ""
}

func insideError(text string) error {
	return fmt.Errorf("* inside %q: it may stand at the beginning and at the end only; write ... between words", text)
}
