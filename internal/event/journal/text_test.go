package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kanmon/internal/event"
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

// Wherever a text is cut, by the session or by what is written of it: no part of an address is shown as if it were a word, and how much is
// missing is said.
func TestNobodyIsShownAtACut(t *testing.T) {
	const local = "qzx7canary7xzq"
	for at := 0; at <= 3000; at += 7 {
		for name, text := range map[string]string{
			"long":  "550 5.1.1 " + strings.Repeat("x ", at/2) + "for " + local + "@dom.example, and so on",
			"lines": "550-5.1.1 " + strings.Repeat("x ", at/2) + "\n550 " + local + "@dom.example\n550 " + strings.Repeat("y ", 1000),
			"short": strings.Repeat("<a@b.example> ", at/14) + "for <" + local + "@dom.example>, and so on",
		} {
			for _, mode := range []AddressMode{AddressesHashed, AddressesDomain} {
				r := transactionRecord("a@b.example", "c@d.example")
				r.Transaction.Recipients[0].Reply = reply(r, 550, text, 1, 1)
				addLine(r, 0, event.MarkFromMX, text)
				f := newFormatter(Options{Addresses: mode, HashKey: testKey})
				f.begin(r)
				out := string(f.sessionLog(r)) + string(f.json(r))
				if strings.Contains(out, local[:3]) {
					t.Fatalf("%v, %s, %d octets in front: %.200s", mode, name, at, out[max(0, strings.Index(out, local[:3])-100):])
				}
				if has := strings.Contains(out, "octets cut]"); !has && len(text) > 2*maxText {
					t.Fatalf("%v, %s, %d octets: nothing says that some are missing", mode, name, len(text))
				}
			}
		}
	}
}

// What a session has kept of a text, and what it has not, is one text: so much is missing of it.
func TestCutIsCountedWhoeverCuts(t *testing.T) {
	for _, n := range []int{maxText, maxText + 1, maxText + 511, maxText + 512, maxText + 513, 60_000} {
		r := newRecord()
		addLine(r, 0, event.MarkFromMX, strings.Repeat("x", n))
		f := newFormatter(Options{Addresses: AddressesClear, HashKey: nil})
		f.begin(r)
		want := strings.Repeat("x", 10) + "\n"
		if n > maxText {
			want = fmt.Sprintf("x\\[%d octets cut]\n", n-maxText)
		}
		if out := string(f.sessionLog(r)); !strings.HasSuffix(out, want) || strings.Count(out, "x") != maxText {
			t.Errorf("%d octets: …%s", n, out[len(out)-40:])
		}
	}
}

// What is shown without a look into the tables of Unicode is shown by them, and each text is as if there were no such short way.
func TestEastAsianTextIsShownAsItIs(t *testing.T) {
	for r := range unicode.MaxRune {
		if eastAsian(r) && !shown(r) {
			t.Fatalf("U+%04X", r)
		}
	}
	pieces := []string{"户", "か", "각", "a", " ", "\\", "\x1b", "\xe6", "\xe6\x88", "é", "\u200b", "\u3164", "\u3000", "ﾠ", "\U0001f600"}
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		var text, want []byte
		for range rnd.IntN(12) {
			text = append(text, pieces[rnd.IntN(len(pieces))]...)
		}
		for rest := text; len(rest) > 0; { // one character at a time, with a neighbour that is none
			_, size := utf8.DecodeRune(rest)
			want = append(want, appendSafe(nil, append([]byte{'.'}, rest[:size]...))[1:]...)
			rest = rest[size:]
		}
		if got := appendSafe(nil, text); !bytes.Equal(got, want) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	}
}
