package journal

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
)

// AddressMode says what becomes of the mail addresses in the sinks: those of sender and recipients, and those that
// commands and replies name. Replies often name the local part alone; it is found there if it is a local part of the session's
// current transaction. A local part that is also a common word ("mail") takes the word with it.
type AddressMode uint8

// The address modes.
const (
	AddressesClear  AddressMode = iota // as they are
	AddressesHashed                    // the first 12 hex digits of HMAC-SHA-256 of the lower-case local part, @domain
	AddressesDomain                    // *@domain
)

var addressModes = word.List[AddressMode]("address mode", "clear", "hashed", "domain")

// String returns the mode as the configuration has it.
func (m AddressMode) String() string { return addressModes.Text(m) }

// UnmarshalText reads a mode.
func (m *AddressMode) UnmarshalText(text []byte) error { return addressModes.Read(text, m) }

// Words returns the modes.
func (AddressMode) Words() []string { return addressModes.Words() }

// kind says how a text is to be read.
type kind uint8

const (
	kindNote kind = iota
	kindCommand
	kindReply
)

func kindOf(m event.Mark) kind {
	switch m {
	case event.MarkToMX, event.MarkMadeForMX, event.MarkFromMSA:
		return kindCommand
	case event.MarkToMSA, event.MarkFromMX:
		return kindReply
	default:
		return kindNote
	}
}

const redacted = "[redacted]"

// A guard takes credentials and the people behind addresses out of the texts of one record after the other.
type guard struct {
	mode    AddressMode
	mac     hash.Hash
	locals  localSet
	domains localSet // that addresses of the current record have
	learned []string // what the current record added to locals
	carried carried
	secret  bool // the last command was AUTH: the next may be its argument

	until   int    // offset in the line at hand behind which nothing more is begun
	left    int    // octets that were left out for that
	out     []byte // result of text and address
	line    []byte // scratch: a line without its AUTH parameter
	plain   []byte // scratch: a decoded or unquoted local part
	sum     []byte // scratch of hash
	foreign []byte // scratch of the callers: octets of a string
}

func newGuard(mode AddressMode, key []byte) *guard {
	return &guard{mode: mode, mac: hmac.New(sha256.New, key), carried: newCarried()}
}

// begin learns the local parts that texts of the record may name.
func (g *guard) begin(o owner, r *event.Record) {
	g.secret = false
	if g.mode == AddressesClear {
		return
	}
	g.locals.reset()
	g.domains.reset()
	g.learned = g.learned[:0]
	if r.Transaction == nil {
		g.recall(r.Session.ID)
		g.learnRecord(r)
	} else { // what it names is carried on, and nothing else
		g.learnRecord(r)
		g.recall(r.Session.ID)
		g.carried.drop(r.Session.ID)
	}
	if r.End != nil {
		g.carried.drop(r.Session.ID)
	} else {
		g.carried.add(o, r.Session.ID, g.learned)
	}
}

// recall adds what records of the session before this one have named.
func (g *guard) recall(id event.ID) {
	for _, l := range g.carried.locals(id) {
		g.plain = append(g.plain[:0], l...)
		g.locals.add(g.plain)
	}
}

func (g *guard) learnRecord(r *event.Record) {
	for i := range r.Lines {
		if kindOf(r.Lines[i].Mark) == kindCommand {
			for line := range bytes.SplitSeq(r.Text(r.Lines[i].Text), newline) {
				g.learnCommand(line)
			}
		}
	}
	for _, n := range r.Names {
		g.learnName(r.Text(n))
	}
	if t := r.Transaction; t != nil {
		g.learnPath(r.Text(t.Sender))
		for i := range t.Recipients {
			g.learnPath(r.Text(t.Recipients[i].Address))
		}
	}
}

// learnName learns whom a name of a record's is of.
func (g *guard) learnName(name []byte) {
	if _, ok := parseEnvelope(name); ok {
		g.learnCommand(name)
	} else {
		g.learnPath(name)
	}
}

func (g *guard) learnCommand(line []byte) {
	c, ok := parseEnvelope(line)
	if !ok {
		g.learnDamaged(line)
		return
	}
	g.learnPath(c.path)
	for token := range bytes.SplitSeq(c.params, blank) {
		name, value, _ := bytes.Cut(token, equals)
		switch {
		case bytes.EqualFold(name, paramORCPT):
			address := value[bytes.IndexByte(value, ';')+1:]
			g.learnPath(address)
			g.learnPath(appendXtext(nil, address))
		case bytes.EqualFold(name, paramENVID):
			g.learn(value)
			g.learn(appendXtext(nil, value))
		}
	}
}

// learnDamaged learns every word that may be an address in a command that names one, but not as it should.
func (g *guard) learnDamaged(line []byte) {
	verb := verbOf(line)
	if !envelopeVerb(verb) && !lookupVerb(verb) {
		return
	}
	line = line[bytes.Index(line, verb)+len(verb):]
	for word := range bytes.FieldsFuncSeq(line, func(r rune) bool { return r <= ' ' || r == '<' || r == '>' || r == ':' }) {
		if !equalFold(word, "FROM") && !equalFold(word, "TO") {
			g.learnPath(word)
		}
	}
}

// learnPath learns a local part in every form that a reply may show it in: as it stands, without its quotes,
// and without the tag of a subaddress.
func (g *guard) learnPath(path []byte) {
	_, local, domain := splitPath(path)
	g.learn(local)
	if domain == nil { // perhaps an address, damaged
		before, _, _ := bytes.Cut(local, atSign)
		g.learn(before)
	} else {
		g.domains.add(domain[1:])
	}
	plain := local
	if len(local) > 0 && (local[0] == '"' || bytes.IndexByte(local, '\\') >= 0) {
		plain = unquote(nil, local)
		g.learn(plain)
	}
	if base, _, tagged := bytes.Cut(plain, plus); tagged {
		g.learn(base)
	}
}

func (g *guard) learn(local []byte) {
	if g.locals.add(local) {
		g.learned = append(g.learned, string(local))
	}
}

// text returns what may be shown of a text: one line, or lines parted by '\n'. It is all that began in the first maxText octets; left says
// how many octets that leaves out. Of a text that is cut itself, a last word is left out, too: an address may have been cut.
// The result is valid until the next call, and is not yet fit for a terminal.
func (g *guard) text(text []byte, k kind, isCut bool) (shown []byte, left int) {
	if g.mode == AddressesClear && !g.secret && !mayHoldCredential(text, k) {
		return text, 0
	}
	g.out, g.left = g.out[:0], 0
	end := g.end(text, isCut)
	for {
		line, rest, more := bytes.Cut(text, newline)
		g.until = end
		end -= len(line) + 1
		line = g.withoutAuthParam(line, k)
		if end >= -1 { // all of the line, which may be longer now
			g.until = len(line)
		}
		switch k {
		case kindCommand:
			g.command(line)
		case kindReply:
			g.reply(line)
		default:
			g.free(line)
		}
		switch {
		case !more:
			return g.out, g.left
		case end < 0:
			return g.out, g.left + 1 + len(rest)
		}
		g.out = append(g.out, '\n')
		text = rest
	}
}

// end returns the offset in a text behind which nothing more is begun.
func (g *guard) end(text []byte, isCut bool) int {
	switch {
	case g.mode == AddressesClear:
		return len(text)
	case len(text) > maxText:
		return maxText
	case isCut:
		return bytes.LastIndexAny(text, " \n") + 1
	default:
		return len(text)
	}
}

// address returns what may be shown of the inside of angle brackets. The result is valid until the next call.
func (g *guard) address(path []byte) []byte {
	g.out, g.until = g.out[:0], len(path)
	g.path(path)
	return g.out
}

// messageID returns what may be shown of a Message-ID; nil: nothing. It is one name for one message, of which no part
// is shown without the other.
func (g *guard) messageID(id []byte) []byte {
	switch g.mode {
	case AddressesClear:
		return id
	case AddressesHashed:
		g.out = g.hash(g.out[:0], id, 12)
		return g.out
	default:
		return nil
	}
}

// hash appends the first octets of a text's keyed hash, in hexadecimal.
func (g *guard) hash(dst, text []byte, octets int) []byte {
	g.mac.Reset()
	g.mac.Write(text) // a hash never fails
	g.sum = g.mac.Sum(g.sum[:0])
	return hex.AppendEncode(dst, g.sum[:octets])
}

// path appends a path (RFC 5321 §4.1.2) without its local part's owner.
func (g *guard) path(path []byte) {
	if g.mode == AddressesClear {
		g.out = append(g.out, path...)
		return
	}
	route, local, domain := splitPath(path)
	g.out = append(g.out, route...)
	g.local(local)
	g.out = append(g.out, domain...)
}

// local appends what stands for a local part.
func (g *guard) local(local []byte) {
	if len(local) == 0 {
		return
	}
	if g.mode == AddressesDomain {
		g.out = append(g.out, '*')
		return
	}
	if local[0] == '"' || bytes.IndexByte(local, '\\') >= 0 {
		g.plain = unquote(g.plain[:0], local)
		local = g.plain
	}
	g.out = g.hash(g.out, bytes.ToLower(local), 6)
}
