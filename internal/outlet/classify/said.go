package classify

import (
	"bytes"
	"io"
	"mime"
	"net/netip"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// What the session itself has said to the MX is no evidence, and an MX repeats much of it: in quotes or without, in other letters,
// in hexadecimal, cut off, over several lines. So it is blanked before a reply is read, in two steps.
//
// Certain is what only an echo looks like: an address with its domain, a host name. Doubtful is what the MX may have said of its
// own accord, for a tenant can call himself "user unknown" as well as "listed at zen.spamhaus.org". Of a reply with doubtful
// echoes both readings are made, and the one counts that is better for our IP (Rules.Classify): neither blame nor an alibi can
// be had by the choice of a name.
type echoes struct {
	said   []needle
	joined []byte // significant octets of all needles that are found in parts, 0 between them
	letter []byte // scratch for needles, and the reply in lower case

	sig        []byte  // significant octets of the reply
	begin, end []int32 // and where they stand in it
	ats        []int32 // its at signs, by how many of these octets stand in front
	cover      []byte  // by octet of the reply: 0 or what it is blanked with
	tags       []word  // of what is covered, what may be the provider's own code
	blanked    []byte

	folding normal // scratch of needle
	folded  []byte
	boxes   []box
	heads   heads
	pieces  map[piece]int32 // of parts
}

// What an echo is blanked with. The reader takes them for words.
const (
	markSaid = '\x03' // <said>
	markMail = '\x04' // <mail>
	markOurs = '\x05' // <ip>: the name that kanmon gives to the sending IP, and no MSA
	markNone = ' '    // nothing at all
)

// certain returns a reply without what can only be an echo.
func (e *echoes) certain(plain []byte, q *Query) []byte {
	e.cover = append(e.cover[:0], make([]byte, len(plain))...)
	found := e.quotedLocals(plain)
	if !q.saidAnything() {
		if !found {
			return plain
		}
		return e.blank(plain)
	}
	e.said, e.letter = e.said[:0], e.letter[:0]
	e.signify(plain)
	for _, mailbox := range [...]string{q.Sender, q.Recipient} {
		e.mailboxes(mailbox)
		e.name(plain, domainOf(mailbox), markSaid)
	}
	for i, name := range q.EHLO {
		mark := byte(markSaid)
		if i == 1 && q.EHLO[0] != "" && !strings.EqualFold(name, q.EHLO[0]) {
			mark = markOurs
		}
		e.name(plain, name, mark)
	}
	e.mailboxes(q.Said...)
	return e.blank(plain)
}

// doubtful returns what certain has given without what may be an echo, too, and reports whether there is any. The slice that
// certain gave is overwritten.
func (e *echoes) doubtful(plain []byte, q *Query) ([]byte, bool) {
	if !q.saidAnything() {
		return nil, false
	}
	e.said, e.letter, e.joined = e.said[:0], e.letter[:0], e.joined[:0]
	for _, mailbox := range [...]string{q.Sender, q.Recipient} {
		e.say(mailbox, markMail)
		if e.say(localOf(mailbox), markMail); strings.HasSuffix(mailbox, "]") {
			e.say(domainOf(mailbox), markSaid)
		}
	}
	for _, name := range q.EHLO {
		e.say(name, markSaid)
	}
	for subject := range strings.SplitSeq(q.Subject, "\n") {
		e.say(subject, markSaid)
		if decoded := decodeWords(subject); decoded != subject {
			e.say(decoded, markSaid)
		}
	}
	for _, text := range q.Said {
		e.say(decodeWords(text), markSaid)
	}
	e.tags = e.tags[:0]
	found := e.parts(plain)
	for i := range e.said {
		found = e.whole(plain, &e.said[i]) || found
	}
	found = e.codes(plain, q) || found
	if !found {
		return nil, false
	}
	return e.blank(plain), true
}

// codesAs returns what doubtful has given with the codes that stand apart blanked otherwise, or, with mark 0, left in.
// The slice that doubtful gave is overwritten.
func (e *echoes) codesAs(mark byte, plain []byte) []byte {
	for _, w := range e.tags {
		for i := w.begin; i < w.end; i++ {
			e.cover[i] = mark
		}
	}
	return e.blank(plain)
}

func (q *Query) saidAnything() bool {
	return q.Sender != "" || q.Recipient != "" || len(q.EHLO) > 0 || q.Subject != "" || len(q.Said) > 0
}

func domainOf(mailbox string) string { return mailbox[strings.LastIndexByte(mailbox, '@')+1:] }

func localOf(mailbox string) string { return mailbox[:max(strings.LastIndexByte(mailbox, '@'), 0)] }

// wordDecoder reads encoded words of RFC 2047.
var wordDecoder = mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return encoding.NewDecoder().Reader(r), nil
}}

func decodeWords(subject string) string {
	decoded, err := wordDecoder.DecodeHeader(subject[:min(len(subject), maxSaid)])
	if err != nil {
		return subject
	}
	return decoded
}

// quotedLocals covers addresses with a quoted local part, which may consist of any words: "listed at"@example.com. Nobody else
// writes them.
func (e *echoes) quotedLocals(plain []byte) (found bool) {
	open := -1
	for i, c := range plain {
		switch {
		case c != '"':
		case i+1 < len(plain) && plain[i+1] == '@' && open >= 0:
			end := i + 2
			for end < len(plain) && (alnum(plain[end]) || strings.IndexByte(".-_[]:", plain[end]) >= 0) {
				end++
			}
			e.fill(int32(open), int32(end), markMail)
			open, found = -1, true
		default:
			open = i
		}
	}
	return found
}

// say notes a thing said, to be found whole or, if it is long, in parts. An IP without the brackets that make it a name (RFC 5321
// §4.1.3) is left to stand: nobody quotes a mailbox by it.
func (e *echoes) say(text string, mark byte) {
	if strings.IndexByte(text, '@') < 0 { // else it is none
		if _, err := netip.ParseAddr(strings.Trim(text, `"`)); err == nil {
			return
		}
	}
	n, ok := e.needle(text, mark)
	switch {
	case !ok:
	case n.words > 1 && n.to-n.from >= minPart:
		e.joined = append(append(e.joined, e.letter[n.from:n.to]...), 0)
	default:
		e.said = append(e.said, n)
	}
}

// name covers a host name. Inside a longer one, or as the host of a URL, it is the receiver's own word.
func (e *echoes) name(plain []byte, name string, mark byte) {
	if strings.IndexByte(name, '.') <= 0 || strings.HasPrefix(name, "[") {
		return
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return
	}
	n, ok := e.needle(name, mark)
	if !ok {
		return
	}
	inName := func(c byte) bool { return alnum(c) || c == '-' || c == '_' }
	e.each(e.letter[n.from:n.to], func(from, to int32) {
		before, behind := plain[:from], plain[to:]
		switch {
		case !bytes.EqualFold(plain[from:to], []byte(strings.TrimSuffix(name, "."))):
		case from > 0 && (inName(before[from-1]) || before[from-1] == '.' || before[from-1] == '@' || bytes.HasSuffix(before, []byte("//"))):
		case ofTheMX(plain, from, to):
		case len(behind) > 0 && (inName(behind[0]) || behind[0] == '/') || len(behind) > 1 && behind[0] == '.' && inName(behind[1]):
		default:
			e.fill(from, to, mark)
		}
	})
}

// whole covers a short thing said where it stands as a whole. Where it is very short it must look like a quotation. A
// bare word, which the MX may have said of its own accord, stands for nobody.
func (e *echoes) whole(plain []byte, n *needle) (found bool) {
	e.each(e.letter[n.from:n.to], func(from, to int32) {
		quoted, mark := delimited(plain, from, to), n.mark
		if n.to-n.from < minBare && !quoted || ofTheMX(plain, from, to) {
			return
		}
		if n.words == 1 && !quoted {
			mark = markNone
		}
		if e.cover[from] == 0 {
			e.apart(plain, word{int(from), int(to)})
		}
		e.fill(from, to, mark)
		found = true
	})
	return found
}

// delimited reports whether a piece stands in quotes or brackets, or behind a colon or an equals sign.
func delimited(plain []byte, from, to int32) bool {
	if from == 0 {
		return false
	}
	before, behind := plain[from-1], byte('\n')
	if int(to) < len(plain) {
		behind = plain[to]
	}
	switch before {
	case '<':
		return behind == '>'
	case '"', '\'', '`':
		return behind == before || behind == '\''
	case '=':
		return true
	case ' ':
		lead := bytes.ToLower(plain[max(0, from-6):from])
		return from > 1 && plain[from-2] == ':' || bytes.HasSuffix(lead, []byte("helo ")) || bytes.HasSuffix(lead, []byte("ehlo "))
	}
	return false
}

func (e *echoes) fill(from, to int32, mark byte) {
	for i := from; i < to; i++ {
		if e.cover[i] == 0 {
			e.cover[i] = mark
		}
	}
}

// blank writes the reply with a mark for each run of covered octets.
func (e *echoes) blank(plain []byte) []byte {
	e.blanked = e.blanked[:0]
	for i, c := range plain {
		switch {
		case e.cover[i] == 0:
			e.blanked = append(e.blanked, c)
		case i == 0 || e.cover[i-1] != e.cover[i]:
			e.blanked = append(e.blanked, ' ', e.cover[i], ' ')
		}
	}
	return e.blanked
}
