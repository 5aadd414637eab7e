package classify

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a phrase.
const (
	nearGap     = 24   // octets that ".." may skip, within one sentence: "is currently", "has been"
	farGap      = 100  // octets that "..." may skip, within one sentence
	maxSpelled  = 4096 // ways in which one part of a phrase may be spelled
	maxNesting  = 12   // {word} groups inside each other
	maxLiterals = 200_000
)

// A phrase is parts that follow each other in one sentence, each in one of several spellings.
type phrase struct {
	text  string     // as the rule wrote it
	parts [][]string // normalised, with the blanks of their word boundaries
	gaps  []int32    // octets that may stand in front of a part
}

// parsePhrase reads a phrase: "{your|the} ip ... {listed} {at|on} *example.org". words are the groups it may name.
func parsePhrase(text string, words map[string][]string) (phrase, error) {
	p := phrase{text: text}
	gap := int32(0)
	for rest := text; rest != ""; {
		part, after, found := strings.Cut(rest, "..")
		rest = after
		if strings.TrimSpace(part) == "" || found && strings.TrimSpace(strings.TrimPrefix(rest, ".")) == "" {
			return p, fmt.Errorf("%q: a part of the phrase is empty: words are wanted on both sides of ... and .. in it", text)
		}
		spelled, err := spell(strings.TrimSpace(part), words, 0)
		if err != nil {
			return p, fmt.Errorf("%q: %w", text, err)
		}
		p.gaps = append(p.gaps, gap)
		if rest, found = strings.CutPrefix(rest, "."); found {
			gap = farGap
		} else {
			gap = nearGap
		}
		literals := make([]string, 0, len(spelled))
		for _, s := range spelled {
			l, err := literal(s)
			if err != nil {
				return p, fmt.Errorf("%q: %w", text, err)
			}
			literals = append(literals, l)
		}
		p.parts = append(p.parts, literals)
	}
	return p, nil
}

// spell resolves the first pair of braces, and the rest by calling itself.
func spell(part string, words map[string][]string, depth int) ([]string, error) {
	open := strings.IndexByte(part, '{')
	if open < 0 {
		if strings.IndexByte(part, '}') >= 0 {
			return nil, errors.New("} without {")
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

// literal gives what the automaton looks for: the spelling, normalised as replies are, a blank at either end unless * is there.
func literal(spelled string) (string, error) {
	replaced := strings.NewReplacer("<ip>", "192.0.2.1", "<mail>", "a@b.example", "<said>", string(markSaid), "*", string(wild)).Replace(spelled)
	n := normal{text: []byte{' '}}
	n.line(string(n.fold(nil, replaced)))
	l := strings.TrimSuffix(string(n.text), ". ")
	if rest, open := strings.CutPrefix(l, " "+string(wild)); open {
		l = rest
	}
	if rest, open := strings.CutSuffix(l, string(wild)+" "); open {
		l = rest
	}
	switch {
	case strings.ContainsRune(l, wild):
		return "", fmt.Errorf("* inside %q: it may stand at the beginning and at the end only; write ... between words", spelled)
	case strings.ContainsRune(spelled, '@') || strings.Count(l, "<ip>") != strings.Count(spelled, "<ip>"):
		return "", fmt.Errorf("%q: addresses are not read as they stand: write <mail> or <ip>", spelled)
	case len(strings.TrimSpace(l)) < 2:
		return "", fmt.Errorf("%q matches almost everything: want two letters or more", spelled)
	}
	return l, nil
}
