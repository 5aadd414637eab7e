package calm

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kanmon/test/testnames"
)

const root = "../.."

// variable gives the words of a variable of the Makefile.
func variable(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` = ((?:.*\\\n)*.*)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	return strings.FieldsFunc(string(found[1]), func(r rune) bool { return strings.ContainsRune(" \t\\\n|", r) })
}

// parsed gives the files of a package, those of its tests or the others.
func parsed(t *testing.T, folder string, tests bool) (all []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatal(folder, "has no files", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file)
	}
	return all
}

// begins reports whether code begins a goroutine.
func begins(code ast.Node) (is bool) {
	ast.Inspect(code, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			is = true
		case *ast.SelectorExpr:
			is = is || slices.Contains([]string{"Go", "AfterFunc", "Parallel"}, n.Sel.Name)
		}
		return !is
	})
	return is
}

// A package that begins a goroutine is tested with the race detector.
func TestCalmPackagesBeginNoGoroutine(t *testing.T) {
	for _, folder := range variable(t, "CALM") {
		for _, file := range parsed(t, folder, false) {
			if begins(file) {
				t.Errorf("%s begins a goroutine: it is not for CALM", folder)
			}
		}
	}
}

// A test that calls a calm package from goroutines runs with the race detector, too, unless the goroutines are those of a simulation in virtual time.
func TestWhatCallsFromManyGoroutinesIsRaced(t *testing.T) {
	raced, known := variable(t, "ATONCE"), map[string]bool{}
	for _, folder := range variable(t, "CALM") {
		for _, file := range parsed(t, folder, true) {
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
					continue
				}
				known[f.Name.Name] = true
				if begins(f) && !virtual(f) && !slices.Contains(raced, f.Name.Name) {
					t.Errorf("%s of %s begins goroutines, and is not in ATONCE", f.Name.Name, folder)
				}
			}
		}
	}
	for _, name := range raced {
		if !known[name] {
			t.Errorf("%s is in ATONCE, and no package of CALM has it", name)
		}
	}
}

// virtual reports whether a test has a bubble of virtual time.
func virtual(f *ast.FuncDecl) (is bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		name, ok := n.(*ast.Ident)
		is = is || ok && name.Name == "synctest"
		return !is
	})
	return is
}

// A test that is left out of the race detector's run by its name is run without it: one that was renamed, or has gone, would be in no run.
func TestLongTestsAreThere(t *testing.T) {
	known := map[string]int{}
	var calm []string
	for _, folder := range variable(t, "CALM") {
		calm = append(calm, filepath.Clean(filepath.Join(root, folder)))
	}
	in := map[string]bool{}
	for _, folder := range variable(t, "LONGIN") {
		in[filepath.Clean(filepath.Join(root, folder))] = true
	}
	long := variable(t, "LONG")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == "testdata" {
			return err
		}
		if slices.Contains(calm, path) {
			return nil
		}
		names, err := testnames.In(path)
		for name := range names {
			if !slices.Contains(long, name) {
				continue
			}
			if known[name]++; !in[path] {
				t.Errorf("%s of %s is in LONG, and its package is not in LONGIN", name, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range long {
		if known[name] == 0 {
			t.Errorf("no package but the calm ones has %s, which is in LONG", name)
		}
	}
}
