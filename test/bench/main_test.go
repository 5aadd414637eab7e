package main

import (
	"os"
	"path/filepath"
	"testing"
)

// In a fresh clone the folder of the report is not there yet.
func TestSaveMakesTheFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "build", "bench.md")
	if err := save(file, "text\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text\n" {
		t.Errorf("%q, %v", text, err)
	}
}
