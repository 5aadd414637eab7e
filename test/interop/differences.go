package interop

import (
	"bufio"
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A Difference is a test whose verdict is expected to change, and why that is right.
type Difference struct {
	Suite  string
	Test   string // "*" stands for any part of a name; then every test that fits must change
	Maybe  bool   // a matter of timing: the verdict may change or not
	Reason string
}

func (d Difference) fits(test string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(d.Test), `\*`, ".*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(test)
}

//go:embed differences.txt
var written string

// Differences gives the list in differences.txt: a suite, a test and a reason on each line, separated by blanks. A
// reason names the section of the RFC that stands behind it. A question mark before the test stands for Maybe.
func Differences() ([]Difference, error) { return parseDifferences(written) }

var rfcSection = regexp.MustCompile(`RFC \d{3,5} §\d`)

func parseDifferences(text string) ([]Difference, error) {
	var list []Difference
	seen := map[[2]string]bool{}
	scan := bufio.NewScanner(strings.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		suite, rest, _ := strings.Cut(line, " ")
		test, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
		test, maybe := strings.CutPrefix(test, "?")
		d := Difference{suite, test, maybe, strings.TrimSpace(reason)}
		if !rfcSection.MatchString(d.Reason) {
			return nil, fmt.Errorf("differences.txt:%d: the reason names no section of an RFC: %s", n, line)
		}
		if seen[[2]string{suite, test}] {
			return nil, fmt.Errorf("differences.txt:%d: listed twice: %s %s", n, suite, test)
		}
		seen[[2]string{suite, test}] = true
		list = append(list, d)
	}
	return list, scan.Err()
}

// A Problem is a test that did other than differences.txt says.
type Problem struct{ Test, Text string }

// String gives the test and what is wrong with it.
func (p Problem) String() string { return p.Test + ": " + p.Text }

// Compare holds two runs of a suite against the written differences: a change that is not written down is a problem,
// and so is a written difference that is none.
func Compare(suite string, direct, through Verdicts, written []Difference) []Problem {
	written = slices.DeleteFunc(slices.Clone(written), func(d Difference) bool { return d.Suite != suite })
	used := make([]bool, len(written))
	var problems []Problem
	for _, test := range tests(direct, through) {
		expected, maybe := false, false
		for i, d := range written {
			if d.fits(test) {
				expected, maybe, used[i] = true, maybe || d.Maybe, true
			}
		}
		switch was, is := orNone(direct[test]), orNone(through[test]); {
		case was != is && !expected:
			text := fmt.Sprintf("%s direct, %s through the proxy, and not in differences.txt", was, is)
			problems = append(problems, Problem{test, text})
		case was == is && expected && !maybe:
			problems = append(problems, Problem{test, "in differences.txt, but its verdict is the same: take it out"})
		}
	}
	for i, d := range written {
		if !used[i] {
			problems = append(problems, Problem{d.Test, "in differences.txt, but there is no such test"})
		}
	}
	return problems
}

// tests gives the names of all tests of two runs, sorted.
func tests(direct, through Verdicts) []string {
	names := maps.Clone(direct)
	maps.Copy(names, through)
	return slices.Sorted(maps.Keys(names))
}

func orNone(v Verdict) Verdict {
	if v == "" {
		return "not run"
	}
	return v
}
