// Package pages checks that README.md and the pages below docs hold together.
package pages

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

const root = "../.."

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	inline  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	named   = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	text    = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// all gives every page by its path from the root of the repository.
func all(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	read := func(path string) {
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		pages[path] = string(content)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		read(name)
	}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".md") {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// anchors are those that a page's headings get where it is shown, and those that it sets itself.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(page, -1) {
		found[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		title := text.ReplaceAllString(m[1], "$1")
		found[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)] = true
	}
	return found
}

// Who follows a link of a page arrives: the file is there, and so is the heading.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := all(t)
	followed := 0
	for from, page := range pages {
		prose := inline.ReplaceAllString(fenced.ReplaceAllString(page, ""), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			followed++
			path := from
			if target != "" {
				path = filepath.Join(filepath.Dir(from), target)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: %s: there is no such file", from, m[1])
				continue
			}
			if anchor != "" && !anchors(pages[path])[anchor] {
				t.Errorf("%s: %s: %s has no such heading", from, m[1], path)
			}
		}
	}
	if followed < 100 {
		t.Errorf("%d links: they are not understood", followed)
	}
}

// Every page is led to: from README.md, by links alone.
func TestEveryPageIsReached(t *testing.T) {
	pages := all(t)
	reached := map[string]bool{}
	var follow func(path string)
	follow = func(path string) {
		if reached[path] {
			return
		}
		reached[path] = true
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(pages[path], ""), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if next := filepath.Join(filepath.Dir(path), target); pages[next] != "" {
				follow(next)
			}
		}
	}
	follow("README.md")
	for path := range pages {
		if strings.HasPrefix(path, "docs/") && !strings.HasPrefix(path, "docs/decisions/") && !reached[path] {
			t.Errorf("no link leads from README.md to %s", path)
		}
	}
}
