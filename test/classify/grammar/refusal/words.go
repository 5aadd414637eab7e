package refusal

import (
	"fmt"
	"strconv"
	"strings"
)

// kept are words that are drawn once a text: whoever says them twice means the same.
var kept = map[string]bool{
	"from": true, "fromdomain": true, "rcpt": true, "rcptdomain": true, "helo": true, "subject": true, "stranger": true, "mx": true,
	"iplist": true, "zone": true, "urizone": true, "badurl": true,
}

// word returns what $name stands for: a word of the book, of words.txt or one that is made here.
func (m *maker) word(name string, depth int) (string, error) {
	if s, ok := m.kept[name]; ok {
		return s, nil
	}
	if whole, ok := strings.CutSuffix(name, "domain"); ok && kept[name] {
		if _, err := m.word(whole, depth); err != nil {
			return "", err
		}
		return m.kept[name], nil
	}
	p, ok := m.book.words[name]
	if !ok {
		p, ok = m.book.shared[name]
	}
	s := m.made(name)
	if ok {
		var err error
		if s, err = m.say(p, depth+1); err != nil {
			return "", err
		}
	}
	if !ok && s == "" {
		return "", fmt.Errorf("no word %q", name)
	}
	if kept[name] {
		m.kept[name] = s
	}
	if kept[name+"domain"] {
		m.kept[name+"domain"] = s[strings.LastIndexByte(s, '@')+1:]
	}
	return s, nil
}

// made returns a word that is made, not written; "" if there is none of that name.
func (m *maker) made(name string) string {
	switch name {
	case "ip":
		return IP
	case "rip":
		return "10.113.0.203"
	case "stranger":
		return fmt.Sprintf("198.51.100.%d", 2+m.IntN(250))
	case "digit":
		return strconv.Itoa(1 + m.IntN(9))
	case "num":
		return strconv.Itoa(10 + m.IntN(9990))
	case "wide":
		return wide(strconv.Itoa(1 + m.IntN(60)))
	case "hex":
		return fmt.Sprintf("%08x", m.Uint32())
	case "qid":
		return m.letters("0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz", 11+m.IntN(4))
	case "caps":
		return m.letters("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 8+m.IntN(9))
	case "lower":
		return m.letters("abcdefghjkmnpqrstuvwxyz", 2+m.IntN(3))
	case "stamp":
		return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02d.%03dZ", 1+m.IntN(12), 1+m.IntN(28), m.IntN(24), m.IntN(60), m.IntN(60), m.IntN(1000))
	case "epoch":
		return strconv.Itoa(1767200000 + m.IntN(30000000))
	}
	return ""
}

func (m *maker) letters(of string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[m.IntN(len(of))]
	}
	return string(b)
}

// wide writes digits in full width, as Japanese and Chinese texts do.
func wide(s string) string {
	return strings.Map(func(r rune) rune { return r - '0' + '０' }, s)
}
