package classify

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// fold appends a text with its letters as rules know them. Other scripts stay, in lower case; what only looks different
// becomes what it stands for: accents go, full-width letters and typographic quotes, dashes and blanks become ASCII. Where
// words are not parted by blanks, each sign is a word.
func (n *normal) fold(dst []byte, text string) []byte {
	if ascii(text) {
		return append(dst, text...)
	}
	// NFKD takes letters apart from their accents, and resolves full-width forms, ligatures and kinds of blanks (UAX 15).
	n.decomposed = norm.NFKD.AppendString(n.decomposed[:0], addressWords.Replace(text))
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
		if plain, ok := plainLetters[r]; ok {
			dst = append(dst, plain...)
			continue
		}
		switch {
		case unicode.In(r, unicode.Mn, unicode.Cf): // accents, invisible marks
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

// addressWords are written behind IP without a blank; they introduce an address as "IP address" does.
var addressWords = strings.NewReplacer("アドレス", " address ", "地址", " address ", "位址", " address ")

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// plainLetters are what NFKD does not take apart.
var plainLetters = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", 'ʼ': "'", '′': "'",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '«': `"`, '»': `"`, '‹': `"`, '›': `"`,
	'「': `"`, '」': `"`, '『': `"`, '』': `"`, '【': "[", '】': "]", '〔': "[", '〕': "]", '《': "<", '》': ">", '〈': "<", '〉': ">",
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '、': ", ", '。': ". ", '・': " ",
	'ß': "ss", 'ø': "o", 'Ø': "o", 'ł': "l", 'Ł': "l", 'đ': "d", 'Đ': "d", 'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ı': "i",
}

// latin1 gives the letter of an octet of ISO 8859-1 without its accent, and of Windows' own marks what they stand for.
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
	return 0x1100 <= r && r <= 0x9FFF && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r == 'ー'
}

// spellIdeograph appends a sign as a word of ASCII: a digit, and three of 36 for the 36,608 signs from U+1100 to U+9FFF. The automaton
// then has no columns for octets that a phrase in a hundred has.
func spellIdeograph(dst []byte, r rune) []byte {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	n := int(r) - 0x1100
	return append(dst, ' ', '0', digits[n/1296%36], digits[n/36%36], digits[n%36], ' ')
}
