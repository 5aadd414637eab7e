// Package refusal makes labelled refusals of mail from a grammar: texts as MXs of many makes write them, in eleven
// languages, for testing what is concluded from a reply on texts that nobody had before them when the rules were written.
//
// # Templates
//
// A file of templates/ holds the texts of one language; its name begins with the language. words.txt holds the words
// that all share. A line of a file is one of
//
//	# remark
//	name = production                                     a word, for $name
//	@ id class whose suspend_max phases codes [+class …]  the labels of the texts that follow
//	production                                            a text
//
// A production is text with choices, {a|b|}, which nest, and words, $name. ¶ ends a line of the reply. A code is
// 550/5.7.1 or 550; codes and phases are separated by commas, and one of each is drawn. A word of a language's own
// file is known there only. The words that are made and not written are in words.go.
//
// # Labels
//
// Class and suspend_max are read from the text alone, as a postmaster would who has nothing else:
//
//   - yes: it says that our address, host or network, quoted or implied, is on a named list or on the receiver's own.
//   - may: it says that our address, host, network or its reputation is the cause and names no list; or it refuses at
//     the greeting, where nothing else can be meant.
//   - no: everything else, whether or not our address stands in it: where it stands beside a cause that is not its own,
//     and where two causes are offered of which one is harmless.
//
// Whose is who is to blame: ip (our address or host), netblock, content, recipient, sender (also its domain and its
// authentication), receiver (also relay, TLS, faults of its own, and where it does not say), throttle (volume,
// greylisting). Classes that could be defended beside the first are in Accept. Said is what the client had said before
// (MAIL, RCPT, EHLO, Subject) and the MX repeats.
package refusal

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
)

// IP is our address in the texts that mention it.
const IP = "203.0.113.10"

// Each is how many distinct texts of one template are made if nobody asks for another number.
const Each = 170

// A Text is one refusal and what is to be concluded from it.
type Text struct {
	Reply      string   `json:"reply"` // whole, each line with its code, "\n" between lines
	Phase      string   `json:"phase"` // greeting, ehlo, mail, rcpt, data or dot
	IP         string   `json:"ip"`
	Class      string   `json:"class"`
	Accept     []string `json:"accept,omitempty"`
	Whose      string   `json:"whose"`
	Mention    bool     `json:"mention"` // whether our address stands in it, in any spelling
	SuspendMax string   `json:"suspend_max"`
	Lang       string   `json:"lang"`
	Template   string   `json:"template"`
	Said       []string `json:"said,omitempty"`
	Noise      []string `json:"noise,omitempty"` // how the wording was spoilt: typo, case, typography
}

// Generate returns up to each distinct texts of every template. Equal arguments give equal texts. The error, if any,
// is of the templates.
func Generate(seed uint64, each int) ([]Text, error) {
	books, err := load()
	if err != nil {
		return nil, err
	}
	var all []Text
	seen := map[string]bool{}
	for _, b := range books {
		for _, t := range b.templates {
			h := fnv.New64a()
			fmt.Fprint(h, b.lang, t.id)
			m := &maker{Rand: rand.New(rand.NewPCG(seed, h.Sum64())), book: b}
			for idle, n := 0, 0; n < each && idle < 50; {
				text, err := m.text(t)
				if err != nil {
					return nil, err
				}
				if seen[text.Reply] {
					idle++
					continue
				}
				seen[text.Reply] = true
				idle = 0
				n++
				all = append(all, text)
			}
		}
	}
	return all, nil
}

// A maker draws texts of one language. It holds what one text has in common: its sender, its recipient, its names.
type maker struct {
	*rand.Rand
	book *book
	kept map[string]string
}

func (m *maker) text(t template) (Text, error) {
	m.kept = map[string]string{}
	wording, err := m.say(t.production, 0)
	if err != nil {
		return Text{}, fmt.Errorf("%s: %w", t.id, err)
	}
	out := Text{
		Phase: pick(m, t.phases), IP: IP, Class: t.class, Accept: t.accept, Whose: t.whose,
		SuspendMax: t.suspendMax, Lang: m.book.lang, Template: t.id,
	}
	wording = tidy(wording)
	wording, out.Noise = m.spoil(wording)
	out.Reply = strings.ReplaceAll(m.fold(wording, pick(m, t.codes)), hardSpace, " ")
	out.Mention = mentions(out.Reply)
	for _, name := range []string{"from", "rcpt", "helo", "subject"} {
		if s, ok := m.kept[name]; ok && strings.Contains(wording, s) {
			out.Said = append(out.Said, strings.ReplaceAll(s, hardSpace, " "))
		}
	}
	return out, nil
}

// mentions reports whether our address stands in s: plain, reversed as in the name of a DNSBL, or with hyphens as in
// the name of a host.
func mentions(s string) bool {
	return slices.ContainsFunc([]string{IP, "10.113.0.203", "203-0-113-10"}, func(a string) bool { return strings.Contains(s, a) })
}

// say expands a production.
func (m *maker) say(p production, depth int) (string, error) {
	if depth > 20 {
		return "", fmt.Errorf("words that contain themselves")
	}
	var b strings.Builder
	for _, part := range p {
		switch {
		case part.word != "":
			s, err := m.word(part.word, depth)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		case part.choice != nil:
			s, err := m.say(pick(m, part.choice), depth+1)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		default:
			b.WriteString(part.text)
		}
	}
	return b.String(), nil
}

func pick[T any](m *maker, from []T) T { return from[m.IntN(len(from))] }
