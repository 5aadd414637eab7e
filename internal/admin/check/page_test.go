package check

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/ref/check.md anew")

const (
	pageFile  = "../../../docs/ref/check.md"
	pageBegin = "<!-- made from internal/admin/check/kinds*.go by: go test ./internal/admin/check -run TestPage -update -->\n"
	pageEnd   = "<!-- end -->\n"
)

// byID returns all kinds, by their ids.
func byID() []*Kind {
	return slices.SortedFunc(slices.Values(kinds), func(a, b *Kind) int { return strings.Compare(a.ID, b.ID) })
}

// table is what docs/ref/check.md says of all kinds.
func table() string {
	var b strings.Builder
	b.WriteString(pageBegin + "| id | severity | meaning | why it hurts | cure |\n|---|---|---|---|---|\n")
	for _, k := range byID() {
		severity := k.Severity.String()
		if k.Refuses {
			severity += ", no start"
		}
		cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
		fmt.Fprintf(&b, "| <a id=\"%s\"></a>`%s` | %s | %s | %s | %s |\n", k.ID, k.ID, severity, cell(k.Meaning), cell(k.Why), cell(k.Cure))
	}
	return b.String() + pageEnd
}

func TestPageHasEveryKind(t *testing.T) {
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		t.Fatalf("%s lacks the lines that the table stands between", pageFile)
	}
	want := before + table() + after
	if *update {
		if err := os.WriteFile(pageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what the code says: go test ./internal/admin/check -run TestPage -update", pageFile)
	}
}
