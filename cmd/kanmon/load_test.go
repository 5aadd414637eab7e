package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Only the service itself takes the directories of its own process for what it writes. Every other command is run from a shell and asks
// after the service's files: a backup of what the shell's directories hold would be empty.
func TestCommandsMeanTheServicesFiles(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "run.go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if of, ok := s.X.(*ast.Ident); ok && of.Name == "config" && s.Sel.Name == "Load" {
					t.Errorf("%s: config.Load: want (*configFlag).load", file)
				}
			}
			return true
		})
	}
}
