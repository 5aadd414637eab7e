package journal

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestAppendSafe(t *testing.T) {
	for text, want := range map[string]string{
		"250 2.1.0 Ok":                      "250 2.1.0 Ok",
		"宛先不明 é 😀\u3000x":                   "宛先不明 é 😀\u3000x",
		"caf\xe9 \x1b[2J \x00\r\n\t\x7f":    `caf\xe9 \x1b[2J \x00\x0d\x0a\x09\x7f`,
		"\u0085\u009b":                      `\u{85}\u{9b}`,
		"\u202e\u2066\u200b\ufeff\u200d":    `\u{202e}\u{2066}\u{200b}\u{feff}\u{200d}`,
		"\u2028\u2029":                      `\u{2028}\u{2029}`,
		"\u3164\ufe0f\u034f\U000e0001":      `\u{3164}\u{fe0f}\u{34f}\u{e0001}`,
		"\ue000\U0010ffff\ufffd":            "\\u{e000}\\u{10ffff}\ufffd",
		`C:\x1b \[3 octets cut]`:            `C:\\x1b \\[3 octets cut]`,
		"\xc0\xaf\xed\xa0\x80\xf4\x90\x80x": `\xc0\xaf\xed\xa0\x80\xf4\x90\x80x`,
	} {
		if got := string(appendSafe(nil, []byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestBoundCutsBetweenCharacters(t *testing.T) {
	for pad := range 4 {
		text := strings.Repeat("a", maxText-pad) + strings.Repeat("語", 10)
		kept, cut := bound([]byte(text))
		if !utf8.Valid(kept) || len(kept)+cut != len(text) || len(kept) > maxText || len(kept) < maxText-3 {
			t.Errorf("pad %d: kept %d, cut %d", pad, len(kept), cut)
		}
	}
	if kept, cut := bound(make([]byte, maxText)); cut != 0 || len(kept) != maxText {
		t.Errorf("cut %d of a text that fits", cut)
	}
}

func checkSafe(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("no UTF-8: %q", text)
	}
	for _, r := range text {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp, unicode.Variation_Selector) {
			t.Fatalf("%U in %q", r, text)
		}
	}
}

func FuzzAppendSafe(f *testing.F) {
	for _, seed := range []string{
		"550 5.7.1 caf\xe9 \x1b[2J \x00 \r foo\r\n", "\u202eabc", "\\x00", "\xff\xfe", "evil\r\nRCPT TO:<x@y>", "\u0085\x9b1m",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := string(appendSafe(nil, text))
		checkSafe(t, got)
		// Nothing is lost and nothing can be forged: the text can be read back.
		if back := unescape(t, got); back != string(text) {
			t.Fatalf("%q became %s, which reads %q", text, got, back)
		}
	})
}

func unescape(t *testing.T, s string) string {
	var b strings.Builder
	for s != "" {
		before, rest, escaped := strings.Cut(s, `\`)
		b.WriteString(before)
		if !escaped {
			break
		}
		var digits string
		switch rest[0] {
		case '\\':
			b.WriteByte('\\')
			s = rest[1:]
			continue
		case 'x':
			digits, s = rest[1:3], rest[3:]
			b.WriteByte(byte(hexValue(digits[0])<<4 | hexValue(digits[1])))
		case 'u':
			digits, s, _ = strings.Cut(rest[2:], "}")
			r := 0
			for i := range digits {
				r = r<<4 | hexValue(digits[i])
			}
			b.WriteRune(rune(r))
		default:
			t.Fatalf("escape of no form: %q", rest)
		}
	}
	return b.String()
}
