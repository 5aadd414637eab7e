package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every test that a page names is there.
func TestPagesNameTestsThatExist(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "grep", "-h", "-o", "-E", `^func (Test|Fuzz)[A-Za-z0-9_]+\(`, "--", "*_test.go").Output()
	if err != nil {
		t.Fatalf("list the tests: %v", err)
	}
	known := string(out)
	for file, least := range map[string]int{"trouble.md": 100, "ref/ways.md": 10} {
		page, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(Test|Fuzz)[A-Z][A-Za-z0-9]+\b`).FindAllString(string(page), -1)
		if len(names) < least {
			t.Errorf("docs/%s names %d tests, want at least %d", file, len(names), least)
		}
		for _, name := range names {
			if !strings.Contains(known, "func "+name+"(") {
				t.Errorf("docs/%s names %s, which is not there", file, name)
			}
		}
	}
}
