package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// elsewhere are commands of the guide that no script here runs, and what runs them.
var elsewhere = map[string]string{
	"rules remove": "TestTutorialObservesAndRollsBack",
	"rules status": "TestTutorialObservesAndRollsBack",
}

// Each command that the guide has an operator type is run by a test: by a script of this package, or by what elsewhere names.
func TestCommandsOfTheGuideAreRun(t *testing.T) {
	parser, err := newParser(&console{stdout: t.Output(), stderr: t.Output()}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]bool{}
	for _, script := range textsOf(t, "testdata/script/*.txtar") {
		for line := range strings.Lines(script) {
			if _, command, ok := strings.Cut(line, "exec kanmon "); ok {
				run[commandOf(parser.Model.Node, strings.Fields(command))] = true
			}
		}
	}
	for page, text := range textsOf(t, "../../docs/howto/*.md", "../../docs/start/*.md") {
		for _, words := range commandsIn(text) {
			command := commandOf(parser.Model.Node, words)
			if command != "" && !run[command] && elsewhere[command] == "" {
				t.Errorf("%s: no test runs \"kanmon %s\"", page, command)
			}
		}
	}
	inNamespaces := strings.Join(slices.Collect(maps.Values(textsOf(t, "../../test/netns/*_test.go"))), "")
	for command, by := range elsewhere {
		switch {
		case run[command]:
			t.Errorf("a script runs \"kanmon %s\": it need not stand in elsewhere", command)
		case !strings.Contains(inNamespaces, "func "+by+"("):
			t.Errorf("%s, which is to run \"kanmon %s\", is not there", by, command)
		}
	}
}

// commandOf gives the command in the words behind "kanmon", without its values and flags.
func commandOf(n *kong.Node, words []string) string {
	var path []string
	for _, w := range words {
		child := childNamed(n, strings.Trim(w, "[](),.:;"))
		if child == nil {
			break
		}
		n, path = child, append(path, child.Name)
	}
	if len(n.Children) > 0 {
		return "" // a family of commands, which is named and not run
	}
	return strings.Join(path, " ")
}

func textsOf(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			found[path] = string(text)
		}
	}
	return found
}
