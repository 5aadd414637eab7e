package find

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Width is how many columns a text takes on a terminal: signs of East Asia take two.
func Width(text string) int { return ansi.StringWidth(text) }

// Fold breaks a text into lines of so many columns: between words, and where there are none (in Japanese) between signs, but never in
// front of what may not begin a line.
func Fold(text string, width int) string {
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		current := ""
		for _, piece := range unbroken(line) {
			if current != "" && Width(current)+Width(strings.TrimRight(piece, " ")) > width {
				out.WriteString(strings.TrimRight(current, " "))
				out.WriteByte('\n')
				current, piece = "", strings.TrimLeft(piece, " ")
			}
			current += piece
		}
		out.WriteString(current)
	}
	return out.String()
}

// unbroken gives what may not be broken: words with the blanks behind them, and wide signs with the marks that belong to them.
func unbroken(line string) (pieces []string) {
	runes := []rune(line)
	for begin := 0; begin < len(runes); {
		end := begin + 1
		for end < len(runes) && !mayBreak(runes[end-1], runes[end]) {
			end++
		}
		pieces = append(pieces, string(runes[begin:end]))
		begin = end
	}
	return pieces
}

// Marks that must not begin a line, and that must not end one (JIS X 4051).
const (
	noBegin = "、。，．・：；？！）］｝」』】〕〉》ーぁぃぅぇぉっゃゅょァィゥェォッャュョ"
	noEnd   = "（［｛「『【〔〈《"
)

func mayBreak(before, behind rune) bool {
	switch {
	case strings.ContainsRune(noBegin, behind), strings.ContainsRune(noEnd, before), behind == ' ':
		return false
	case before == ' ':
		return true
	default:
		return Width(string(before)) == 2 || Width(string(behind)) == 2
	}
}
