package bounds

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Everything in kanmon that can grow has a row in docs/bounds.md, or a reason why nothing outside makes it grow.
//
// audit-B: a budget for everything that is shared
func TestEverythingThatGrowsIsNamed(t *testing.T) {
	problems, err := Check(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

const sample = `package sample

type holds struct {
	kept    map[string]int
	list    []string
	few     [4]int
	byPart  [8]struct{ inner []int }
	named   names
	other   struct{ deep map[int]bool }
	queue   share.Map[string, int]
	pointer atomic.Pointer[map[int]int]
	known   Known
	embedded
}

type embedded struct{ found []byte }
type names map[string]int
type Known interface{ Get() }

var table = map[string]int{}
var made = make([]int, 3)
var number = 7

func f() { local := map[int]int{}; _ = local }
`

// The reader finds maps, slices and memories in structs and in variables, however they are written; not what ends with a call.
func TestReadHoldings(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "internal", "sample")
	for _, d := range []string{dir, filepath.Join(root, "cmd")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sample.go"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadHoldings(root)
	want := []string{
		"sample.embedded.found", "sample.holds.byPart.inner", "sample.holds.kept", "sample.holds.list", "sample.holds.named",
		"sample.holds.other.deep", "sample.holds.pointer", "sample.holds.queue", "sample.made", "sample.table",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n got %v\nwant %v", err, got, want)
	}
}

// What nobody names, what both name and what is not there any more is told, with what to do.
func TestCompare(t *testing.T) {
	page := ReadPage("`not.a.row`\n| sessions, see `limits.sessions` | `x.Live.sessions`, `x.Live.gone` |\n")
	problems, inside := ReadInside("# a comment\nx.table a table\nx.Live.sess* both\nx.empty\n")
	if len(problems) != 1 || !strings.Contains(problems[0], "x.empty in inside.txt has no reason") {
		t.Errorf("%q", problems)
	}
	got := Compare([]string{"x.Live.forgotten", "x.Live.sessions", "x.table"}, page, inside)
	for _, want := range []string{
		"x.Live.forgotten can grow, and nobody says how far", "x.Live.sessions is on the page, and test/bounds/inside.txt says",
		"x.Live.gone is named, and there is no such thing", "x.empty is named, and there is no such thing",
	} {
		if !slices.ContainsFunc(got, func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("nothing says %q:\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(got) != 5 { // and x.Live.sess* is of no use
		t.Errorf("%d problems:\n%s", len(got), strings.Join(got, "\n"))
	}
}
