package classify

import (
	"bytes"
	"net/netip"
	"strings"
)

// maxText is how much of a reply is looked at, and of its words once they are folded, where a sign can take twice the room that it had.
// Real replies stay below 1,000 octets; more only costs time.
const maxText = 2048

// wild stands for * in the phrases of rules, which are normalised as replies are. No phrase can end up with it.
const wild = '\x02'

// A normal is a reply as the automaton reads it: words in lower case between single blanks, addresses as <ip> and <mail>,
// URLs as one word with a slash, "." as a word where a sentence ends. A blank stands at either end.
type normal struct {
	text     []byte
	code     int    // 550; 0 if the text has none
	enhanced string // "5.7.1"; "" if the text has none
	nested   string // the enhanced code of another server's reply that this one quotes; "" if it quotes none
	quoted   []netip.Prefix
	reversed []netip.Addr // addresses inside host names, which may stand there in either order
	lines    []netip.Addr // likewise, with dashes between their parts

	plain      []byte // the lines of the reply, folded, without the codes in front of them
	decomposed []byte // scratch of fold
	front      string // the enhanced code in front of a line
	quoting    []byte // text with <ip> for each address and what introduces it
	unquoted   []byte // text without the addresses that it quotes
	pointers   []byte // scratch of unquote
}

// open takes the codes off a reply and leaves the words of its lines in n.plain.
func (n *normal) open(text string) {
	n.code, n.front, n.plain = 0, "", n.plain[:0]
	if len(text) > maxText {
		// An address that is cut in the middle would be another address.
		text = text[:max(strings.LastIndexByte(text[:maxText], ' '), strings.LastIndexByte(text[:maxText], '\n'), 0)]
	}
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		words := n.codes(strings.TrimLeft(line, " \t\r"))
		if len(n.plain) < maxText {
			n.plain = append(n.fold(n.plain, words, maxText+1), '\n')
		}
		text = rest
	}
	if len(n.plain) > maxText+1 {
		n.plain = n.plain[:max(bytes.LastIndexAny(n.plain[:maxText], " \n"), 0)]
	}
}

// read normalises the words of a reply. The codes inside the text that one of its lines did not begin with count as well.
func (n *normal) read(plain string) {
	n.text, n.quoted, n.reversed, n.lines, n.nested = append(n.text[:0], ' '), n.quoted[:0], n.reversed[:0], n.lines[:0], ""
	n.enhanced = n.front
	n.line(plain)
}

// codes takes the reply code and the enhanced code off the start of a line. The last code counts, as RFC 5321 §4.2.1 wants them to be
// the same and Postfix' client reads them if they are not; and the first enhanced code, which many give in one line only.
func (n *normal) codes(line string) string {
	if len(line) >= 3 && '2' <= line[0] && line[0] <= '5' && digits(line[:3]) && (len(line) == 3 || strings.IndexByte("- \t\r", line[3]) >= 0) {
		n.code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		line = strings.TrimLeft(line[min(4, len(line)):], " \t")
	}
	end := strings.IndexAny(line, " \t\r,:")
	if end < 0 {
		end = len(line)
	}
	enhanced := line[:end]
	if !isEnhanced(enhanced) {
		return line
	}
	if n.front == "" {
		n.front = enhanced
	}
	return line[len(enhanced):]
}

// isEnhanced reports whether a word is a status code as of RFC 3463. 2.x.x at the front of a refusal is none.
func isEnhanced(word string) bool {
	if len(word) < 5 || (word[0] != '4' && word[0] != '5') || word[1] != '.' {
		return false
	}
	subject, detail, ok := strings.Cut(word[2:], ".")
	return ok && len(subject) < 4 && len(detail) < 4 && digits(subject) && digits(detail)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// line appends the words of a line. Most are of letters and digits alone, and need no second look.
func (n *normal) line(line string) {
	for at := 0; at < len(line); {
		if isBlank(line[at]) {
			at++
			continue
		}
		begin, from := at, len(n.text)
		for at < len(line) && plainOctets[line[at]] != 0 {
			n.text = append(n.text, plainOctets[line[at]])
			at++
		}
		if at == len(line) || isBlank(line[at]) {
			n.text = append(n.text, ' ')
			continue
		}
		n.text = n.text[:from]
		for at < len(line) && !isBlank(line[at]) {
			at++
		}
		n.field(line[begin:at])
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// plainOctets are letters and digits as n.letter writes them; 0 for all else.
var plainOctets = func() (small [256]byte) {
	for c := range small {
		switch {
		case 'A' <= c && c <= 'Z':
			small[c] = byte(c) + 'a' - 'A'
		case alnum(byte(c)):
			small[c] = byte(c)
		}
	}
	return small
}()

// field appends what stands between two blanks: prose, or prose around a URL.
func (n *normal) field(field string) {
	// A log that joined the lines of a reply left their codes inside the text: "rate of 421-4.7.0 unsolicited mail".
	if len(field) > 4 && field[3] == '-' && digits(field[:3]) && isEnhanced(field[4:]) {
		return
	}
	start := urlStart(field)
	if start < 0 {
		n.prose(field)
		return
	}
	n.prose(field[:start])
	url := field[start:]
	end := len(url)
	if i := strings.IndexAny(url, `<>"[]();`); i >= 0 {
		end = i
	}
	n.url(strings.TrimRight(url[:end], ".,:!?'"))
	rest := url[len(strings.TrimRight(url[:end], ".,:!?'")):]
	if strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, ";") {
		n.sentence()
	}
	n.prose(rest)
}

// urlStart finds where a URL begins in a field: at its scheme, or, without one, at a host name that a slash follows.
func urlStart(field string) int {
	if i := strings.Index(field, "://"); i >= 0 {
		for i > 0 && letter(field[i-1]) {
			i--
		}
		return i
	}
	slash := strings.IndexByte(field, '/')
	if slash < 0 {
		return -1
	}
	host := slash
	for host > 0 && (letter(field[host-1]) || '0' <= field[host-1] && field[host-1] <= '9' || strings.IndexByte(".-_\x02", field[host-1]) >= 0) {
		host--
	}
	if strings.IndexByte(field[host:slash], '.') <= 0 || strings.IndexByte(field[:slash], '@') >= 0 {
		return -1
	}
	if addr, err := netip.ParseAddr(field[host:slash]); err == nil && addr.IsValid() {
		return -1 // a network: 203.0.113.0/24
	}
	return host
}

// url appends a URL as one word: no scheme, no www., a slash behind the host, addresses in it as <ip>.
func (n *normal) url(url string) {
	if i := strings.Index(url, "://"); i >= 0 {
		url = url[i+3:]
	}
	if len(url) > 4 && strings.EqualFold(url[:4], "www.") {
		url = url[4:]
	}
	host := strings.IndexAny(url, "/?#")
	if host < 0 {
		host = len(url)
	}
	n.lower(url[:host])
	n.text = append(n.text, '/')
	rest := strings.TrimPrefix(url[host:], "/")
	for rest != "" {
		end := strings.IndexAny(rest, "/?&=#;,")
		part, mark := rest, ""
		if end >= 0 {
			part, mark, rest = rest[:end], rest[end:end+1], rest[end+1:]
		} else {
			rest = ""
		}
		if !n.address(part) {
			n.lower(part)
		}
		n.text = append(n.text, mark...)
	}
	n.text = append(n.text, ' ')
}

// prose appends the words of a field without URL. All but what words and addresses consist of separates.
func (n *normal) prose(field string) {
	for i := 0; i < len(field); {
		if !inWord(field[i]) {
			if field[i] == ';' || field[i] == '!' || field[i] == '?' {
				n.sentence()
			}
			i++
			continue
		}
		start := i
		for i < len(field) && inWord(field[i]) {
			i++
		}
		// A network keeps its length: 203.0.113.0/24.
		if i+1 < len(field) && field[i] == '/' && n.network(field[start:], i-start) {
			i++
			for i < len(field) && '0' <= field[i] && field[i] <= '9' {
				i++
			}
			continue
		}
		token := field[start:i]
		if i+1 < len(field) && field[i] == '[' && ('0' <= field[i+1] && field[i+1] <= '9' || field[i+1] == ':') && n.client(token) {
			continue
		}
		n.token(strings.Trim(token, ".:-_+'"))
		if token[len(token)-1] == '.' && (i == len(field) || strings.IndexByte(`)]"'>;`, field[i]) >= 0) {
			n.sentence()
		}
	}
}

// client appends the name of a client whose address follows in brackets, as Postfix writes it: unknown[203.0.113.10]. The last label
// makes it a name.
func (n *normal) client(token string) bool {
	if strings.ContainsAny(token, ".:@'") || !letter(token[0]) || hostNoun(bytes.ToLower([]byte(token))) {
		return false
	}
	n.lower(token)
	n.text = append(n.text, ".host "...)
	return true
}

// token appends a word, an address, or the words that a mark inside them joins.
func (n *normal) token(token string) {
	if len(token) > 2 && token[1] == '\'' && strings.IndexByte("lLdD", token[0]) >= 0 {
		token = token[2:] // l'adresse, d'un
	}
	switch {
	case token == "":
	case token[0] == markSaid:
		n.text = append(n.text, "<said> "...)
	case token[0] == markOurs:
		n.text = append(n.text, "<ip> "...)
	case token[0] == markMail:
		n.text = append(n.text, "<mail> "...)
	case strings.IndexByte(token, '@') >= 0:
		n.text = append(n.text, "<mail> "...)
	case n.address(token):
		n.text = append(n.text, ' ')
	case strings.IndexByte(token, ':') >= 0:
		head, tail, _ := strings.Cut(token, ":")
		n.token(strings.Trim(head, ".-_+'"))
		// The tail of a hostile text may hold thousands of colons, so the next one is tried only where an address could be.
		if len(tail) < 64 {
			n.token(strings.Trim(tail, ".-_+'"))
		}
	case strings.IndexByte(token, '.') >= 0:
		n.name(token)
	case n.dashed(token):
		n.text = append(n.text, "<ip> "...)
	default:
		for i := range len(token) {
			switch token[i] {
			case '-', '_', '+':
				n.space()
			default:
				n.letter(token[i])
			}
		}
		n.space()
	}
}

// name appends a dotted word: a host name, a zone, a code, or an address that stands for all: x.x.x.x.
func (n *normal) name(token string) {
	if placeholder(token) {
		n.text = append(n.text, "<ip> "...)
		return
	}
	// qmail's kin put the enhanced code behind the text: "no mailbox here by that name. (#5.1.1)".
	if isEnhanced(token) {
		if n.enhanced == "" {
			n.enhanced = token
		}
		if n.nested == "" && token != n.front && n.behindCode() {
			n.nested = token
		}
	}
	n.inName(token)
	n.dashed(token)
	if n.inID(token) {
		n.text = append(n.text, "<ip> "...)
		return
	}
	n.lower(token)
	n.text = append(n.text, ' ')
}

// behindCode reports whether the last word is a reply code, as of a server that was asked: "said: 550 5.1.1 User unknown".
func (n *normal) behindCode() bool {
	at := len(n.text) - 5
	return at >= 0 && n.text[at] == ' ' && (n.text[at+1] == '4' || n.text[at+1] == '5') && digits(string(n.text[at+1:at+4]))
}

func (n *normal) sentence() {
	if len(n.text) > 1 && n.text[len(n.text)-2] != '.' {
		n.text = append(n.text, ". "...)
	}
}

func (n *normal) space() {
	if n.text[len(n.text)-1] != ' ' {
		n.text = append(n.text, ' ')
	}
}

func (n *normal) lower(s string) {
	for i := range len(s) {
		n.letter(s[i])
	}
}

// letter appends one octet in lower case; fold has dealt with all beyond ASCII.
func (n *normal) letter(c byte) {
	switch {
	case 'A' <= c && c <= 'Z':
		c += 'a' - 'A'
	case c == '\'' || c == ' ':
		return
	}
	n.text = append(n.text, c)
}

func inWord(c byte) bool {
	return letter(c) || '0' <= c && c <= '9' || c >= 0x80 || strings.IndexByte(".-_@:+'\x02\x03\x04\x05", c) >= 0
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
