package classify

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// foldWhole is what fold does, for all letters in one way.
func foldWhole(text string) (dst []byte) {
	for rest := norm.NFKD.String(strings.NewReplacer("アドレス", " address ", "地址", " address ", "位址", " address ").Replace(text)); rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if size == 1 && r == utf8.RuneError {
			r = latin1(rest[0])
		}
		rest = rest[size:]
		plain, known := plainLetters[r]
		switch {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		case known:
			dst = append(dst, plain...)
		case unicode.In(r, unicode.Mn, unicode.Cf):
		case ideograph(r):
			dst = spellIdeograph(dst, r)
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		default:
			dst = append(dst, ' ')
		}
	}
	return dst
}

// The short ways of fold give what the long one gives: for each sign alone, and for all kinds of signs next to each other.
func TestShortWaysFoldAsTheLongOne(t *testing.T) {
	var n normal
	same := func(text string) {
		t.Helper()
		if got, want := n.fold(nil, text, 1<<20), foldWhole(text); !bytes.Equal(got, want) {
			t.Fatalf("%+q: %q, want %q", text, got, want)
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if same(string(r)); r >= 0x10000 { // beyond the basic plane whole blocks fold alike
			r += 15
		}
	}
	pieces := []string{
		"IP", " ", "地", "址", "位", "地址", "アドレス", "アド", "ド", "か\u3099", "각", "힣", "\u1100", "e\u0301", "\u0301", "É", "\xe9", "\xe4\xb8", "\xff", "ﷺ", "豈", "㐀",
		"ー", "・", "、", "ß", "1", "@", "\u200d", "\U0001d165", "𠀀", "Ω", "．",
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var text strings.Builder
		for range 1 + rnd.IntN(8) {
			text.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		same(text.String())
	}
}

// Of a reply no more words are read than there are in 2 KiB of ASCII, whatever its signs unfold to; a reply as long as real ones is read
// to its end.
func TestNoMoreIsReadOfAReplyThanOfItsText(t *testing.T) {
	var n normal
	for _, sign := range []string{"户", "힣", "\ufdfa", "é", "x ", "か"} {
		for _, parted := range []string{"", " ", "\n550-"} {
			if n.open("550-" + strings.Repeat(sign+parted, 4096)); len(n.plain) > maxText+1 {
				t.Errorf("%q and %q: %d octets are read", sign, parted, len(n.plain))
			}
		}
	}
	const blame = "您的 IP 203.0.113.10 在黑名单中"
	q := Query{Text: "550 " + strings.Repeat("户", 320) + " " + blame, SendingIP: ours}
	rules := builtinOf(t)
	if got, want := rules.Classify(q), rules.Classify(Query{Text: "550 " + blame, SendingIP: ours}); got.Class != want.Class || want.Suspend != Yes {
		t.Errorf("behind 960 octets of Chinese: %s, alone: %s, suspend %s", got.Class, want.Class, want.Suspend)
	}
	if n.open("421-no\n" + strings.Repeat("421-"+strings.Repeat("户", 100)+"\n", 6) + "550 no"); n.code != 550 {
		t.Errorf("the last line's code is 550, not %d, whatever the lines before it unfold to", n.code)
	}
}

// Mailboxes are found all at once where each of them, looked for alone, stands in the reply with its at sign.
func TestMailboxesAreFoundTogetherAsAlone(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	words := []string{"a", "b", "ab", "户", "信箱", "r1", "r12", ".", "-", " ", "+41", "%e6%88%b7", "é"}
	text := func(n int, more ...string) string {
		var out strings.Builder
		for range 1 + rnd.IntN(n) {
			from := words
			if rnd.IntN(4) == 0 && len(more) > 0 {
				from = more
			}
			out.WriteString(from[rnd.IntN(len(from))])
		}
		return out.String()
	}
	found := 0
	for range 20_000 {
		q := Query{Sender: text(3) + "@" + text(3), Recipient: text(3) + "@" + text(2)}
		for range 5 {
			q.Said = append(q.Said, text(3)+"@"+text(2))
		}
		reply := text(12, append(q.Said, "@", "%40", "+40", "<"+q.Sender+">", strings.ToUpper(q.Recipient))...)
		var n normal
		n.open("550 " + reply)
		var e echoes
		e.cover = make([]byte, len(n.plain))
		e.signify(n.plain)
		e.mailboxes(append(slices.Clone(q.Said), q.Sender, q.Recipient)...)
		want := make([]byte, len(n.plain))
		for _, mailbox := range append(slices.Clone(q.Said), q.Sender, q.Recipient) {
			e.alone(n.plain, mailbox, want)
		}
		if !bytes.Equal(e.cover, want) {
			t.Fatalf("%q in %q:\n%q, want\n%q", append(q.Said, q.Sender, q.Recipient), n.plain, e.cover, want)
		}
		found += bytes.Count(want, []byte{markMail})
	}
	if found < 10_000 {
		t.Errorf("%d octets are of mailboxes: that puts nothing to the test", found)
	}
}

// alone covers a mailbox wherever it stands.
func (e *echoes) alone(plain []byte, mailbox string, cover []byte) {
	n, ok := e.needle(mailbox, markMail)
	if strings.IndexByte(mailbox, '@') <= 0 || !ok {
		return
	}
	sig := e.letter[n.from:n.to]
	for i := range e.sig {
		end := i + len(sig)
		if !bytes.HasPrefix(e.sig[i:], sig) || !e.wordBegins(i) || !e.wordBegins(end) {
			continue
		}
		echo := plain[e.begin[i]:e.end[end-1]]
		if bytes.ContainsRune(echo, '@') || bytes.Contains(echo, []byte("%40")) || bytes.Contains(echo, []byte("+40")) {
			for at := e.begin[i]; at < e.end[end-1]; at++ {
				cover[at] = markMail
			}
		}
	}
}

// What the reply has in common with what was said is found as by looking for each word's beginning in all of it.
func TestPartsAreFoundAtOnceAsOneByOne(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	words := []string{"aa", "ab", "户", "信", " ", "b"}
	text := func(n int) string {
		var out strings.Builder
		for range n {
			out.WriteString(words[rnd.IntN(len(words))])
		}
		return out.String()
	}
	found := 0
	for range 5_000 {
		said := []string{text(10), text(10), text(30)}
		reply := text(8) + said[rnd.IntN(3)][1:] + text(8) + said[rnd.IntN(3)]
		var n normal
		n.open("550 " + strings.ToValidUTF8(reply, ""))
		var e echoes
		e.signify(n.plain)
		for _, one := range said {
			e.say(one, markSaid)
		}
		if len(e.joined) < minPart {
			continue
		}
		e.seek()
		for i := range len(e.sig) - minPart + 1 {
			if !e.wordBegins(i) {
				continue
			}
			piece := e.sig[i : i+minPart]
			if got, want := int(e.pieces[pieceOf(piece)]), bytes.Index(e.joined, piece); got != want {
				t.Fatalf("%q in %q: at %d, want %d", piece, e.joined, got, want)
			} else if want >= 0 {
				found++
			}
		}
	}
	if found < 5_000 {
		t.Errorf("%d pieces found: that puts nothing to the test", found)
	}
}
