package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

// ruleFor writes a rule for the classifier that holds for the reply that decided about an attempt, with the reply as its test. What the reply
// should be taken for, whoever takes the rule says: it begins with what it is taken for now. The classifier has read it: it holds as it stands.
func ruleFor(a *history.Attempt) (string, error) {
	var err error
	for _, phrase := range phrasesOf(a.Reply.Text) {
		rule := ruleText(a, phrase)
		if _, err = classify.Parse("rule", []byte(rule)); err == nil {
			return rule, nil
		}
	}
	return "", &Problem{
		Status: http.StatusUnprocessableEntity, Text: fmt.Sprintf("No rule can be made of this by itself: %v", err),
		Do: "docs/ref/classification.md has how one is written by hand.",
	}
}

func ruleText(a *history.Attempt, phrase string) string {
	class := find.ClassOf(a.Reply.Class)
	if class == event.Unjudged {
		class = event.PolicyUnspecified
	}
	code := strconv.Itoa(a.Reply.Code)
	name := strings.Join(strings.Fields(strings.Join([]string{a.Provider, code, a.Reply.Enhanced, phrase}, " ")), " ")
	var rule, test strings.Builder
	both := func(key, ruleValue, testValue string) {
		if ruleValue != "" {
			fmt.Fprintf(&rule, "%-9s = %s\n", key, ruleValue)
		}
		if testValue != "" {
			fmt.Fprintf(&test, "%-9s = %s\n", key, testValue)
		}
	}
	both("name", tomlText(name), "")
	both("class", tomlText(class.String())+" # what it is taken for now", tomlText(class.String()))
	if a.Reply.Phase != "" {
		both("phases", "["+tomlText(a.Reply.Phase)+"]", "")
		both("phase", "", tomlText(a.Reply.Phase))
	}
	if a.Provider != "" {
		both("providers", "["+tomlText(a.Provider)+"]", "")
		both("provider", "", tomlText(a.Provider))
	}
	both("codes", "["+tomlText(code)+"]", "")
	if phrase != "" {
		both("any", "["+tomlText(phrase)+"]", "")
	}
	both("reply", "", tomlText(a.Reply.Text))
	both("rule", "", tomlText(name))
	return "[[rule]]\n" + rule.String() + "\n[[test]] # must hold, or the file is not taken\n" + test.String()
}

// phrasesOf gives words of a reply by which it may be known, the best first, and none at all as the last resort: words that stand next to
// each other and have nothing in them that changes from mail to mail.
func phrasesOf(reply string) (phrases []string) {
	var run []string
	end := func() {
		const enough, most = 2, 8
		if len(run) >= enough {
			phrases = append(phrases, strings.Join(run[:min(len(run), most)], " "))
		}
		run = nil
	}
	for line := range strings.Lines(reply) {
		for _, w := range strings.Fields(line) {
			bare := strings.Trim(w, `.,;:!?"()`)
			if bare == "" || strings.ContainsFunc(bare, func(r rune) bool { return !unicode.IsLetter(r) }) {
				end()
				continue
			}
			run = append(run, strings.ToLower(bare))
			if bare != strings.TrimRight(w, `.,;:!?")`) || bare != w {
				end()
			}
		}
		end()
	}
	slices.SortStableFunc(phrases, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	const tried = 4
	return append(phrases[:min(len(phrases), tried)], "")
}

// tomlText writes a text as TOML's basic strings have it.
func tomlText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
