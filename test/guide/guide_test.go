package guide

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kanmon/test/testnames"
)

const docs = "../../docs"

func all(t *testing.T) (commands []Command) {
	t.Helper()
	pages, err := Pages(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		found, err := Read(docs, page)
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, found...)
	}
	return commands
}

// What a page has a person type is found, whatever form it stands in, and nothing else.
func TestCommandsAreFound(t *testing.T) {
	const page = `# A page

**Before you begin.** Run ` + "`cp a b`, not `kanmon explain ADDRESS`, nor `make`" + `.

Text with ` + "`kanmon not a step`" + `.

## First

    kanmon check         # a comment
    kanmon init --yes \
        --role msa

1. Step: ` + "`systemctl start kanmon`" + `

       [intercept]
       local = true

    12:00 output
    $ kanmon ip list
    SENDING IP

` + "```sh\njq '\n  .a\n' file\n```\n\n```text\nsession  words\n```\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir, "page.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []Command{
		{"page.md", "A page", 3, 0, "cp a b"},
		{"page.md", "First", 9, 1, "kanmon check"},
		{"page.md", "First", 10, 1, "kanmon init --yes --role msa"},
		{"page.md", "First", 13, 0, "systemctl start kanmon"},
		{"page.md", "First", 19, 3, "kanmon ip list"},
		{"page.md", "First", 23, 4, "jq '\n  .a\n' file"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// All that the guide has a person type is typed by the machine of test/systemd, or by what the list of exceptions names; and each exception
// is one of a command that is there.
func TestEveryCommandOfTheGuideIsTyped(t *testing.T) {
	commands := all(t)
	excepted := 0
	for _, c := range commands {
		if Excepted(c) != "" {
			excepted++
		}
	}
	t.Logf("%d commands; %d are not typed by the machine", len(commands), excepted)
	if len(commands) < 80 {
		t.Error("the pages are not understood")
	}
	for _, e := range Exceptions {
		found := false
		for _, c := range commands {
			found = found || e.Is(c)
		}
		if !found {
			t.Errorf("no page has the command %q: it needs no exception", e.Text)
		}
		for _, test := range regexp.MustCompile(`\b(Test\w+) in ([\w/]+)`).FindAllStringSubmatch(e.Why, -1) {
			known, err := testnames.In(filepath.Join("../..", test[2]))
			if err != nil {
				t.Fatal(err)
			}
			if !known[test[1]] {
				t.Errorf("%s, which is to run %q, is not in %s", test[1], e.Text, test[2])
			}
		}
	}
}

// The way from the package to the first mail on record is one block, of six commands at most.
func TestFirstMailTakesSixCommands(t *testing.T) {
	first := FirstMail(all(t))
	if len(first) == 0 || len(first) > 6 || !strings.HasPrefix(first[0].Text, "apt install ") || !strings.Contains(first[len(first)-1].Text, "session.log") {
		t.Errorf("from the package to the first mail on record: %v", first)
	}
}

// The first page says the same as the page of the installation, so that what is typed here is what a reader of either types.
func TestReadmeInstallsAsTheGuideDoes(t *testing.T) {
	readme, err := Read("../..", "README.md")
	if err != nil {
		t.Fatal(err)
	}
	typed := func(commands []Command) (texts []string) {
		for _, c := range commands {
			texts = append(texts, c.Text)
		}
		return texts
	}
	begin := slices.IndexFunc(readme, func(c Command) bool { return strings.HasPrefix(c.Text, "apt install ") })
	want := typed(FirstMail(all(t)))
	if begin < 0 || len(readme) < begin+len(want) || !slices.Equal(typed(readme[begin:begin+len(want)]), want) {
		t.Errorf("README.md has %q, want %q", typed(readme), want)
	}
}
