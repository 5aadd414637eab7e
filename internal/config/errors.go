package config

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Error is one thing wrong in a configuration file: where, what, and what would be right.
type Error struct {
	File    string // as it was given to Load or Parse
	Line    int    // 1 for the first
	Column  int    // in characters, 1 for the first
	Key     string // "intercept.sources[2]"; "" where the file is not TOML at all
	Problem string // what is wrong, with the offending text
	Want    string // what would be right; "" if Problem says it

	before string // the line of the file up to the place
	after  string // the line from the place on
	width  int    // characters to underline
}

// maxShown bounds what is shown of a line on either side of an error.
const maxShown = 120

// Error shows the error as a compiler would: place and problem, the line with a mark below it, the remedy.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	number := fmt.Sprintf("%5d", e.Line)
	margin := strings.Repeat(" ", len(number))
	before, after := []rune(visible(e.before)), []rune(visible(e.after))
	if len(before) > maxShown {
		before = append([]rune("…"), before[len(before)-maxShown:]...)
	}
	if len(after) > maxShown {
		after = append(after[:maxShown:maxShown], '…')
	}
	mark := strings.Repeat("^", max(1, min(e.width, len(after))))
	fmt.Fprintf(&b, "\n%s | %s%s", number, string(before), string(after))
	fmt.Fprintf(&b, "\n%s | %s%s", margin, blank(before), mark)
	if e.Want != "" {
		fmt.Fprintf(&b, "\n%s = %s", margin, e.Want)
	}
	return b.String()
}

// blank is the space in front of the mark: tabs stay tabs, so that the mark stands below its text.
func blank(before []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(before))
}

// CauseOf says why a file cannot be used, in few words: the path once, and what the system says.
func CauseOf(err error, path string) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return path + ": " + pathErr.Err.Error()
	}
	return path + ": " + err.Error()
}

// Errors are all errors of one file, in the order of its lines. Load and Parse return it for a file that is wrong.
type Errors []*Error

// Error shows all of them, separated by an empty line.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n\n")
}

// Unwrap gives the single errors to errors.As.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

func (es Errors) sorted() Errors {
	sort.SliceStable(es, func(i, j int) bool {
		if es[i].Line != es[j].Line {
			return es[i].Line < es[j].Line
		}
		return es[i].Column < es[j].Column
	})
	return es
}

// A span is a piece of the file, in octets.
type span struct{ off, n int }

// place makes an Error for a span of the document.
func place(file string, doc []byte, at span) *Error {
	before := doc[:at.off]
	start := strings.LastIndexByte(string(before), '\n') + 1
	end := len(doc)
	if i := strings.IndexByte(string(doc[start:]), '\n'); i >= 0 {
		end = start + i
	}
	stop := max(at.off, min(at.off+at.n, end))
	return &Error{
		File:   file,
		Line:   strings.Count(string(before), "\n") + 1,
		Column: utf8.RuneCount(doc[start:at.off]) + 1,
		before: string(doc[start:at.off]),
		after:  strings.TrimSuffix(string(doc[at.off:max(at.off, end)]), "\r"),
		width:  utf8.RuneCount(doc[at.off:stop]),
	}
}

// visible replaces what would disturb a terminal.
func visible(line string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, line)
}

// nearest gives the candidate that a mistyped word most likely meant, or "".
func nearest(word string, candidates []string) string {
	best, bestCost := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if cost := editDistance(word, c); cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements (Levenshtein) between two keys.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
