package smtptest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// legs are the names of the legs to the MX, by the sending IP that each comes from.
var legs = map[string]int{"mx": 0, "mx2": 1, "mx3": 2}

// A step is one line of a script.
type step struct {
	number int
	text   string
	party  string // whose it is: "msa" or a leg; "": nobody's
	writes bool   // it adds to what the party sends
	run    func(*Dialogue, *party) error
}

// A Check says what is wrong with the value of a word in an answer, and what would be right: "class", "listed". The language itself knows
// times and legs.
type Check func(word, value string) error

// parse reads a script. Its error begins with the line's number and text, and says what would be right.
func parse(script string, check Check) ([]step, error) {
	var steps []step
	for i, text := range strings.Split(script, "\n") {
		s, err := parseLine(text, check)
		if err != nil {
			return nil, fmt.Errorf("%d: %s\n%w", i+1, text, err)
		}
		s.number, s.text = i+1, text
		steps = append(steps, s)
	}
	return steps, nil
}

func parseLine(text string, check Check) (step, error) {
	keyword, arg, _ := strings.Cut(text, " ")
	switch {
	case text == "", strings.HasPrefix(text, "#"):
		return step{run: func(*Dialogue, *party) error { return nil }}, nil
	case keyword == "C:", keyword == "c:", keyword == "S:":
		return octets("msa", map[string]string{"C:": "<", "c:": "<<", "S:": ">"}[keyword], arg)
	case vocabulary[strings.TrimSuffix(keyword, ":")] != nil && strings.HasSuffix(keyword, ":"):
		return asking(strings.TrimSuffix(keyword, ":"), arg, check)
	case keyword == "told:", keyword == "untold:":
		return telling(keyword == "told:", arg)
	case keyword == "sleep", keyword == "quiet":
		return passing(keyword, arg)
	}
	if i := strings.IndexAny(keyword, "<>"); i >= 0 {
		name := keyword[:i]
		if name == "" {
			name = "mx"
		} else if legs[name] == 0 { // the first leg has no name here: one way to write it
			return step{}, fmt.Errorf("no leg %q: want < or > for the first, mx2< or mx2> for the second, mx3< or mx3> for the third", name)
		}
		return octets(name, keyword[i:], arg)
	}
	return happening(strings.TrimSpace(text))
}

// octets is a line of what a party sends (<) or receives (>), as a line of its own or, doubled, with escapes.
func octets(name, sign, arg string) (step, error) {
	s := step{party: name, writes: sign[0] == '<'}
	switch sign {
	case "<", "<<":
		text := arg + "\r\n"
		var err error
		if sign == "<<" {
			text, err = unescape(arg)
		}
		s.run = func(_ *Dialogue, p *party) error { return p.write(text) }
		return s, err
	case ">":
		s.run = func(_ *Dialogue, p *party) error { return p.wantLine(arg) }
		return s, nil
	case ">>":
		if n, err := strconv.Atoi(arg); err == nil {
			s.run = func(_ *Dialogue, p *party) error { return p.skip(n) }
			return s, nil
		}
		text, err := unescape(arg)
		s.run = func(_ *Dialogue, p *party) error { return p.wantOctets(text) }
		return s, err
	}
	return s, fmt.Errorf("no sign %q: want < or << for what the MX sends, > or >> for what it receives", sign)
}

// passing is a line that lets time pass.
func passing(keyword, arg string) (step, error) {
	length, err := time.ParseDuration(arg)
	if err != nil {
		return step{}, fmt.Errorf("%w: want a time such as 10s or 5m", err)
	}
	return step{run: func(d *Dialogue, _ *party) error {
		if keyword == "quiet" {
			return d.quiet(length)
		}
		time.Sleep(length)
		return nil
	}}, nil
}

// happenings are what a line can have happen to a leg.
var happenings = map[string]func(*Dialogue, *party) error{
	"close": func(_ *Dialogue, p *party) error { p.close(); return nil },
	"shut":  func(_ *Dialogue, p *party) error { return p.raw.CloseWrite() },
	"reset": func(_ *Dialogue, p *party) error { p.reset(); return nil },
	"eof":   func(_ *Dialogue, p *party) error { return p.wantEnd() },
	"tls": func(d *Dialogue, p *party) error {
		if p == d.msa {
			return p.startTLS(tls.Client(p.raw, &tls.Config{RootCAs: d.roots, ServerName: "mx.example.net"}))
		}
		return p.startTLS(tls.Server(p.raw, d.config))
	},
}

// happening is a line such as eof-mx2.
func happening(text string) (step, error) {
	what, name, dash := strings.Cut(text, "-")
	_, isLeg := legs[name]
	if run := happenings[what]; run != nil && dash && (isLeg || name == "msa") {
		return step{party: name, run: run}, nil
	}
	if happenings[what] != nil {
		return step{}, fmt.Errorf("not a line of the dialogue language: want %s-msa, %[1]s-mx, %[1]s-mx2 or %[1]s-mx3", what)
	}
	return step{}, fmt.Errorf("not a line of the dialogue language: want one that begins with C: c: S: < << > >> mx2> mx3< … %s: told: untold: sleep quiet or #, or one of %s with -msa, -mx, -mx2, -mx3",
		strings.Join(slices.Sorted(maps.Keys(vocabulary)), ": "), strings.Join(slices.Sorted(maps.Keys(happenings)), " "))
}

// An Answer is what a line says to a question of the proxy: words, some with a value. Nil: no line says anything.
type Answer map[string]string

// Has reports whether a word stands in the answer.
func (a Answer) Has(word string) bool {
	_, has := a[word]
	return has
}

// vocabulary is what each whom the proxy asks can say. A word that ends in "=" has a value.
var vocabulary = map[string][]string{
	"judge": {"pass", "rescue", "soften", "soften_to=", "observe", "class=", "scope=", "rule=", "why=", "avoid="},
	"gate":  {"pass", "defer", "reject", "delay=", "again", "pool=", "header=", "strip", "must"},
	"mover": {"stay", "move"},
	"content": {
		"pass", "inspect", "wait=", "hold", "tee", "behind", "off", "dot=", "pause=", "full", "accept", "divert", "defer", "refuse", "never", "pool=", "fields=",
	},
	"trust": {"pass", "refuse", "wait=", "until=", "name=", "sni=", "fresh", "anew=", "policy="},
	"dial":  append(append(slices.Sorted(maps.Keys(legs)), failures...), "same"),
}

// failures are what can become of a dial but a connection: by the MX, or because there is no sending IP to dial from.
var failures = []string{"refused", "silent", "none", "suspended", "absent", "portless"}

// alternatives are words of which an answer has one at most.
var alternatives = [][]string{{"defer", "reject"}, {"stay", "move"}, {"pass", "refuse"}, {"hold", "tee", "behind", "off"}, {"accept", "divert", "defer", "refuse", "never"}, failures, slices.Sorted(maps.Keys(legs))}

// asking is a line that answers a question: "judge: rcpt 550 => rescue", or "judge: rescue" whatever the question.
func asking(who, arg string, check Check) (step, error) {
	about, said, both := strings.Cut(arg, "=>")
	if !both {
		about, said = "", arg
	}
	words, err := split(about)
	if err != nil {
		return step{}, err
	}
	answer, err := parseAnswer(who, said, check)
	if err != nil {
		return step{}, fmt.Errorf("%w; the %s can say: %s", err, who, strings.Join(vocabulary[who], " "))
	}
	return step{run: func(d *Dialogue, _ *party) error { return d.answer(who, words, answer) }}, nil
}

func parseAnswer(who, said string, check Check) (Answer, error) {
	words, err := split(said)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, errors.New("want an answer")
	}
	answer := Answer{}
	for _, word := range words {
		key, value, valued := strings.Cut(word, "=")
		if valued {
			key += "="
		}
		if !slices.Contains(vocabulary[who], key) {
			return nil, fmt.Errorf("no answer %q", word)
		}
		err := checkValue(key, value)
		if err == nil && check != nil && valued {
			err = check(strings.TrimSuffix(key, "="), value)
		}
		if err != nil {
			return nil, err
		}
		answer[strings.TrimSuffix(key, "=")] = value
	}
	if answer.Has("pass") && len(answer) > 1 {
		return nil, errors.New("pass is all there is to say, or not said")
	}
	for _, words := range alternatives {
		if said := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !answer.Has(w) }); len(said) > 1 {
			return nil, fmt.Errorf("%s: want one of them", strings.Join(said, " and "))
		}
	}
	return answer, nil
}

func checkValue(key, value string) error {
	switch key {
	case "delay=", "wait=", "until=", "dot=", "pause=":
		if _, err := time.ParseDuration(value); err != nil {
			return fmt.Errorf("%w: want %s10s or %[2]s5m", err, key)
		}
	case "avoid=":
		for name := range strings.SplitSeq(value, ",") {
			if _, ok := legs[name]; !ok {
				return fmt.Errorf("no leg %q: want avoid=mx, avoid=mx2 or avoid=mx2,mx3", name)
			}
		}
	}
	return nil
}

// split returns the words of a text. A value with spaces stands in quotes: why="no other".
func split(text string) ([]string, error) {
	var words []string
	for text = strings.TrimLeft(text, " "); text != ""; text = strings.TrimLeft(text, " ") {
		end := strings.IndexByte(text+" ", ' ')
		key, quoted, isQuoted := strings.Cut(text, `="`)
		if !isQuoted || len(key) >= end {
			words, text = append(words, text[:end]), text[end:]
			continue
		}
		literal, err := strconv.QuotedPrefix(`"` + quoted)
		if err != nil {
			return nil, fmt.Errorf("a quote without an end: want %s=\"…\"", key)
		}
		value, _ := strconv.Unquote(literal) // QuotedPrefix has looked
		words, text = append(words, key+"="+value), text[len(key)+1+len(literal):]
	}
	return words, nil
}
