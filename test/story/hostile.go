package story

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"kanmon/internal/event"
)

// hostile: strangers try to act on whoever reads what they said.
func hostile(w *world) {
	s := w.story("hostile", "replies, names and addresses that want to act on their readers", w.day(13, "01:00"), w.day(13, "03:00"))
	for n, text := range HostileTexts {
		m := s.mail("granite", "desk", "victim@hostile.example")
		m.at(s.Begin.Add(time.Duration(n)*time.Minute), atDot("550 5.7.1 "+text), greets("msa"+text))
		who := fmt.Sprintf("hostile%d@granite.example", n)
		told := s.Begin.Add(time.Duration(n)*time.Minute + 10*time.Second)
		if n%2 == 0 { // of one kind people are not told of very many
			w.news(Tokyo, told, event.Changed{Tenant: "granite", Account: who, State: "stop", Was: "normal", By: "evidence", Why: "9 of 9 refused: " + text})
		} else {
			w.news(Tokyo, told, event.Order{By: "mika (uid 1000)", Did: "unblock", Tenant: "granite", Account: who, Before: "stop", After: "normal", Why: text})
		}
	}
	for n, to := range HostileAddresses {
		m := s.mail("granite", "desk", to)
		m.at(s.Begin.Add(time.Duration(60+n)*time.Minute), refusedAt(event.PhaseRcpt, "550 5.1.1 <"+to+">: User unknown"))
	}
}

// HostileTexts are what replies, names and header values hold of it.
var HostileTexts = []string{
	"\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "\x9b31m", "\xc2\x9b31m", "\x1bP+q544e\x1b\\", "\b\b\b\bhidden", "\x00nul",
	"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "javascript:alert(1)", "&lt;b&gt;&#60;&amp;", "<!-- --><style>*{display:none}</style>", "{{.Secret}} ${7*7} <%= 1 %>",
	"=1+1", "=HYPERLINK(\"http://evil.example\",\"x\")", "+1+1", "-1+1", "@SUM(A1:A9)", "\t=1+1", "\r=1+1", "=cmd|' /C calc'!A0",
	"\",\"outcome\":\"delivered\"}", "\"}\n{\"type\":\"order\"", "\\u0000\\n\\\"", "a,b;c\td\"e\"f", "''';DROP TABLE attempt;--",
	"\u202egnp.exe", "\u2066isolate\u2069", "zero\u200bwidth\u200d\u2060\ufeff", "\u2028line\u2029paragraph", "\U000e0041tag", "a\u0301\u0301\u0301\u0301\u0301\u0301", "\xff\xfe\xc0\xaf\xed\xa0\x80",
	"\uff1cscript\uff1e", "%0d%0aSet-Cookie: x=1", "\u00a0\u3000wide", "\ue000private", "🏴‍☠️👩‍👩‍👧",
}

// HostileAddresses are what recipients' addresses hold of it: all are at hostile.example.
var HostileAddresses = []string{
	"\"<script>alert(1)</script>\"@hostile.example", "=1+1@hostile.example", "+cmd@hostile.example", "-x@hostile.example", "\"a,b\"@hostile.example", "\"\x1b[2J\"@hostile.example", "\u202eevil@hostile.example", "\"a b\"@hostile.example", "'or'1'='1@hostile.example", "%s%n@hostile.example", "a\\b@hostile.example", "\xff\xfe@hostile.example",
}

// Hostile makes up texts that want to act on their readers: pieces of what is known to do so, cut and joined by chance, many overlong, in wrong
// encodings, and without an end. None has a newline, which ends a line of SMTP.
func Hostile(seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 99)) //nolint:gosec // it is to be the same each time
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range 1 + r.IntN(5) {
			piece := HostileTexts[r.IntN(len(HostileTexts))]
			switch r.IntN(8) {
			case 0: // half of it
				piece = piece[:r.IntN(len(piece)+1)]
			case 1: // as if it were somewhere else
				piece = []string{"\"", "'", ">", "-->", "]]>", "*/", "</td>", "\x1b", "\u202e", "=", ";", ",", "\\"}[r.IntN(13)] + piece
			case 2: // any octets
				for range 1 + r.IntN(12) {
					b.WriteByte(byte(r.IntN(256)))
				}
			case 3: // any characters
				for range 1 + r.IntN(6) {
					b.WriteRune(rune(r.IntN(0x11_0000)))
				}
			case 4:
				piece = strings.Repeat(piece, 1+r.IntN(40))
			}
			b.WriteString(piece)
		}
		texts[i] = strings.ReplaceAll(b.String(), "\n", " ")
	}
	return texts
}
