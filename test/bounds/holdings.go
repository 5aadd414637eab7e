// Package bounds knows what in kanmon can grow, and where docs/bounds.md says how far. Its test fails where it says nothing.
//
//  1. It reads the code ([ReadHoldings]): every field of a struct and every variable of a package that is a map, a slice, a list or a memory
//     of package share, whether the outside can make it grow or not.
//  2. It reads the page ([ReadPage]), which names them in the first column of its table: the holdings that a peer, a tenant or an MX can make
//     grow, with their bound.
//  3. It reads inside.txt ([ReadInside]): those that nothing outside can make grow, with the reason.
//  4. It says what neither of both names, and what they name that does not exist ([Compare]).
package bounds

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Check says what is wrong in the module whose folder is root: nothing, if all that grows is named once.
func Check(root string) ([]string, error) {
	holdings, err := ReadHoldings(root)
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "bounds.md"))
	if err != nil {
		return nil, err
	}
	inside, err := os.ReadFile(filepath.Join(root, "test", "bounds", "inside.txt"))
	if err != nil {
		return nil, err
	}
	unreasoned, names := ReadInside(string(inside))
	return append(unreasoned, Compare(holdings, ReadPage(string(page)), names)...), nil
}

// ReadHoldings gives what can grow in the code that is shipped, as "package.Type.field" or "package.variable".
func ReadHoldings(root string) ([]string, error) {
	var all []string
	for _, part := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "smtptest" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			found, err := holdingsOf(path)
			all = append(all, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, nil
}

// A reader finds the holdings of one package.
type reader struct {
	name  string
	types map[string]ast.Expr // of its declarations
	found []string
}

func holdingsOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	r := &reader{types: map[string]ast.Expr{}}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		r.name = file.Name.Name
		files = append(files, file)
	}
	for _, file := range files {
		r.each(file, func(spec ast.Spec) {
			if t, ok := spec.(*ast.TypeSpec); ok {
				r.types[t.Name.Name] = t.Type
			}
		})
	}
	for _, file := range files {
		r.each(file, r.read)
	}
	return r.found, nil
}

func (r *reader) each(file *ast.File, do func(ast.Spec)) {
	for _, decl := range file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && (g.Tok == token.TYPE || g.Tok == token.VAR) {
			for _, spec := range g.Specs {
				do(spec)
			}
		}
	}
}

func (r *reader) read(spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		r.fields(r.name+"."+s.Name.Name, s.Type)
	case *ast.ValueSpec:
		for i, name := range s.Names {
			if r.grows(s.Type, 0) || i < len(s.Values) && r.makes(s.Values[i]) {
				r.found = append(r.found, r.name+"."+name.Name)
			}
			r.fields(r.name+"."+name.Name, s.Type)
		}
	}
}

// fields finds those of a struct, also of structs in it that have no name of their own.
func (r *reader) fields(of string, t ast.Expr) {
	switch t := t.(type) {
	case *ast.ArrayType:
		r.fields(of, t.Elt)
	case *ast.StructType:
		for _, f := range t.Fields.List {
			names := f.Names
			if names == nil { // embedded
				names = []*ast.Ident{ast.NewIdent(strings.TrimPrefix(text(f.Type), "*"))}
			}
			for _, name := range names {
				if r.grows(f.Type, 0) {
					r.found = append(r.found, of+"."+name.Name)
				}
				r.fields(of+"."+name.Name, f.Type)
			}
		}
	}
}

// grows says whether a value of the type can hold any number of things by itself, and not only behind a name that is read elsewhere.
func (r *reader) grows(t ast.Expr, depth int) bool {
	if depth > 10 {
		return false
	}
	deeper := func(t ast.Expr) bool { return r.grows(t, depth+1) }
	switch t := t.(type) {
	case *ast.MapType:
		return true
	case *ast.ArrayType:
		return t.Len == nil || deeper(t.Elt)
	case *ast.ChanType:
		return false // its capacity bounds it
	case *ast.StarExpr:
		return deeper(t.X)
	case *ast.IndexExpr:
		return deeper(t.X) || deeper(t.Index)
	case *ast.IndexListExpr:
		return deeper(t.X) || slices.ContainsFunc(t.Indices, deeper)
	case *ast.SelectorExpr:
		return slices.Contains(growing, text(t))
	case *ast.Ident:
		if r.name == "share" && (t.Name == "Map" || t.Name == "Order" || t.Name == "Places") {
			return true
		}
		under, own := r.types[t.Name]
		if _, isStruct := under.(*ast.StructType); !own || isStruct {
			return false // a struct's fields are found by themselves
		}
		return deeper(under)
	}
	return false
}

// growing are types of other packages.
var growing = []string{"list.List", "sync.Map", "share.Map", "share.Order", "share.Places", "tls.ClientSessionCache", "bytes.Buffer", "strings.Builder", "event.Texts"}

// makes says whether a variable begins as something that grows.
func (r *reader) makes(v ast.Expr) bool {
	switch v := v.(type) {
	case *ast.CompositeLit:
		return r.grows(v.Type, 0)
	case *ast.CallExpr:
		switch f := v.Fun.(type) {
		case *ast.Ident:
			return f.Name == "make" && r.grows(v.Args[0], 0)
		case *ast.FuncLit:
			return f.Type.Results != nil && slices.ContainsFunc(f.Type.Results.List, func(f *ast.Field) bool { return r.grows(f.Type, 0) })
		}
	}
	return false
}

func text(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.SelectorExpr:
		return text(t.X) + "." + t.Sel.Name
	case *ast.StarExpr:
		return "*" + text(t.X)
	case *ast.IndexExpr:
		return text(t.X)
	case *ast.IndexListExpr:
		return text(t.X)
	}
	return ""
}
