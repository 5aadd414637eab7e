package session

import (
	"bytes"
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

// ownKeywords are what the MSA is told where there is no MX to ask: all that an MSA bounces mail for, or changes it,
// where it is missing. Its mail gets 4xx at MAIL anyway; what of the list the MX lacks that is then found after all is
// told at MAIL and RCPT, by unkept.
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

// strippedKeywords are those that kanmon knows and strips (docs/engine.md 3); so is all that begins with X.
var strippedKeywords = func() map[string]bool {
	known := make(map[string]bool)
	for word := range bytes.FieldsSeq([]byte(`
		CHUNKING BINARYMIME REQUIRETLS AUTH PRDR PIPECONNECT ETRN ATRN TURN VRFY EXPN HELP BURL FUTURERELEASE SUBMITTER
		CONPERM CONNEG MTRK CHECKPOINT WELLKNOWN DELIVERBY MT-PRIORITY NO-SOLICITING RRVS VERB ONEX SEND SOML SAML`)) {
		known[string(word)] = true
	}
	return known
}()

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

// known returns the bit of a keyword that kanmon understands; 0 for all others.
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

// isKeyword tells ehlo-keywords (RFC 5321 §4.1.1.1) from text.
func isKeyword(word []byte) bool {
	for i, c := range word {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' || i == 0) {
			return false
		}
	}
	return len(word) > 0
}

// unheardOf reports whether a keyword is neither passed on nor known for being stripped.
func unheardOf(word []byte) bool {
	if strippedKeywords[string(word)] { // the common case, without a copy
		return false
	}
	upper := bytes.ToUpper(word)
	return isKeyword(word) && upper[0] != 'X' && !strippedKeywords[string(upper)] && !bytes.HasPrefix(upper, []byte("UTF8SMTP"))
}

// A promise is what the MSA has been told that the MX can do (I9).
type promise struct {
	has    keyword
	tls    bool // what it sent went on inside TLS
	limits limitList
	size   uint64 // 0: no limit named
}

func (s *session) promise() {
	if s.replays() {
		c := &s.mx.caps
		s.again.promised = promise{c.has, s.mx.info.MX.State == event.TLSOn, c.limits, c.size}
	}
}

// kept reports whether another MX leg can do all that was promised. LIMITS must be the same, or none.
func (p *promise) kept(c *capabilities, tls bool) bool {
	switch {
	case p.tls && !tls:
		return false
	case p.has&^(kwStartTLS|kwLimits|kwSizeNamed)&^c.has != 0:
		return false
	case c.size > 0 && (p.size == 0 || c.size < p.size):
		return false
	default:
		return !c.offers(kwLimits) || c.limits == p.limits
	}
}
