package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A page with one item of each kind, and of each way to write a keyword.
const smallPage = `# Law
## 1. Standards
| # | Source |
| A1 | - **I9 not here** |
### 2.1 Numbered invariants
- **I1 No false ack.** Text.
### 2.2 State × event
| State | MX lost/RST | MSA lost |
|---|---|---|
| S0 dial | 421 | – |
| S6' dot | same | **drop** |
Notes: (a) first (see A7). (b) second.
## 3. EHLO
| Keyword | Default |
|---|---|
| SIZE [n] | pass |
| AUTH / AUTH=, PRDR (Exim), any ` + "`X…`" + `, UTF8SMTP* | strip |
| **unknown** | strip |
Also: HELO from MSA.
## 4. Bad input
1. Bare LF.
**Config / state**: unknown key ⇒ refused. Redis: ignored. PTR names ⇒ escaped.
`

func TestReadPage(t *testing.T) {
	items, err := ReadPage(strings.NewReader(smallPage))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	want := "I1 S0/MX-lost S6'/MX-lost S6'/MSA-lost N-a N-b K-SIZE K-AUTH K-AUTH= K-PRDR K-X-any K-UTF8SMTP-any " +
		"K-unknown K-HELO B1 B-config B-state B-names"
	if diff := cmp.Diff(strings.Fields(want), ids); diff != "" {
		t.Error(diff)
	}
	if got := items[len(items)-2].Text; got != "Redis: ignored." {
		t.Errorf("B-state is %q", got)
	}
}

func TestReadPageRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"MSA lost", "MSA sleeps", `line 8: unknown event "MSA sleeps"`},
		{"| 421 | – |", "| 421 |", "line 10: 2 cells, want 3"},
		{"SIZE [n]", "PRDR", "K-PRDR is there twice"},
		{" Redis: ignored.", "", "2 sentences, want 3"},
	} {
		_, err := ReadPage(strings.NewReader(strings.Replace(smallPage, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: error %v, want %q", c.new, c.old, err, c.want)
		}
	}
}

// The real page: nothing may get lost when somebody edits it.
func TestTheLawIsComplete(t *testing.T) {
	items, err := readFile(filepath.Join("..", "..", "docs", "engine.md"), ReadPage)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, i := range items {
		got[i.ID[:1]]++
	}
	want := map[string]int{"I": 25, "S": 70, "H": 48, "T": 8, "N": 8, "K": 51, "B": 23}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("items by first letter: %s", diff)
	}
}

const markedTests = `package p

import "testing"

// TestDoc proves.
//
// law: I1 B1
// law: B2
func TestDoc(t *testing.T) {}

func TestInside(t *testing.T) {
	// law: I2
	t.Run("with blanks", func(t *testing.T) {})
	for range 3 {
		// law: I3
		t.Log()
	}
}

// law: I4
func FuzzIt(f *testing.F) {}

// law: I5
func helper() {}

func TestDialogues(t *testing.T) { run(t, "testdata/talk") }
`

func TestReadTests(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                     "module m\n",
		"p/p_test.go":                markedTests,
		"p/testdata/talk/a.txt":      "# A talk.\n# law: K-SIZE\nclient: EHLO\n# law: not here\n",
		"p/testdata/silent/b.txt":    "# law: K-DSN\n",
		"nested/go.mod":              "module n\n",
		"nested/n_test.go":           "package n\n// law: I6\nfunc TestN() {}\n",
		"p/testdata/pkg/x_test.go":   "package x\n// law: I7\nfunc TestX() {}\n",
		"p/testdata/talk/unmarked.c": "# law: I8\n",
	} {
		write(t, root, name, text)
	}
	tests, problems, err := ReadTests(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []Test{
		{"p", "FuzzIt", []string{"I4"}},
		{"p", "TestDialogues/a", []string{"K-SIZE"}},
		{"p", "TestDoc", []string{"I1", "B1", "B2"}},
		{"p", "TestInside", []string{"I3"}},
		{"p", "TestInside/with_blanks", []string{"I2"}},
	}
	if diff := cmp.Diff(want, tests); diff != "" {
		t.Error(diff)
	}
	if len(problems) != 2 || !strings.Contains(problems[0], "p_test.go:23: a mark that belongs to no Test") ||
		!strings.Contains(problems[1], "b.txt: a mark, but no test function") {
		t.Errorf("problems: %q", problems)
	}
}

func TestMissing(t *testing.T) {
	results, err := ReadResults(strings.NewReader(`{"Action":"pass","Package":"m/p","Test":"TestA"}
{"Action":"fail","Package":"m/p","Test":"TestB"}
{"Action":"skip","Package":"m/p","Test":"TestC"}
{"Action":"pass","Package":"m/p"}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := results.Missing([]Test{{"p", "TestA", []string{"I1"}}, {"p", "TestB", nil}, {"p", "TestC", nil}, {"q", "TestA", []string{"I1", "I2"}}})
	if len(got) != 3 || got[2] != "q TestA claims I1 I2, but did not pass in this run" {
		t.Errorf("missing: %q", got)
	}
}

func TestTable(t *testing.T) {
	items := []Item{{"I1", "proven"}, {"I2", "not yet"}, {"I3", "forgotten"}, {"I4", "both"}}
	later := []Later{{"I2", "rescue", "why"}, {"I4", "rescue", "why"}, {"I8", "rescue", "why"}}
	table := NewTable(items, later, []Test{{"p", "TestA", []string{"I1", "I4", "I9"}}, {"p", "TestB", []string{"I1"}}})
	var out strings.Builder
	table.Print(&out)
	for _, row := range []string{
		"| I1 | proven | p TestA<br>p TestB |", "| I2 | not yet | not built yet (rescue): why |", "| I3 | forgotten | **nothing** |",
	} {
		if !strings.Contains(out.String(), row+"\n") {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
	want := []string{
		"I3 has no test: forgotten", "I4 is proven: take it out of later.txt", `later.txt names "I8", which is no item`,
		`p TestA claims "I9", which is no item`,
	}
	if diff := cmp.Diff(want, table.Problems()); diff != "" {
		t.Error(diff)
	}
	if got := table.Summary(); got != "law: 4 items: 2 proven, 1 not built yet, 1 without a test" {
		t.Error(got)
	}
}

func TestReadLater(t *testing.T) {
	for text, want := range map[string]string{
		"I1 rescue\n":             "line 1: want an item, a feature and a reason",
		"# x\nI1 a b\n\nI1 a b\n": "line 4: I1 is there twice",
	} {
		if _, err := ReadLater(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	root := t.TempDir()
	write(t, root, "docs/engine.md", "### 2.1 x\n- **I1 Law.**\n")
	write(t, root, "test/law/later.txt", "")
	write(t, root, "p/p_test.go", "package p\n\n// law: I1\nfunc TestA(t *testing.T) {}\n")
	write(t, root, "failed.json", `{"Action":"fail","Package":"m/p","Test":"TestA"}`)
	for results, want := range map[string]bool{"": true, filepath.Join(root, "failed.json"): false} {
		var out strings.Builder
		if ok, err := run(&out, root, results, true); err != nil || ok != want {
			t.Errorf("results %q: %v, %v, want %v\n%s", results, ok, err, want, out.String())
		}
	}
	if _, err := run(&strings.Builder{}, t.TempDir(), "", true); err == nil {
		t.Error("an empty folder has a law")
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
