package history

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShape is how much of a reply its shape has, in octets.
const maxShape = 240

// ShapeOf is a reply's text without what differs from mail to mail: its codes, numbers, addresses, ids, and the addresses given, their local parts and domains.
// Names of lists and hosts stay where no digit is in them.
func ShapeOf(text string, hide ...string) string {
	words := make(map[string]bool, 3*len(hide))
	for _, h := range hide {
		local, domain, _ := strings.Cut(strings.ToLower(h), "@")
		for _, w := range []string{h, local, domain} {
			if len(w) > 1 {
				words[strings.ToLower(w)] = true
			}
		}
	}
	var to strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		for _, word := range strings.Fields(withoutCodes(line)) {
			word = wordOf(word, words)
			if last := to.Len() - 1; last >= 0 && word != "#" {
				to.WriteByte(' ')
			} else if last >= 0 && !strings.HasSuffix(to.String(), "#") {
				to.WriteByte(' ')
			} else if last >= 0 {
				continue // one # for several
			}
			if to.Len()+len(word) > maxShape {
				return strings.TrimSpace(to.String()) + "…"
			}
			to.WriteString(word)
		}
	}
	return to.String()
}

// withoutCodes takes the codes off a line of a reply.
func withoutCodes(line string) string {
	if len(line) >= 3 && digits(line[:3]) && (len(line) == 3 || line[3] == ' ' || line[3] == '-') {
		line = line[min(4, len(line)):]
	}
	if first, rest, _ := strings.Cut(line, " "); len(first) >= 5 && first[1] == '.' && digits(strings.ReplaceAll(first, ".", "")) {
		line = rest
	}
	return line
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// wordOf gives a word, or what stands for it.
func wordOf(word string, hide map[string]bool) string {
	core := strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	at := strings.Index(word, core)
	lead, tail := word[:at], word[at+len(core):]
	switch {
	case core == "":
		return word
	case hide[strings.ToLower(core)], strings.ContainsAny(core, "0123456789@"), strings.IndexFunc(core, unicode.IsNumber) >= 0, random(core):
		if plain(lead) && plain(tail) {
			return "#"
		}
		return lead + "#" + tail
	}
	return lead + parted(core, hide) + tail
}

// parted hides what stands in a part of a word: "user=alice", "alice's". An address may be a part of a link, which is hidden, too.
func parted(core string, hide map[string]bool) string {
	const between = "='`’\"/&?|\\()<>[]{},;:!*"
	if !strings.ContainsAny(core, between) {
		return core
	}
	var to strings.Builder
	for core != "" {
		end := strings.IndexAny(core, between)
		if end < 0 {
			end = len(core)
		}
		part := core[:end]
		if hide[strings.ToLower(part)] {
			part = "#"
		}
		to.WriteString(part)
		_, size := utf8.DecodeRuneInString(core[end:])
		to.WriteString(core[end : end+size])
		core = core[end+size:]
	}
	return to.String()
}

// plain reports whether what stands around a word matters not even to people.
func plain(around string) bool { return strings.Trim(around, "<>[]()\"'.,:;=") == "" }

// random reports whether a word is an id without digits: no word of people's changes between capitals and small letters so often.
func random(word string) bool {
	if len(word) < 8 {
		return false
	}
	changes, upper := 0, false
	for i, r := range word {
		if !unicode.IsLetter(r) {
			upper = false
			continue
		}
		if u := unicode.IsUpper(r); i > 0 && u != upper {
			changes++
		}
		upper = unicode.IsUpper(r)
	}
	return changes >= 5
}
