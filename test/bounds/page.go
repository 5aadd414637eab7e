package bounds

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

var quoted = regexp.MustCompile("`([a-z]+(?:\\.[A-Za-z]\\w*)+)`")

// ReadPage gives the holdings that the page names: those in backquotes in the last column of a table.
func ReadPage(page string) (names []string) {
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for _, m := range quoted.FindAllStringSubmatch(cells[len(cells)-1], -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// ReadInside gives the patterns of inside.txt, and what is wrong with it. A line has a pattern (path.Match) and a reason; a line that begins with
// # is for people.
func ReadInside(list string) (problems, patterns []string) {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, _ := strings.Cut(line, " ")
		if strings.TrimSpace(reason) == "" {
			problems = append(problems, pattern+" in inside.txt has no reason: say why nothing outside makes it grow")
		}
		patterns = append(patterns, pattern)
	}
	return problems, patterns
}

// Compare says what is not named, what is named twice, and what does not exist.
func Compare(holdings, page, inside []string) (problems []string) {
	used := map[string]bool{}
	for _, h := range holdings {
		onPage := slices.Contains(page, h)
		used[h] = onPage
		i := slices.IndexFunc(inside, func(pattern string) bool { ok, _ := path.Match(pattern, h); return ok })
		switch {
		case i >= 0 && onPage:
			problems = append(problems, h+" is on the page, and test/bounds/inside.txt says that nothing outside makes it grow: which is it?")
		case i >= 0:
			used[inside[i]] = true
		case !onPage:
			problems = append(problems, h+" can grow, and nobody says how far. If a peer, a tenant or an MX can make it grow: give it a bound, a tenant's part "+
				"and a rule for what goes (package share has one), and a row in docs/bounds.md. If not: a line in test/bounds/inside.txt says why.")
		}
	}
	for _, name := range slices.Concat(page, inside) {
		if !used[name] {
			problems = append(problems, name+" is named, and there is no such thing that grows: take it out, or follow its new name")
		}
	}
	return problems
}
