package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Later says why an item has no test yet.
type Later struct{ ID, Feature, Reason string }

// ReadLater reads later.txt: an item, the feature it belongs to, and a reason on each line, separated by blanks.
func ReadLater(r io.Reader) ([]Later, error) {
	var list []Later
	scan := bufio.NewScanner(r)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 3 {
			return nil, fmt.Errorf("line %d: want an item, a feature and a reason: %q", n, line)
		}
		if slices.ContainsFunc(list, func(l Later) bool { return l.ID == f[0] }) {
			return nil, fmt.Errorf("line %d: %s is there twice", n, f[0])
		}
		list = append(list, Later{f[0], f[1], strings.Join(f[2:], " ")})
	}
	return list, scan.Err()
}

// A Table joins items and tests.
type Table struct {
	items  []Item
	later  map[string]Later
	proofs map[string][]string // tests by item
}

// NewTable joins the items of the page, the list of what is not built yet, and what tests claim.
func NewTable(items []Item, later []Later, tests []Test) *Table {
	t := &Table{items: items, later: map[string]Later{}, proofs: map[string][]string{}}
	for _, l := range later {
		t.later[l.ID] = l
	}
	for _, test := range tests {
		for _, id := range test.Proves {
			t.proofs[id] = append(t.proofs[id], test.Package+" "+test.Name)
		}
	}
	return t
}

// Print writes the table as Markdown.
func (t *Table) Print(w io.Writer) {
	fmt.Fprintln(w, "| item | what must hold | proven by |\n|---|---|---|")
	for _, item := range t.items {
		fmt.Fprintf(w, "| %s | %s | %s |\n", item.ID, short(item.Text), t.cell(item.ID))
	}
	fmt.Fprintln(w)
}

func (t *Table) cell(id string) string {
	if proofs := t.proofs[id]; len(proofs) > 0 {
		return strings.Join(proofs, "<br>")
	}
	if l, ok := t.later[id]; ok {
		return fmt.Sprintf("not built yet (%s): %s", l.Feature, l.Reason)
	}
	return "**nothing**"
}

// short keeps a row on one line of a wide terminal.
func short(text string) string {
	const most = 90
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// Problems lists the items without a test, and the names that are no items.
func (t *Table) Problems() []string {
	known := map[string]bool{}
	var problems []string
	for _, item := range t.items {
		known[item.ID] = true
		_, later := t.later[item.ID]
		switch proven := len(t.proofs[item.ID]) > 0; {
		case proven && later:
			problems = append(problems, item.ID+" is proven: take it out of later.txt")
		case !proven && !later:
			problems = append(problems, item.ID+" has no test: "+short(item.Text))
		}
	}
	for id, tests := range t.proofs {
		if !known[id] {
			problems = append(problems, fmt.Sprintf("%s claims %q, which is no item", tests[0], id))
		}
	}
	for id := range t.later {
		if !known[id] {
			problems = append(problems, fmt.Sprintf("later.txt names %q, which is no item", id))
		}
	}
	slices.Sort(problems)
	return problems
}

// Summary gives the numbers in one line.
func (t *Table) Summary() string {
	proven, later := 0, 0
	for _, item := range t.items {
		if len(t.proofs[item.ID]) > 0 {
			proven++
		} else if _, ok := t.later[item.ID]; ok {
			later++
		}
	}
	return fmt.Sprintf("law: %d items: %d proven, %d not built yet, %d without a test",
		len(t.items), proven, later, len(t.items)-proven-later)
}
