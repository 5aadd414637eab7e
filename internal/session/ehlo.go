package session

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// keyword is an EHLO keyword that kanmon understands well enough to let through (RFC 2979 §3.1.2: allow what you
// know, never deny what you don't). Everything else is stripped, STARTTLS after it has been used.
type keyword uint16

const (
	kwSize keyword = 1 << iota
	kw8BitMIME
	kwSMTPUTF8
	kwDSN
	kwEnhancedStatusCodes
	kwPipelining
	kwLimits
	kwStartTLS  // for kanmon itself; never shown
	kwSizeNamed // not a keyword: SIZE came with a figure
)

// ownKeywords are what the MSA is told where there is no MX to ask: all that an MSA bounces mail for, or changes it, where it is missing. Its
// mail gets 4xx at MAIL anyway; what of the list the MX lacks that is then found after all is told at MAIL and RCPT, by unkept.
const ownKeywords = kwSize | kw8BitMIME | kwSMTPUTF8 | kwDSN | kwEnhancedStatusCodes | kwPipelining

var keywords = []struct {
	name string
	bit  keyword
}{
	{"SIZE", kwSize},                               // RFC 1870: the MX's figure; kanmon changes no body
	{"8BITMIME", kw8BitMIME},                       // RFC 6152: octets pass untouched
	{"SMTPUTF8", kwSMTPUTF8},                       // RFC 6531 §3.2: only together with 8BITMIME
	{"DSN", kwDSN},                                 // RFC 3461: parameters pass octet-identical
	{"ENHANCEDSTATUSCODES", kwEnhancedStatusCodes}, // RFC 2034: kanmon's own replies carry them too
	{"PIPELINING", kwPipelining},                   // RFC 2920
	{"LIMITS", kwLimits},                           // RFC 9422: lowered to kanmon's own
	{"STARTTLS", kwStartTLS},                       // RFC 3207
}

// capabilities is what an MX has said to EHLO: enough to answer the MSA's, and each further one. It is nobody else's memory.
type capabilities struct {
	has    keyword
	limits limitList // of LIMITS
	size   uint64    // of SIZE; 0: no limit named
	first  string    // the first line: the MX's name, mostly with a greeting
}

// maxFirst bounds what is kept of the first line: the longest text that a reply line can have (RFC 5321 §4.5.3.1.5).
const maxFirst = 512

func (c *capabilities) offers(k keyword) bool { return c.has&k != 0 }

// parseEHLO reads the lines behind the first one of a reply to EHLO. A line that is not exactly
// "KEYWORD[ SP argument]…" with a known keyword is as if it were not there (RFC 5321 §4.1.1.1); odd gathers those that
// nobody here has heard of.
func parseEHLO(reply *smtp.Reply, into *capabilities, odd *oddWords) {
	first, rest, more := bytes.Cut(reply.Text(), []byte("\n")) // the first line is the greeting, whatever it says
	*into = capabilities{first: string(first[:min(len(first), maxFirst)])}
	for more {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		word, args, _ := bytes.Cut(line, []byte(" "))
		if bit := known(word); bit != 0 {
			into.take(bit, args)
		} else if unheardOf(word) {
			odd.add(word)
		}
	}
	if !into.offers(kw8BitMIME) {
		into.has &^= kwSMTPUTF8
	}
}

// known gives the bit of a keyword that kanmon understands; 0 for all others.
func known(word []byte) keyword {
	for _, k := range keywords {
		if len(word) == len(k.name) && bytes.EqualFold(word, []byte(k.name)) {
			return k.bit
		}
	}
	return 0
}

func (c *capabilities) take(k keyword, args []byte) {
	args = bytes.TrimSpace(args)
	switch k {
	case kwSize:
		c.size, c.has = 0, c.has&^kwSizeNamed
		if len(args) > 0 && len(args) <= 20 && allDigits(args) { // RFC 1870 §4
			c.size, _ = strconv.ParseUint(string(args), 10, 64) // too much for it: the most it holds
			c.has |= kwSizeNamed
		}
	case kwLimits:
		if !validLimits(args) { // RFC 9422 §3: a syntax error makes the whole keyword void
			return
		}
		c.limits = parseLimits(args)
	}
	c.has |= k
}

// appendEHLO appends the reply kanmon gives to the MSA's EHLO: the MX's own first line, then what is left of its keywords.
func (c *capabilities) appendEHLO(dst []byte, offerTLS bool, limits Limits) []byte {
	start := len(dst)
	dst = append(dst, "250-"...)
	dst = smtp.AppendSanitised(dst, []byte(c.first), false)
	for _, k := range keywords {
		if !c.offers(k.bit) && (k.bit != kwStartTLS || !offerTLS) {
			continue
		}
		switch k.bit {
		case kwSize:
			dst = append(dst, "\r\n250-SIZE"...)
			if c.offers(kwSizeNamed) {
				dst = strconv.AppendUint(append(dst, ' '), c.size, 10)
			}
		case kwLimits:
			before := len(dst)
			dst = append(dst, "\r\n250-LIMITS"...)
			named := len(dst)
			if dst = c.limits.append(dst, limits); len(dst) == named {
				dst = dst[:before] // none that anybody here knows
			}
		case kwStartTLS:
			if offerTLS {
				dst = append(dst, "\r\n250-STARTTLS"...)
			}
		default:
			dst = append(append(dst, "\r\n250-"...), k.name...)
		}
	}
	last := bytes.LastIndexByte(dst[start:], '\n') + 1 + start
	dst[last+3] = ' '
	return append(dst, '\r', '\n')
}

// limitNames are the limits of RFC 9422 §4 that kanmon enforces itself or passes on.
var limitNames = [...]string{"MAILMAX", "RCPTMAX", "RCPTDOMAINMAX"}

// A limitList has the limits that an MX has named, in its order; what is left of it is zero.
type limitList [len(limitNames)]limit

// A limit is a number of at most six digits, and above it the place of its name, 1 for the first of limitNames.
type limit uint32

const limitBits = 24

func newLimit(name, most int) limit { return limit(name<<limitBits | most) } //nolint:gosec // as the type says
func (l limit) name() int           { return int(l >> limitBits) }
func (l limit) most() int           { return int(l & (1<<limitBits - 1)) }

// parseLimits reads valid arguments of LIMITS. Unknown names are for nobody (RFC 9422 §3); of a name that comes twice the lower limit counts.
func parseLimits(args []byte) (list limitList) {
	for field := range bytes.FieldsSeq(args) {
		word, value, _ := bytes.Cut(field, []byte("="))
		name := 1 + slices.IndexFunc(limitNames[:], func(n string) bool { return bytes.EqualFold(word, []byte(n)) })
		if name == 0 {
			continue
		}
		most, _ := strconv.Atoi(string(value))
		of := newLimit(name, most)
		for i, l := range list {
			if l == 0 || l.name() == name && of < l {
				list[i] = of
			}
			if list[i].name() == name {
				break
			}
		}
	}
	return list
}

// append appends the limits, lowered to kanmon's own.
func (list *limitList) append(dst []byte, own Limits) []byte {
	for _, l := range list {
		if l == 0 {
			break
		}
		name, most := limitNames[l.name()-1], l.most()
		switch name {
		case "RCPTMAX":
			most = min(most, own.Recipients)
		case "MAILMAX":
			if own.Transactions > 0 {
				most = min(most, own.Transactions)
			}
		}
		dst = append(append(append(dst, ' '), name...), '=')
		dst = strconv.AppendInt(dst, int64(most), 10)
	}
	return dst
}

// validLimits checks the syntax of RFC 9422 §3: name=value pairs, values of digits for the names that kanmon passes on.
func validLimits(args []byte) bool {
	if len(args) == 0 {
		return false
	}
	for field := range bytes.FieldsSeq(args) {
		name, value, found := bytes.Cut(field, []byte("="))
		if !found || len(name) == 0 || !allDigits(value) || len(value) == 0 || len(value) > 6 {
			return false
		}
	}
	return true
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendHELO appends the one line that answers HELO: the greeting of the MX's reply to EHLO, without its keywords.
func (c *capabilities) appendHELO(dst []byte) []byte {
	return append(smtp.AppendSanitised(append(dst, "250 "...), []byte(c.first), false), '\r', '\n')
}

// tellHello answers the MSA's EHLO or HELO.
func (s *session) tellHello(c *capabilities) {
	before := len(s.msa.out) // replies to commands ahead of it
	if s.talk.hello == smtp.VerbHELO {
		s.msa.out = c.appendHELO(s.msa.buffer())
	} else {
		offerTLS := s.e.Certificate != nil && s.info.MSA.State == event.TLSNone
		s.msa.out = c.appendEHLO(s.msa.buffer(), offerTLS, s.e.Limits.withDefaults())
	}
	s.log.sentToMSA(s.msa.out[before:])
}

// helloWithoutMX answers EHLO or HELO where there is no MX to ask, and none of the mail may go for now.
func (s *session) helloWithoutMX() {
	s.resetMail()
	s.talk.ownList = true
	s.tellHello(&capabilities{has: ownKeywords, first: s.e.name()})
}

// helloAgain answers a further EHLO or HELO on a leg that is ready from what its MX has said to the first: many an MX takes one, and one
// more inside TLS, and refuses the next. Where it may have a transaction open, RSET does what a repeated EHLO would (RFC 5321 §4.1.4).
func (s *session) helloAgain() error {
	var err error
	switch {
	case s.mx.transaction:
		err = s.resetMX()
	case s.mx.pending():
		err = s.unasked(event.PhaseEHLO)
	}
	if err != nil {
		return err
	}
	s.helloAnswered()
	return nil
}

// helloAnswered tells the MSA what the MX offers.
func (s *session) helloAnswered() {
	s.resetMail()
	s.talk.ownList = false
	s.promise()
	s.tellHello(&s.mx.caps)
}

// resetMX says RSET to the MX. One that does not take it (RFC 5321 §4.1.1.5: it must) could go on with the recipients of the mail before.
func (s *session) resetMX() error {
	s.mx.out = append(s.mx.buffer(), "RSET\r\n"...)
	s.log.line(event.MarkMadeForMX, []byte("RSET"))
	if err := s.sendToMX(event.PhaseReset); err != nil {
		return err
	}
	if err := s.readReply(event.PhaseReset); err != nil {
		return err
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	switch {
	case s.mx.reply.Code == 421:
		return s.saidGoodbye(event.PhaseReset)
	case s.mx.reply.Class() != 2:
		return &failure{trouble: mxGarbled, phase: event.PhaseReset, cause: fmt.Errorf("reply %d to RSET", s.mx.reply.Code)}
	}
	return nil
}

// unkept returns what a MAIL or RCPT is told that uses what kanmon's own list promised and this MX does not offer (I9): it is for a
// session to find out that has heard the MX's own list. It returns nil where the command may go.
func (s *session) unkept(cmd smtp.Command) *smtp.Reply {
	if !s.talk.ownList {
		return nil
	}
	_, params, _ := cmd.Path()
	c := &s.mx.caps
	for _, u := range uses {
		if smtp.HasParam(params, u.param) && !c.offers(u.bit) {
			return &replyLacks
		}
	}
	size, _ := announced(params)
	if cmd.Eight && !c.offers(kwSMTPUTF8) || c.size > 0 && size > 0 && uint64(size) > c.size {
		return &replyLacks
	}
	return nil
}

// uses are the parameters of MAIL and RCPT that a keyword of kanmon's own list invites to.
var uses = []struct {
	param string
	bit   keyword
}{
	{"SIZE", kwSize},
	{"BODY", kw8BitMIME},
	{"SMTPUTF8", kwSMTPUTF8},
	{"RET", kwDSN},
	{"ENVID", kwDSN},
	{"NOTIFY", kwDSN},
	{"ORCPT", kwDSN},
}
