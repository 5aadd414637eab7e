package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What the page of the example site shows of "kanmon explain" is what it says of that site.
func TestPageOfTheExampleSiteShowsWhatIsSaid(t *testing.T) {
	text, err := os.ReadFile("../../docs/howto/example-site.md")
	if err != nil {
		t.Fatal(err)
	}
	const prompt = "    # kanmon "
	shown := 0
	for block := range strings.SplitSeq(string(text), "\n\n") {
		if !strings.HasPrefix(block, prompt) {
			continue
		}
		shown++
		command, want, _ := strings.Cut(strings.TrimPrefix(block, prompt), "\n")
		args := strings.Fields(strings.ReplaceAll(command, "'", ""))
		var out, wrong bytes.Buffer
		if code := run(append(args, "--config", "../../dist/site.toml"), &console{stdout: &out, stderr: &wrong}); code != exitOK {
			t.Errorf("%s: exit code %d: %s", command, code, wrong.String())
		}
		var said strings.Builder
		for line := range strings.Lines(out.String()) {
			said.WriteString("    " + line)
		}
		if strings.TrimSpace(said.String()) != strings.TrimSpace(want) {
			t.Errorf("%s: said\n%s\nthe page has\n%s", command, said.String(), want)
		}
	}
	if shown != 3 {
		t.Errorf("%d examples", shown)
	}
}
