package classify

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold appends a text with its letters as rules know them. Other scripts stay, in lower case; what only looks different
// becomes what it stands for: accents go, full-width letters and typographic quotes, dashes and blanks become ASCII. Where
// words are not parted by blanks, each sign is a word. ASCII and Chinese signs, which no other letter changes, are dealt with at once.
// It ends soon behind so many octets.
func (n *normal) fold(dst []byte, text string, most int) []byte {
	for {
		at := 0
		for at < len(text) && text[at] < utf8.RuneSelf {
			at++
		}
		if dst, text = append(dst, text[:at]...), text[at:]; len(dst) > most {
			return dst
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case size == 0:
			return dst
		case !isHan(r):
			size = others(text)
			dst = n.foldOthers(dst, text[:size])
		case (r == '地' || r == '位') && strings.HasPrefix(text[size:], "址"):
			size += len("址")
			dst = append(dst, addressWord...)
		default:
			dst = spellIdeograph(dst, r)
		}
		text = text[size:]
	}
}

// others is how much of a text stands in front of the next ASCII or Chinese sign, or enough of that: a letter can become many.
func others(text string) (n int) {
	for n < min(len(text), 64) {
		r, size := utf8.DecodeRuneInString(text[n:])
		if r < utf8.RuneSelf || isHan(r) {
			break
		}
		n += size
	}
	return n
}

// foldOthers is fold for what is neither ASCII nor Chinese.
func (n *normal) foldOthers(dst []byte, text string) []byte {
	// NFKD takes letters apart from their accents, and resolves full-width forms, ligatures and kinds of blanks (UAX 15).
	n.decomposed = norm.NFKD.AppendString(n.decomposed[:0], strings.ReplaceAll(text, "アドレス", addressWord))
	for rest := n.decomposed; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if size == 1 && r == utf8.RuneError { // not UTF-8: Latin-1, most likely
			r = latin1(rest[0])
		}
		rest = rest[size:]
		if r < utf8.RuneSelf {
			dst = append(dst, byte(r))
			continue
		}
		plain, known := "", false
		if !isSyllable(r) {
			plain, known = plainLetters[r]
		}
		switch {
		case known:
			dst = append(dst, plain...)
		case ideograph(r):
			dst = spellIdeograph(dst, r)
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		case unicode.In(r, unicode.Mn, unicode.Cf): // accents, invisible marks
		default:
			dst = append(dst, ' ')
		}
	}
	return dst
}

// addressWord stands for the words that are written behind IP without a blank, 地址, 位址 and アドレス: they introduce an address as
// "IP address" does.
const addressWord = " address "

// plainLetters are what NFKD does not take apart.
var plainLetters = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", 'ʼ': "'", '′': "'",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '«': `"`, '»': `"`, '‹': `"`, '›': `"`,
	'「': `"`, '」': `"`, '『': `"`, '』': `"`, '【': "[", '】': "]", '〔': "[", '〕': "]", '《': "<", '》': ">", '〈': "<", '〉': ">",
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '、': ", ", '。': ". ", '・': " ",
	'ß': "ss", 'ø': "o", 'Ø': "o", 'ł': "l", 'Ł': "l", 'đ': "d", 'Đ': "d", 'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ı': "i",
}

// latin1 returns the letter of an octet of ISO 8859-1 without its accent, and of Windows' own marks what they stand for.
func latin1(c byte) rune {
	switch {
	case c >= 0xC0:
		return rune(latin[c&0x1F])
	case c == 0x91 || c == 0x92:
		return '\''
	case c == 0x96 || c == 0x97:
		return '-'
	default:
		return ' '
	}
}

// latin is 0xE0 to 0xFF, and 0xC0 to 0xDF alike, without accents; a blank where there is no plain letter.
const latin = "aaaaaaaceeeeiiii nooooo ouuuuy  "

// ideograph reports whether a script writes words without blanks between them: Chinese, Japanese, and Korean, whose endings
// stick to the words.
func ideograph(r rune) bool {
	return isSyllable(r) || 0x1100 <= r && r <= 0x9FFF && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r == 'ー'
}

// isHan knows the ideographs that nearly all Chinese is written with. Nothing can be taken apart from them.
func isHan(r rune) bool { return 0x4E00 <= r && r <= 0x9FFF }

// isSyllable knows the other ideographs that most are: kana, and the letters that NFKD takes Korean syllables apart into.
func isSyllable(r rune) bool {
	return 0x3041 <= r && r <= 0x3096 || 0x30A1 <= r && r <= 0x30FA || 0x1100 <= r && r <= 0x11FF
}

// spellIdeograph appends a sign as a word of ASCII: a digit, and three of 36 for the 36,608 signs from U+1100 to U+9FFF. The automaton
// then has no columns for octets that a phrase in a hundred has.
func spellIdeograph(dst []byte, r rune) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	n := int(r) - 0x1100
	return append(dst, ' ', '0', digits[n/1296%36], digits[n/36%36], digits[n%36], ' ')
}
