package manual

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// ExamplesFile has what commands print: behind a line "-- kanmon ip list --" its output. A test runs them all.
//
//go:embed examples.txt
var ExamplesFile string

// An Example is a command line and what it prints.
type Example struct{ Line, Output string }

var exampleLine = regexp.MustCompile(`(?m)^-- (kanmon .+) --\n`)

// Examples returns those of the file, in its order.
func Examples() []Example {
	var all []Example
	at := exampleLine.FindAllStringSubmatchIndex(ExamplesFile, -1)
	for i, m := range at {
		end := len(ExamplesFile)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		all = append(all, Example{ExamplesFile[m[2]:m[3]], ExamplesFile[m[1]:end]})
	}
	return all
}

// examplesOf returns those of one command, as a block of Markdown.
func examplesOf(n *kong.Node) string {
	var b strings.Builder
	for _, e := range Examples() {
		if !isOf(e.Line, n) {
			continue
		}
		b.WriteString("\nExample:\n\n    # " + e.Line + "\n")
		for line := range strings.Lines(e.Output) {
			b.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
		}
	}
	return b.String()
}

// isOf reports whether a line is a call of a command: by its name, or without it where the command above takes it for what is meant.
func isOf(line string, n *kong.Node) bool {
	if rest, is := strings.CutPrefix(line, n.FullPath()); is && (rest == "" || rest[0] == ' ') {
		return true
	}
	if n.Parent == nil || n.Parent.DefaultCmd != n {
		return false
	}
	rest, is := strings.CutPrefix(line, n.Parent.FullPath())
	return is && (rest == "" || strings.HasPrefix(rest, " -"))
}
