package refusal

import (
	"slices"
	"strings"
	"unicode"
)

// hardSpace is a space of a template at which nothing is folded or changed: one inside of a quoted local part.
const hardSpace = "␠"

// tidy takes out the spaces that empty choices leave behind.
func tidy(s string) string {
	lines := strings.Split(s, "¶")
	for i, line := range lines {
		line = strings.Join(strings.Fields(line), " ")
		for _, mark := range []string{".", ",", ";"} {
			line = strings.ReplaceAll(line, " "+mark+" ", mark+" ")
			if before, ok := strings.CutSuffix(line, " "+mark); ok {
				line = before + mark
			}
		}
		lines[i] = line
	}
	return strings.Join(lines, "¶")
}

// typos are mistakes that postmasters make. They spoil no word so far that a reader would miss it.
//
//nolint:misspell // the mistakes are what it is for
var typos = strings.NewReplacer(
	"address", "adress", "received", "recieved", "recipient", "recepient", "blacklisted", "black-listed", "temporarily", "temporarly",
	"reputation", "reputaion", "unknown", "unknow", "rejected", "rejcted", "message", "mesage", "mailbox", "mail box",
	"connection", "conection", "sender", "sendor", "exceeded", "exeeded", "unsolicited", "unsolicted", "detected", "detcted",
	"Empfänger", "Empfaenger", "für", "fuer", "verfügbar", "verfuegbar", "überschritten", "ueberschritten", "gültig", "gueltig",
	"é", "e", "è", "e", "ê", "e", "ó", "o", "ã", "a", "ç", "c", "ñ", "n", "ż", "z", "ł", "l", "ą", "a", "ę", "e",
)

// typography is what a word processor makes of a text before it is put into a configuration.
var typography = strings.NewReplacer("'", "’", " - ", " – ", " (", "\u00a0(", " [", "\u00a0[", "\"", "“", ": ", "\u00a0: ", "...", "…")

// spoil changes the wording of one text in six and says how. What the client said is repeated as it was.
func (m *maker) spoil(s string) (string, []string) {
	if strings.Contains(s, hardSpace) || m.kept["subject"] != "" {
		return s, nil
	}
	was := s
	how := ""
	switch m.IntN(18) {
	case 0:
		how, s = "typo", words(s, typos.Replace)
	case 1:
		how, s = "case", words(s, pick(m, []func(string) string{strings.ToUpper, strings.ToLower, title}))
	case 2:
		how, s = "typography", typography.Replace(s)
	}
	if s == was {
		return s, nil
	}
	return s, []string{how}
}

func title(s string) string {
	r := []rune(strings.ToLower(s))
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// words changes the plain words of s: names, addresses and codes stay as they are.
func words(s string, change func(string) string) string {
	f := strings.Split(s, " ")
	for i, w := range f {
		if w != "" && !strings.ContainsAny(strings.TrimRight(w, ".,;:!"), "0123456789.@/_=<>¶") {
			f[i] = change(w)
		}
	}
	return strings.Join(f, " ")
}

// fold gives each line of the wording its code. A wording without lines of its own is folded into up to four, between
// words, half of the time.
func (m *maker) fold(s string, c code) string {
	lines := strings.Split(s, "¶")
	if len(lines) == 1 && m.IntN(2) == 0 {
		lines = m.cut(s, 2+m.IntN(3))
	}
	style := m.IntN(4)
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		enhanced := ""
		// The enhanced code stands in every line (RFC 2034 section 3), in the first one only, or in the last.
		if style <= 1 || style == 2 && i == 0 || style == 3 && i == len(lines)-1 {
			enhanced = c.enhanced
		}
		if enhanced != "" {
			enhanced += " "
		}
		lines[i] = c.basic + sep + enhanced + line
	}
	return strings.Join(lines, "\n")
}

// cut cuts s into n lines or fewer, between words or after the marks of Japanese and Chinese, which need no space.
func (m *maker) cut(s string, n int) []string {
	for _, mark := range []string{"、", "。", "，", "；", "："} {
		s = strings.ReplaceAll(s, mark, mark+"\x00")
	}
	f := strings.FieldsFunc(strings.ReplaceAll(s, " ", " \x00"), func(r rune) bool { return r == 0 })
	if len(f) < 2 {
		return []string{strings.Join(f, "")}
	}
	starts := map[int]bool{}
	for range n - 1 {
		starts[1+m.IntN(len(f)-1)] = true
	}
	var lines []string
	for i, w := range f {
		if i == 0 || starts[i] {
			lines = append(lines, w)
			continue
		}
		lines[len(lines)-1] += w
	}
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}
