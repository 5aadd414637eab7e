package main

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// What the pages tell an operator to type exists: the commands and their flags.
func TestPagesNameCommandsThatExist(t *testing.T) {
	parser, err := newParser(&console{stdout: t.Output(), stderr: t.Output()}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{"../../README.md"}
	err = filepath.WalkDir("../../docs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".md") && !strings.Contains(path, "decisions") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range commandsIn(string(text)) {
			named++
			if unknown := unknownIn(parser.Model.Node, command); unknown != "" {
				t.Errorf("%s: %q: there is no %s", page, "kanmon "+strings.Join(command, " "), unknown)
			}
		}
	}
	if named < 50 {
		t.Errorf("%d commands in the pages: they are not understood", named)
	}
}

var (
	inlineCommand = regexp.MustCompile("`(?:sudo |# |\\$ )?kanmon ([^`]+)`")
	blockCommand  = regexp.MustCompile(`(?m)^(?:    )?(?:sudo |# |\$ )?kanmon (.+)$`)
	inBlock       = regexp.MustCompile("(?ms)^```(?:sh|console|bash)?$(.*?)^```$|^    .*?$")
)

// commandsIn gives the words behind "kanmon" of every command in a page: in text, and at the beginning of a line of a block.
func commandsIn(page string) [][]string {
	var found [][]string
	add := func(text string) { found = append(found, strings.Fields(text)) }
	for _, m := range inlineCommand.FindAllStringSubmatch(page, -1) {
		add(m[1])
	}
	for _, block := range inBlock.FindAllString(page, -1) {
		for _, m := range blockCommand.FindAllStringSubmatch(block, -1) {
			add(m[1])
		}
	}
	return found
}

// unknownIn gives the first word of a command that is no command, or no flag of it. What comes behind the last command are its values.
func unknownIn(n *kong.Node, words []string) string {
	for _, w := range words {
		flag, _, _ := strings.Cut(strings.Trim(w, "[](),.:;"), "=")
		switch {
		case strings.ContainsAny(w, "|<>#;&…") || w == "...":
			return "" // alternatives, or what the shell is to do
		case flag == "-": // standard input or output
		case strings.HasPrefix(flag, "-"):
			if !hasFlag(n, flag) && !hasFlag(n.DefaultCmd, flag) {
				return "flag " + flag
			}
		case len(n.Children) > 0:
			child := childNamed(n, flag)
			if child == nil && n.DefaultCmd == nil {
				return "command " + flag
			}
			n = cmp.Or(child, n.DefaultCmd) // whose argument it is
		}
	}
	return ""
}

func childNamed(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func hasFlag(n *kong.Node, word string) bool {
	for ; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short) {
				return true
			}
		}
	}
	return false
}
