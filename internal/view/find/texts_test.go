package find

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"kanmon/internal/event"
	"kanmon/internal/smtp/replies"
)

var verb = regexp.MustCompile(`%(\[\d\])?[sdq]`)

// Every text for people stands there in all languages, with the same things to fill in.
func TestEachTextIsThereInEachLanguage(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	texts, set := 0, token.NewFileSet()
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(set, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			c, is := n.(*ast.CompositeLit)
			if !is || len(c.Elts) != int(langCount) || !isText(c) {
				return true
			}
			texts++
			compareTexts(t, fmt.Sprint(set.Position(c.Pos())), stringOf(t, c.Elts[0]), stringOf(t, c.Elts[1]))
			return true
		})
	}
	const least = 140
	if texts < least {
		t.Errorf("%d texts found, want at least %d: this test does not see them", texts, least)
	}
}

// isText finds literals of type text, also where their type is left out: two strings.
func isText(c *ast.CompositeLit) bool {
	if id, is := c.Type.(*ast.Ident); is {
		return id.Name == "text"
	}
	return c.Type == nil && !slices.ContainsFunc(c.Elts, func(e ast.Expr) bool {
		l, is := e.(*ast.BasicLit)
		return !is || l.Kind != token.STRING
	})
}

func stringOf(t *testing.T, e ast.Expr) string {
	l, is := e.(*ast.BasicLit)
	if !is {
		t.Fatalf("a text that is no literal: %v", e)
	}
	text, err := strconv.Unquote(l.Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compareTexts(t *testing.T, where, en, ja string) {
	if en == "" || ja == "" {
		t.Errorf("%s: %q, %q: one is not there", where, en, ja)
		return
	}
	holdsEn, holdsJa := verb.FindAllString(en, -1), verb.FindAllString(ja, -1)
	if strings.Contains(en+ja, "%[") { // in any order
		slices.Sort(holdsEn)
		slices.Sort(holdsJa)
	}
	if !slices.Equal(holdsEn, holdsJa) {
		t.Errorf("%s: %q has %v to fill in, %q has %v", where, en, holdsEn, ja, holdsJa)
	}
	if words := verb.ReplaceAllString(en, ""); strings.ContainsFunc(words, unicode.IsLetter) && !strings.ContainsFunc(ja, isJapanese) {
		t.Errorf("%s: %q is not Japanese", where, ja)
	}
	if strings.ContainsFunc(en, isJapanese) {
		t.Errorf("%s: %q is not English", where, en)
	}
}

func isJapanese(r rune) bool {
	return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han) || r == '、' || r == '（'
}

// Every class of refusals has a meaning, advice, and words for whoever wrote the mail.
func TestEachClassIsExplained(t *testing.T) {
	for c := event.Unjudged; c < event.ClassCount; c++ {
		for _, l := range []Lang{English, Japanese} {
			row := classTexts[c]
			if row.meaning[l] == "" || row.do[l] == "" || row.customer[l] == "" {
				t.Errorf("class %q is not explained in %s: %q, %q, %q", c, l, row.meaning[l], row.do[l], row.customer[l])
			}
		}
	}
	for f := FaultUnsaid; f < FaultCount; f++ {
		if f.In(English) == "" || f.String() == "" {
			t.Errorf("fault %d has no words", f)
		}
	}
}

// Every reply of kanmon's own is explained in Japanese, and is somebody's; of those that are none of the catalogue any more nothing is left.
func TestEachReplyOfOurOwnIsExplained(t *testing.T) {
	left := map[string]bool{}
	for name := range ownTexts {
		left[name] = true
	}
	for _, s := range replies.Catalogue() {
		for _, e := range s.Entries {
			delete(left, e.Name)
			if _, is := ownTexts[e.Name]; !is && s.Entries[0].Name != "too-many-recipients" { // of commands most are of one kind
				t.Errorf("%s has no row in ownTexts", e.Name)
			}
			if own := ownOf(e); own.meaning == "" || own.do == "" || own.whose == FaultUnsaid {
				t.Errorf("%s is not explained: %+v", e.Name, own)
			}
		}
	}
	for name := range left {
		t.Errorf("%s is no reply", name)
	}
}

// Every action that the records have of a refusal or a decision is told in words.
func TestEachDeedHasWords(t *testing.T) {
	for d := event.Rescued; d <= event.AlsoRefused; d++ {
		if _, is := deedTexts[d.String()]; !is {
			t.Errorf("nothing is said of %q", d)
		}
	}
	page, err := os.ReadFile("../../../docs/ref/record.md")
	if err != nil {
		t.Fatal(err)
	}
	_, decisions, _ := strings.Cut(string(page), "### `decision`")
	_, row, _ := strings.Cut(decisions, "| `action` | string |")
	row, _, _ = strings.Cut(row, "\n")
	names := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row, -1)
	if len(names) < 15 {
		t.Fatalf("%s has no list of actions of decisions: %v", "record.md", names)
	}
	notActions := []string{"leave", "account_header_conflict"}
	for _, n := range names {
		if _, is := deedTexts[n[1]]; !is && !slices.Contains(notActions, n[1]) {
			t.Errorf("nothing is said of %q", n[1])
		}
	}
}
