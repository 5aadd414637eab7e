package session

import (
	"slices"
	"strings"
	"testing"

	"kanmon/internal/smtp"
)

// TestOneKeywordMoreHasRoom: a row in the table of keywords is all that one more of them needs to pass from the MX to the MSA.
func TestOneKeywordMoreHasRoom(t *testing.T) {
	next := kwSizeNamed << 1
	if next == 0 {
		t.Fatal("all bits of a keyword are taken")
	}
	mx := smtp.NewReply(250, "", "mx.example\nSIZE 1000\none-more 240\nDSN")
	var offered capabilities
	if parseEHLO(&mx, &offered, new(oddWords)); offered.offers(next) {
		t.Fatal("a keyword counts that is not in the table")
	}
	before := keywords
	t.Cleanup(func() { keywords = before })
	keywords = append(slices.Clone(before), struct {
		name string
		bit  keyword
	}{"ONE-MORE", next})
	parseEHLO(&mx, &offered, new(oddWords))
	got := string(offered.appendEHLO(nil, false, Limits{}))
	if want := "250-mx.example\r\n250-SIZE 1000\r\n250-DSN\r\n250 ONE-MORE\r\n"; got != want {
		t.Errorf("the MSA is told\n%swant\n%s", got, want)
	}
	if !offered.offers(kwSize|kwDSN) || strings.Contains(got, "240") {
		t.Errorf("the new keyword has changed what others say: %q", got)
	}
}
