package replies

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/ref/replies.md anew")

const page = "../../../docs/ref/replies.md"

// docs/ref/replies.md is written from the catalogue: go test ./internal/smtp/replies -run Page -update
func TestPageHasTheCatalogue(t *testing.T) {
	want := pageText()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the catalogue says: go test ./internal/smtp/replies -run Page -update", page)
	}
}

func pageText() string {
	var w strings.Builder
	w.WriteString(head)
	for _, s := range Catalogue() {
		fmt.Fprintf(&w, "\n## %s\n\n%s\n\n", s.Title, s.About)
		w.WriteString("| reply | what has happened | what becomes of the mail | the tenant's postmaster | the operator |\n|---|---|---|---|---|\n")
		for _, e := range s.Entries {
			var codes []string
			for _, c := range e.Codes {
				codes = append(codes, "`"+c.String()+"`")
			}
			fmt.Fprintf(&w, "| <a id=%q></a>**%s** %s `%s` | %s | %s | %s | %s |\n", e.Name, e.Name, strings.Join(codes, " or "), shown(e), e.Happened, e.Mail, e.Postmaster, e.Operator)
		}
	}
	return w.String()
}

// shown is the text of an entry with the names of what is filled in.
func shown(e *Entry) string {
	values := make([]any, len(e.Holds))
	for i, name := range e.Holds {
		values[i] = name
	}
	text := strings.ReplaceAll(fmt.Sprintf(e.Text, values...), "|", `\|`)
	if len(e.Holds) == 0 {
		text = e.Text
	}
	if !e.Bare {
		text = Mark + text
	}
	return text
}

const head = `# Replies that kanmon itself gives

Look here when a mail server's log or a bounce has a reply with ` + "`kanmon:`" + ` behind its codes. Every other reply is the MX's own, as it gave it.
This page is for the postmaster of the mail server (the MSA) and for kanmon's operator; it is written from kanmon's own table, so it has all of them.

- A reply that begins with 4 is temporary: the mail stays **queued** in the MSA, which tries again by itself. It is returned when it has waited too long there, five days as a rule. kanmon has no queue
  and loses nothing.
- A reply that begins with 5 is final: the MSA **returns** the mail to its sender.
- ` + "`kanmon classify 'REPLY'`" + ` finds the row of a reply that you have from a log or a bounce.
- Words in capitals stand for what is filled in. If the operator has set ` + "`hostname`" + `, the text ends in that name in brackets.
- **Who gave a reply, and why**, the operator finds in the records by the session and the time: ` + "`local: true`" + ` marks kanmon's own replies, ` + "`decision`" + ` lines have the rule and its numbers.

A **softened** reply is not on this page: where an MX refused a mail for good because of the sending IP, kanmon may pass its text on with 4xx in place of 5xx, so that the
mail waits for another IP. The text is the MX's, without ` + "`kanmon:`" + `; only the first digits of the codes differ. The records have it with ` + "`softened: true`" + ` and the code that the MX gave.
`
