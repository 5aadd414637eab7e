package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Results holds which tests passed in a run.
type Results struct {
	passed map[string]bool // "package test", the package by its import path
	module string          // first element of the import paths
}

// ReadResults reads the events of go test -json.
func ReadResults(r io.Reader) (*Results, error) {
	res := &Results{passed: map[string]bool{}}
	for dec := json.NewDecoder(r); ; {
		var e struct{ Action, Package, Test string }
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return res, nil
		} else if err != nil {
			return nil, err
		}
		res.module, _, _ = strings.Cut(e.Package, "/")
		if e.Test != "" && e.Action == "pass" {
			res.passed[e.Package+" "+e.Test] = true
		}
	}
}

// Missing lists the tests that claim something and did not pass.
func (r *Results) Missing(tests []Test) []string {
	var problems []string
	for _, t := range tests {
		pkg := r.module + "/" + t.Package
		if !r.passed[pkg+" "+t.Name] {
			problems = append(problems, fmt.Sprintf("%s %s claims %s, but did not pass in this run",
				t.Package, t.Name, strings.Join(t.Proves, " ")))
		}
	}
	return problems
}
