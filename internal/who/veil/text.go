package veil

import (
	"cmp"
	"regexp"
	"strings"
)

// An address is hidden up to its @. It may be quoted, and the @ may be written otherwise, as in links (%40). Before an @ all counts that RFC 5322,
// 3.2.3 has, a "=" and a "/" too: one part of it may be somebody else's address, as in bounces+bob=example.com@lists.example. In a link the name of
// the value is left, so that it stays one.
var addressed = regexp.MustCompile(`"(?:[^"\\]|\\.)*"@|[^\s<>()\[\],;:"@＠]+[@＠]|([?&][a-z_]+=)?[^\s<>()\[\],;:"@/?&]+?(%(?:25)*40|%[eE][fF]%[bB][cC]%[aA]0|&#64;|&#[xX]40;)`)

// hidden stands for a person.
const hidden = "…"

// Text hides the people in a text whose addresses stand in it.
func Text(text string) string {
	if !strings.ContainsAny(text, "@＠%&") { // most have none
		return text
	}
	return addressed.ReplaceAllStringFunc(text, func(found string) string {
		parts := addressed.FindStringSubmatch(found)
		return parts[1] + hidden + cmp.Or(parts[2], "@")
	})
}

// Said hides the people in a reply to a mail with these addresses, and all whose addresses stand in it. The addresses may be values of header fields.
func Said(reply string, addresses ...string) string {
	var known People
	for _, a := range addresses {
		if strings.ContainsAny(a, " <") { // a header field, or a path with its brackets
			known.AddAll(a)
		} else {
			known.Add(a)
		}
	}
	return Text(known.Hide(reply))
}
