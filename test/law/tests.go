package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Test is a test that claims to prove items.
type Test struct {
	Package string   // folder, relative to the module's root
	Name    string   // as go test prints it: "TestX", "TestX/sub"
	Proves  []string // ids of items
}

// ReadTests finds the marks in all test files and dialogues of a module. The problems are marks that belong to no
// test; nested modules and hidden folders are not looked at.
func ReadTests(root string) (tests []Test, problems []string, err error) {
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if name != root && (isModule(name) || strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		dir := folder{root: root, dir: name, fset: token.NewFileSet(), tests: map[string]*Test{}}
		if err := dir.read(); err != nil {
			return err
		}
		for _, test := range dir.tests {
			tests = append(tests, *test)
		}
		problems = append(problems, dir.problems...)
		return nil
	})
	slices.SortFunc(tests, func(a, b Test) int {
		return strings.Compare(a.Package+" "+a.Name, b.Package+" "+b.Name)
	})
	return tests, problems, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// A folder reads the tests of one package folder.
type folder struct {
	root, dir string
	fset      *token.FileSet
	functions []*ast.FuncDecl  // Test and Fuzz functions
	tests     map[string]*Test // by name
	problems  []string
}

func (f *folder) read() error {
	names, err := filepath.Glob(filepath.Join(f.dir, "*_test.go"))
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := parser.ParseFile(f.fset, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f.source(file)
	}
	return f.dialogues()
}

// source takes the marks out of a Go file.
func (f *folder) source(file *ast.File) {
	var functions []*ast.FuncDecl
	for _, decl := range file.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && isTest(fn) {
			functions = append(functions, fn)
		}
	}
	f.functions = append(f.functions, functions...)
	for _, group := range file.Comments {
		for _, comment := range group.List {
			text, found := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(comment.Text, "//")), "law: ")
			if !found {
				continue
			}
			name := f.owner(functions, group)
			if name == "" {
				f.problem(comment.Pos(), "a mark that belongs to no Test or Fuzz function")
				continue
			}
			f.claim(name, text)
		}
	}
}

func isTest(fn *ast.FuncDecl) bool {
	return fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) &&
		fn.Name.Name != "TestMain"
}

// owner gives the name of the test that a comment speaks of, "" if there is none.
func (f *folder) owner(functions []*ast.FuncDecl, group *ast.CommentGroup) string {
	for _, fn := range functions {
		if fn.Doc == group {
			return fn.Name.Name
		}
		if fn.Pos() <= group.Pos() && group.End() <= fn.End() {
			return fn.Name.Name + f.subtest(fn, f.fset.Position(group.End()).Line+1)
		}
	}
	return ""
}

// subtest gives "/name" if t.Run("name", …) begins in the line given.
func (f *folder) subtest(fn *ast.FuncDecl, line int) string {
	name := ""
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || f.fset.Position(call.Pos()).Line != line || len(call.Args) != 2 {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "Run" {
			return true
		}
		if text, ok := literal(call.Args[0]); ok {
			name = "/" + strings.ReplaceAll(text, " ", "_") // as package testing rewrites it
		}
		return true
	})
	return name
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// dialogues takes the marks out of the text files below testdata.
func (f *folder) dialogues() error {
	data := filepath.Join(f.dir, "testdata")
	if _, err := os.Stat(data); os.IsNotExist(err) {
		return nil
	}
	return filepath.WalkDir(data, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".txt" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f.dialogue(name, string(text))
		return nil
	})
}

func (f *folder) dialogue(name, text string) {
	rel, _ := filepath.Rel(f.dir, name) // name is below f.dir
	runner := f.runner(filepath.ToSlash(rel))
	for line := range strings.Lines(text) {
		comment, found := strings.CutPrefix(line, "#")
		if !found {
			return
		}
		ids, found := strings.CutPrefix(strings.TrimSpace(comment), "law: ")
		switch {
		case !found:
		case runner == "":
			f.problems = append(f.problems, name+": a mark, but no test function of the package names the file's folder")
		default:
			f.claim(runner+"/"+strings.TrimSuffix(filepath.Base(name), ".txt"), ids)
		}
	}
}

// runner gives the test function that names the folder of a dialogue, or a pattern that the dialogue matches.
func (f *folder) runner(file string) string {
	for _, fn := range f.functions {
		found := false
		ast.Inspect(fn, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text, ok := literal(e); ok {
					matches, err := path.Match(text, file)
					found = found || text == path.Dir(file) || (err == nil && matches)
				}
			}
			return !found
		})
		if found {
			return fn.Name.Name
		}
	}
	return ""
}

func (f *folder) claim(name, ids string) {
	rel, _ := filepath.Rel(f.root, f.dir) // the walk began at root
	if f.tests[name] == nil {
		f.tests[name] = &Test{Package: filepath.ToSlash(rel), Name: name}
	}
	f.tests[name].Proves = append(f.tests[name].Proves, strings.Fields(ids)...)
}

func (f *folder) problem(pos token.Pos, text string) {
	p := f.fset.Position(pos)
	f.problems = append(f.problems, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, text))
}
