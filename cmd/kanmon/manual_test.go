package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// page gives what "kanmon manual" makes.
func page(t *testing.T, args ...string) string {
	t.Helper()
	var out, wrong bytes.Buffer
	if code := run(append([]string{"manual"}, args...), &console{stdout: &out, stderr: &wrong}); code != exitOK {
		t.Fatalf("manual %v: %d: %s", args, code, wrong.String())
	}
	return out.String()
}

const configurationPage = "../../docs/ref/configuration.md"

// The reference pages say what the program says: they are made of the same texts, and kept as they are made.
func TestReferencePagesAreUpToDate(t *testing.T) {
	for _, row := range []struct {
		path string
		args []string
	}{
		{"../../docs/ref/cli.md", []string{"cli.md"}},
		{configurationPage, []string{"configuration.md", configurationPage}},
	} {
		kept, err := os.ReadFile(row.path)
		if err != nil {
			t.Fatal(err)
		}
		if page(t, row.args...) != string(kept) {
			t.Errorf("%s is not what the program says: make docs", row.path)
		}
	}
}

// The man pages hold every command with its flags, and every key with its text.
func TestManPagesAreWhole(t *testing.T) {
	commands, keys := page(t, "kanmon.1"), page(t, "kanmon.toml.5", configurationPage)
	cli, err := os.ReadFile("../../docs/ref/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^## kanmon (.*)$").FindAllStringSubmatch(string(cli), -1) {
		if !strings.Contains(commands, "## kanmon "+m[1]) {
			t.Errorf("kanmon(1) does not have %s", m[1])
		}
	}
	configuration, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`<a id="[^"]*"></a>`+"`([a-z0-9_]+)` \\|").FindAllStringSubmatch(string(configuration), -1)
	if len(found) < 100 {
		t.Errorf("%d keys with an anchor", len(found))
	}
	for _, m := range found {
		if !strings.Contains(keys, "**"+m[1]+"** = ") {
			t.Errorf("kanmon.toml(5) does not have %s", m[1])
		}
	}
	if left := regexp.MustCompile(`\]\(|<a |<!-- `).FindString(commands + keys); left != "" {
		t.Errorf("a man page holds %q, which only a browser understands", left)
	}
}

// Every command and flag says what it does.
func TestEverythingHasAHelpText(t *testing.T) {
	for line := range strings.Lines(page(t, "cli.md")) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| ") && (len(cells) < 2 || strings.Trim(cells[1], "| ") == "") {
			t.Errorf("no text: %s", line)
		}
	}
}
