// Command law shows which test proves each line of docs/engine.md, and fails if a line has none.
//
//  1. It reads the page and gives each line that must be proven an id ([ReadPage]).
//  2. It reads the marks that tests carry, and from them knows which test claims to prove what ([ReadTests]).
//  3. It reads later.txt, the lines whose feature is not built yet ([ReadLater]).
//  4. It prints a table, and exits with 1 and a list of what is wrong if an item has no test, if a mark or a line of
//     later.txt names no item, if one item is in both, or if a mark stands where no test is.
//
// With -results it also reads the events of a run (go test -json), and a test that claims something must have passed
// in it: a proof that was not run is none.
//
// # Items
//
//	I1 … I22         an invariant
//	S6/MSA-lost      a cell of the state × event table: state, slash, event. The events are MX-lost, MX-silent,
//	                 MX-refuses, MX-421, malformed, MSA-lost, replay and kill. A cell with only a dash is no item.
//	N-a … N-g        a note under that table
//	K-SIZE           a keyword of the EHLO table; K-X-any and K-UTF8SMTP-any for the patterns, K-unknown, K-HELO
//	B1 … B20         a line of the bad-input list; B-config, B-state and B-names for its last paragraph
//
// # Marks
//
// A mark is the word "law:" and items, in a comment:
//
//	// law: I1 S7/MX-lost        in the comment above a Test or Fuzz function, or inside of it: that function
//	// law: B3                   in the line above t.Run("name", …): that subtest
//	# law: K-CHUNKING B6         in the comment that opens testdata/…/name.txt: the subtest "name" of the test
//	                             function of the package that names the file's folder
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the `folder` of the module")
	results := flag.String("results", "", "a `file` with the events of go test -json: only tests that passed count")
	summary := flag.Bool("summary", false, "print no table, only what is wrong and the numbers")
	flag.Parse()
	ok, err := run(os.Stdout, *root, *results, *summary)
	if err != nil {
		fmt.Fprintln(os.Stderr, "law:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run prints the table and says whether everything is proven.
func run(out io.Writer, root, results string, summary bool) (bool, error) {
	items, err := readFile(filepath.Join(root, "docs", "engine.md"), ReadPage)
	if err != nil {
		return false, err
	}
	later, err := readFile(filepath.Join(root, "test", "law", "later.txt"), ReadLater)
	if err != nil {
		return false, err
	}
	tests, problems, err := ReadTests(root)
	if err != nil {
		return false, err
	}
	if results != "" {
		passed, err := readFile(results, ReadResults)
		if err != nil {
			return false, err
		}
		problems = append(problems, passed.Missing(tests)...)
	}
	t := NewTable(items, later, tests)
	if !summary {
		t.Print(out)
	}
	problems = append(problems, t.Problems()...)
	for _, p := range problems {
		fmt.Fprintln(out, "law:", p)
	}
	fmt.Fprintln(out, t.Summary())
	return len(problems) == 0, nil
}

// readFile opens a file and reads it with the function given.
func readFile[T any](name string, read func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(name)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	v, err := read(f)
	if err != nil {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}
