package interop

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDifferences(t *testing.T) {
	got, err := parseDifferences("# a comment\n\nsuite  TestA/sub   not offered: RFC 3207 §4.2\nsuite ?TestB RFC 821 §1")
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{
		{Suite: "suite", Test: "TestA/sub", Reason: "not offered: RFC 3207 §4.2"},
		{Suite: "suite", Test: "TestB", Maybe: true, Reason: "RFC 821 §1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []struct{ text, want string }{
		{"suite TestA because\n", "differences.txt:1: the reason names no section"},
		{"suite TestA\n", "differences.txt:1: the reason names no section"},
		{"s T RFC 1870 §3\ns T RFC 1870 §3\n", "differences.txt:2: listed twice: s T"},
	} {
		if _, err := parseDifferences(bad.text); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q: error %v, want one with %q", bad.text, err, bad.want)
		}
	}
}

func TestCompare(t *testing.T) {
	written := []Difference{
		{Suite: "s", Test: "known"},
		{Suite: "s", Test: "stale"},
		{Suite: "s", Test: "no such"},
		{Suite: "s", Test: "Some*"},
		{Suite: "s", Test: "fine", Maybe: true},
		{Suite: "other", Test: "unknown"},
	}
	direct := Verdicts{"known": "pass", "unknown": "pass", "stale": "pass", "fine": "pass", "SomeA": "pass", "SomeB": "pass"}
	through := Verdicts{"known": "fail", "stale": "pass", "fine": "pass", "SomeA": "fail", "SomeB": "pass"}
	want := []Problem{
		{"SomeB", "in differences.txt, but its verdict is the same: take it out"},
		{"stale", "in differences.txt, but its verdict is the same: take it out"},
		{"unknown", "pass direct, not run through the proxy, and not in differences.txt"},
		{"no such", "in differences.txt, but there is no such test"},
	}
	if diff := cmp.Diff(want, Compare("s", direct, through, written)); diff != "" {
		t.Error(diff)
	}
	if problems := Compare("s", direct, direct, nil); problems != nil {
		t.Errorf("two equal runs have problems: %q", problems)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, test string
		want          bool
	}{
		{"TestA", "TestA", true},
		{"TestA", "TestAB", false},
		{"TestA*", "TestAB", true},
		{"TestA*", "TestA", true},
		{"TestA*", "TestB", false},
		{"T*/*<LF>", "TestA/<CR>.<LF>", true},
		{"T*/*<LF>", "TestA<LF>", false},
	} {
		if got := (Difference{Test: c.pattern}).fits(c.test); got != c.want {
			t.Errorf("%s fits %s: %v", c.pattern, c.test, got)
		}
	}
}
