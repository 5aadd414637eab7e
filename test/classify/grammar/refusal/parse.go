package refusal

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed templates/*.txt
var files embed.FS

// A book is what one file says: the texts of a language and its words.
type book struct {
	lang      string
	words     map[string]production
	shared    map[string]production // of words.txt
	templates []template
}

type template struct {
	id                       string
	class, whose, suspendMax string
	phases                   []string
	codes                    []code
	accept                   []string
	production               production
}

// A code is a reply code and an enhanced one, "" if the MX gives none.
type code struct{ basic, enhanced string }

type production []part

// A part is one of text, a word to be looked up, and a choice.
type part struct {
	text   string
	word   string
	choice []production
}

var (
	classes = strings.Fields(`ip_blocklisted ip_reputation throttled greylisted dns_identity auth_failed sender_rejected
		content_rejected recipient_invalid mailbox_full recipient_policy message_too_big relay_denied tls_required
		system_error policy_unspecified`)
	whoses   = strings.Fields("ip netblock content recipient sender receiver throttle")
	suspends = strings.Fields("no may yes")
	phases   = strings.Fields("greeting ehlo mail rcpt data dot")
)

// load reads all files. The words of words.txt are known in every book.
func load() ([]*book, error) {
	entries, err := files.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	shared, err := read("templates/words.txt", nil)
	if err != nil {
		return nil, err
	}
	var books []*book
	for _, e := range entries {
		if e.Name() == "words.txt" {
			continue
		}
		b, err := read(path.Join("templates", e.Name()), shared.words)
		if err != nil {
			return nil, err
		}
		books = append(books, b)
	}
	return books, nil
}

func read(name string, shared map[string]production) (*book, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	b := &book{lang: path.Base(name)[:2], words: map[string]production{}, shared: shared}
	var head template
	var nth int
	for i, line := range strings.Split(string(data), "\n") {
		at := func(err error) error { return fmt.Errorf("%s:%d: %w", name, i+1, err) }
		word, body, isWord := strings.Cut(line, " = ")
		isWord = isWord && !strings.ContainsAny(word, " ${|")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "# "):
			continue
		case strings.HasPrefix(line, "@ "):
			if head, err = parseHead(line[2:]); err != nil {
				return nil, at(err)
			}
			nth = 0
			continue
		case !isWord:
			body = line
		}
		p, rest, err := parse(body, false)
		if err == nil && rest != "" {
			err = fmt.Errorf("%q closes nothing", rest)
		}
		if err != nil {
			return nil, at(err)
		}
		if isWord {
			b.words[word] = p
			continue
		}
		if head.id == "" {
			return nil, at(fmt.Errorf("a text without labels"))
		}
		nth++
		t := head
		t.id = fmt.Sprintf("%s/%s.%d", b.lang, head.id, nth)
		t.production = p
		b.templates = append(b.templates, t)
	}
	return b, nil
}

func parseHead(s string) (template, error) {
	f := strings.Fields(s)
	if len(f) < 6 {
		return template{}, fmt.Errorf("want id class whose suspend_max phases codes, have %q", s)
	}
	t := template{id: f[0], class: f[1], whose: f[2], suspendMax: f[3], phases: strings.Split(f[4], ",")}
	for c := range strings.SplitSeq(f[5], ",") {
		basic, enhanced, _ := strings.Cut(c, "/")
		t.codes = append(t.codes, code{basic, enhanced})
	}
	for _, a := range f[6:] {
		t.accept = append(t.accept, strings.TrimPrefix(a, "+"))
	}
	known := []struct {
		values, of []string
	}{{append(t.accept, t.class), classes}, {[]string{t.whose}, whoses}, {[]string{t.suspendMax}, suspends}, {t.phases, phases}}
	for _, k := range known {
		for _, v := range k.values {
			if !slices.Contains(k.of, v) {
				return template{}, fmt.Errorf("%q is none of %v", v, k.of)
			}
		}
	}
	return t, nil
}

// parse reads a production up to the end of s or, inside of a choice, up to its "|" or "}", which it leaves in rest.
func parse(s string, inside bool) (p production, rest string, err error) {
	for s != "" {
		special := "{$}"
		if inside {
			special = "{$}|"
		}
		i := strings.IndexAny(s, special)
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			p = append(p, part{text: s[:i]})
			s = s[i:]
			continue
		}
		switch s[0] {
		case '$':
			n := strings.IndexFunc(s[1:], func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
			if n < 0 {
				n = len(s) - 1
			}
			p = append(p, part{word: s[1 : 1+n]})
			s = s[1+n:]
		case '{':
			var c part
			if c, s, err = parseChoice(s[1:]); err != nil {
				return nil, "", err
			}
			p = append(p, c)
		default:
			return p, s, nil
		}
	}
	if inside {
		return nil, "", fmt.Errorf("a choice is not closed")
	}
	return p, "", nil
}

func parseChoice(s string) (c part, rest string, err error) {
	for {
		p, rest, err := parse(s, true)
		if err != nil {
			return part{}, "", err
		}
		c.choice = append(c.choice, p)
		s = rest[1:]
		if rest[0] == '}' {
			return c, s, nil
		}
	}
}
