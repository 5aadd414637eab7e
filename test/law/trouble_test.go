package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/trouble.md names is there.
func TestTroublePageNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile("../../docs/trouble.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "-C", "../..", "grep", "-h", "-o", "-E", `^func (Test|Fuzz)[A-Za-z0-9_]+\(`, "--", "*_test.go").Output()
	if err != nil {
		t.Fatalf("list the tests: %v", err)
	}
	known := string(out)
	names := regexp.MustCompile(`\b(Test|Fuzz)[A-Z][A-Za-z0-9]+\b`).FindAllString(string(page), -1)
	if len(names) < 100 {
		t.Fatalf("%d tests named", len(names))
	}
	for _, name := range names {
		if !strings.Contains(known, "func "+name+"(") {
			t.Errorf("docs/trouble.md names %s, which is not there", name)
		}
	}
}
