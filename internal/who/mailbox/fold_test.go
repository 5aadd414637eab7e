package mailbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tables reads the tables of docs/ref/accounts.md, by the heading that they stand under.
func tables(t *testing.T) map[string][][]string {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ref", "accounts.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, heading := map[string][][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if name, is := strings.CutPrefix(line, "## "); is {
			heading = name
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), " | ") {
			cells = append(cells, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		all[heading] = append(all[heading], cells)
	}
	return all
}

// What docs/ref/accounts.md says is what holds.
//
// law: I17
func TestPublishedAccounts(t *testing.T) {
	off, err := NewFold(false)
	if err != nil {
		t.Fatal(err)
	}
	published := tables(t)
	for _, of := range []struct {
		heading string
		fold    *Fold
		least   int
	}{{"Senders that fold", Default, 60}, {"With `fold_subaddress = false`", off, 5}} {
		rows := published[of.heading]
		if len(rows) < of.least {
			t.Errorf("%s: %d rows, want %d", of.heading, len(rows), of.least)
		}
		for _, row := range rows {
			account, how := of.fold.Account(Form([]byte(row[0])))
			if account != row[1] || how.String() != row[2] {
				t.Errorf("%s: the account of %s is %s (%s), published is %s (%s)", of.heading, row[0], account, how, row[1], row[2])
			}
			if again, more := of.fold.Account(account); again != account || more != Nothing {
				t.Errorf("the account of account %s is %s", account, again)
			}
			if named := Named(account); named != account {
				t.Errorf("account %s is named %s", account, named)
			}
		}
	}
	rows := published["Senders that do not"]
	if len(rows) < 60 {
		t.Errorf("%d rows that do not fold, want 60", len(rows))
	}
	for _, row := range rows {
		form := Form([]byte(row[0]))
		account, how := Default.Account(form)
		other, _ := Default.Account(Named(row[1]))
		srs := account == SRSAccount+"@"+DomainOf(form)
		if account == other || how != Nothing && !srs || account != form && !srs {
			t.Errorf("the account of %s is %s (%s), that of %s is %s", row[0], account, how, row[1], other)
		}
	}
}

func TestPatterns(t *testing.T) {
	f, err := NewFold(true, `(news)-[0-9]+(?:-x)?(@lists\.acme\.example)`, `u(\d+)a?|never(@x)`, `()x@empty\.example`, `(.*)@all\.example`)
	if err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]string{
		"news-12@lists.acme.example":                 "news@lists.acme.example",
		"news-12-x@lists.acme.example":               "news@lists.acme.example",
		"prvs=1234abcdef=news-12@lists.acme.example": "news@lists.acme.example", // the tag first
		"news-12@lists.acme.example.net":             "news-12@lists.acme.example.net",
		"xnews-12@lists.acme.example":                "xnews-12@lists.acme.example",
		"x@empty.example":                            "x@empty.example", // nobody is no account
		"a+b@all.example":                            "a+b",
		"u12a":                                       "12",
		"bob+x@acme.example":                         "bob@acme.example",
		Null:                                         Null,
		Unreadable:                                   Unreadable,
		strings.Repeat("a", maxAccount) + "@acme.example": Unreadable,
		strings.Repeat("a", 240) + "@acme.example":        strings.Repeat("a", 240) + "@acme.example",
	} {
		if got, _ := f.Account(form); got != want {
			t.Errorf("account of %q: %q, want %q", form, got, want)
		}
	}
	for text, want := range map[string]error{"news-.*@x": ErrNoGroup, "(?:a)": ErrNoGroup, strings.Repeat("(a)", 200): ErrLong, "": ErrNoGroup} {
		if _, err := CompilePattern(text); !errors.Is(err, want) {
			t.Errorf("pattern %.20q: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"(", "a)|(b", "(?P<n", `(\x)`} {
		if _, err := CompilePattern(text); err == nil {
			t.Errorf("pattern %q: no error", text)
		}
	}
}

func TestSRSDomain(t *testing.T) {
	for local, want := range map[string]string{
		"srs0=4xkb=2q=other.example=bob":                     "other.example",
		"srs1=9fqz=first.example==4xkb=2q=other.example=bob": "other.example",
		"bob+srs=4xkbp=2q=other.example=carol":               "other.example",
		"bounces+srs=4xkbp=2q":                               "",
		"srs0=bob":                                           "",
		"srs1=9fqz=first.example=x":                          "",
	} {
		if got := srsDomain(local); got != want {
			t.Errorf("%q: %q, want %q", local, got, want)
		}
	}
}
