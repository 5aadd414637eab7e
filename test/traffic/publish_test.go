package traffic

import (
	"os"
	"path/filepath"
	"testing"
)

// In a fresh clone the folder of the report is not there yet.
func TestSaveMakesTheFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "build", "bench.md")
	if err := Publish("text\n", file); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "text\n" {
		t.Errorf("%q, %v", text, err)
	}
}
