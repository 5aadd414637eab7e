package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// An Item is a line of the law that must be proven.
type Item struct {
	ID   string
	Text string // as on the page
}

// events are the columns of the state × event table, as the page heads them.
var events = map[string]string{
	"MX lost/RST":             "MX-lost",
	"MX silent past timer":    "MX-silent",
	"MX 4xx/5xx":              "MX-refuses",
	"MX 421":                  "MX-421",
	"Malformed / extra reply": "malformed",
	"MSA lost":                "MSA-lost",
	"Failover by replay":      "replay",
	"kill −9 proxy":           "kill",
}

var (
	heading   = regexp.MustCompile(`^##+ (\d(?:\.\d)?)`)
	invariant = regexp.MustCompile(`^- \*\*(I\d+) `)
	note      = regexp.MustCompile(`\(([a-z])\) `)
	badInput  = regexp.MustCompile(`^(\d+)\. `)
	aside     = regexp.MustCompile(`\([^)]*\)|\[[^]]*\]|\*\*|\x60`) // (Exim), [n], and the page's emphasis
)

// ReadPage gives the items of docs/engine.md in the page's order.
func ReadPage(r io.Reader) ([]Item, error) {
	p := page{known: map[string]bool{}}
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<20)
	section := ""
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		if err := p.line(section, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return p.items, scan.Err()
}

// A page collects items.
type page struct {
	items  []Item
	known  map[string]bool
	events []string // of the state × event table, once its head was read
}

func (p *page) line(section, line string) error {
	switch section {
	case "2.1":
		if m := invariant.FindStringSubmatch(line); m != nil {
			return p.add(m[1], strings.TrimPrefix(line, "- "))
		}
	case "2.2":
		if strings.HasPrefix(line, "|") {
			return p.state(cells(line))
		}
		if strings.HasPrefix(line, "Notes:") {
			return p.notes(line)
		}
	case "3":
		if strings.HasPrefix(line, "|") {
			return p.keywords(cells(line))
		}
		if strings.HasPrefix(line, "Also: HELO") {
			return p.add("K-HELO", line)
		}
	case "4":
		if m := badInput.FindStringSubmatch(line); m != nil {
			return p.add("B"+m[1], strings.TrimPrefix(line, m[0]))
		}
		if text, found := strings.CutPrefix(line, "**Config / state**: "); found {
			return p.config(text)
		}
	}
	return nil
}

func (p *page) add(id, text string) error {
	if p.known[id] {
		return fmt.Errorf("%s is there twice", id)
	}
	p.known[id] = true
	p.items = append(p.items, Item{id, text})
	return nil
}

// state reads a row of the state × event table; its first row names the events.
func (p *page) state(row []string) error {
	if strings.Trim(strings.Join(row, ""), "-") == "" {
		return nil // the rule under the table's head
	}
	if p.events == nil {
		for _, head := range row[1:] {
			if events[head] == "" {
				return fmt.Errorf("unknown event %q", head)
			}
			p.events = append(p.events, events[head])
		}
		return nil
	}
	if len(row) != len(p.events)+1 {
		return fmt.Errorf("%d cells, want %d", len(row), len(p.events)+1)
	}
	state, _, _ := strings.Cut(row[0], " ")
	for i, cell := range row[1:] {
		if cell == "–" {
			continue
		}
		if err := p.add(state+"/"+p.events[i], row[0]+": "+cell); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) notes(line string) error {
	at := note.FindAllStringSubmatchIndex(line, -1)
	for i, m := range at {
		end := len(line)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		if err := p.add("N-"+line[m[2]:m[3]], strings.TrimSpace(line[m[1]:end])); err != nil {
			return err
		}
	}
	return nil
}

// keywords reads a row of the EHLO table: one keyword, or several separated by commas or slashes.
func (p *page) keywords(row []string) error {
	if row[0] == "Keyword" || strings.Trim(row[0], "-") == "" {
		return nil
	}
	names := strings.FieldsFunc(aside.ReplaceAllString(row[0], ""), func(r rune) bool { return r == ',' || r == '/' })
	for _, name := range names {
		name = strings.TrimPrefix(strings.TrimSpace(name), "any ")
		for _, pattern := range []string{"…", "*"} {
			if base, found := strings.CutSuffix(name, pattern); found {
				name = base + "-any"
			}
		}
		if err := p.add("K-"+name, strings.Join(row[1:], " · ")); err != nil {
			return err
		}
	}
	return nil
}

// config reads the last paragraph: one sentence on the configuration, one on the store, one on foreign names.
func (p *page) config(text string) error {
	sentences := regexp.MustCompile(`\. [A-Z]`).FindAllStringIndex(text, -1)
	ids := []string{"B-config", "B-state", "B-names"}
	if len(sentences) != len(ids)-1 {
		return fmt.Errorf("the config and state paragraph has %d sentences, want %d", len(sentences)+1, len(ids))
	}
	from := 0
	for i, id := range ids {
		to := len(text)
		if i < len(sentences) {
			to = sentences[i][0] + 1
		}
		if err := p.add(id, strings.TrimSpace(text[from:to])); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// cells gives the cells of a table's row, without the blanks around them.
func cells(line string) []string {
	parts := strings.Split(strings.Trim(line, "| "), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}
