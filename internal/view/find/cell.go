package find

import (
	"strings"
	"unicode"
)

// Cell makes a text fit for a cell of CSV that is opened in a spreadsheet: one that would be a formula there begins with an apostrophe. Some
// take white space away from its beginning, whatever kind it is of.
// The writer of CSV sees to quotes and commas.
func Cell(text string) string {
	if strings.HasPrefix(text, "\n") || strings.IndexAny(text, "\t\r") == 0 || strings.IndexAny(strings.TrimLeftFunc(text, unicode.IsSpace), "=+-@＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
