package session

import (
	"bytes"
	"strconv"

	"kanmon/internal/smtp"
)

// keyword is an EHLO keyword that kanmon understands well enough to let through (RFC 2979 §3.1.2: allow what you
// know, never deny what you don't). Everything else is stripped, STARTTLS after it has been used.
type keyword uint8

const (
	kwSize keyword = 1 << iota
	kw8BitMIME
	kwSMTPUTF8
	kwDSN
	kwEnhancedStatusCodes
	kwPipelining
	kwLimits
	kwStartTLS // for kanmon itself; never shown
)

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

// capabilities is what an MX offers. Its slices point into the reply they were read from.
type capabilities struct {
	has    keyword
	size   []byte // argument of SIZE, digits only
	limits []byte // arguments of LIMITS as they came
}

// maxSize is what the MX says that it takes; 0: it names no limit.
func (c *capabilities) maxSize() uint64 {
	n, _ := strconv.ParseUint(string(c.size), 10, 64)
	return n
}

func (c *capabilities) offers(k keyword) bool { return c.has&k != 0 }

// parseEHLO reads the lines behind the first one of a reply to EHLO. A line that is not exactly
// "KEYWORD[ SP argument]…" with a known keyword is as if it were not there (RFC 5321 §4.1.1.1); odd is told of those that
// nobody here has heard of.
func parseEHLO(reply *smtp.Reply, into *capabilities, odd func(word []byte)) {
	*into = capabilities{}
	_, rest, more := bytes.Cut(reply.Text(), []byte("\n")) // the first line is the greeting, whatever it says
	for more {
		var line []byte
		line, rest, more = bytes.Cut(rest, []byte("\n"))
		word, args, _ := bytes.Cut(line, []byte(" "))
		if bit := known(word); bit != 0 {
			into.take(bit, args)
		} else if unheardOf(word) {
			odd(word)
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
		if !allDigits(args) || len(args) > 20 { // RFC 1870 §4
			args = nil
		}
		c.size = args
	case kwLimits:
		if !validLimits(args) { // RFC 9422 §3: a syntax error makes the whole keyword void
			return
		}
		c.limits = args
	}
	c.has |= k
}

// appendEHLO appends the reply kanmon gives to the MSA's EHLO: the MX's own first line, then what is left of its keywords.
func (c *capabilities) appendEHLO(dst []byte, first []byte, offerTLS bool, limits Limits) []byte {
	start := len(dst)
	dst = append(dst, "250-"...)
	dst = smtp.AppendSanitised(dst, first, false)
	for _, k := range keywords {
		if !c.offers(k.bit) && (k.bit != kwStartTLS || !offerTLS) {
			continue
		}
		switch k.bit {
		case kwSize:
			dst = append(dst, "\r\n250-SIZE"...)
			if len(c.size) > 0 {
				dst = append(append(dst, ' '), c.size...)
			}
		case kwLimits:
			before := len(dst)
			dst = append(dst, "\r\n250-LIMITS"...)
			named := len(dst)
			if dst = appendLimits(dst, c.limits, limits); len(dst) == named {
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
func appendLimits(dst, args []byte, own Limits) []byte {
	for field := range bytes.FieldsSeq(args) {
		name, value, _ := bytes.Cut(field, []byte("="))
		n, err := strconv.Atoi(string(value))
		if err != nil {
			continue
		}
		switch string(bytes.ToUpper(name)) {
		case "RCPTMAX":
			n = min(n, own.Recipients)
		case "MAILMAX":
			if own.Transactions > 0 {
				n = min(n, own.Transactions)
			}
		case "RCPTDOMAINMAX":
		default: // RFC 9422 §3: unknown names are for nobody
			continue
		}
		dst = append(append(append(dst, ' '), bytes.ToUpper(name)...), '=')
		dst = strconv.AppendInt(dst, int64(n), 10)
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
func appendHELO(dst []byte, reply *smtp.Reply) []byte {
	one := smtp.NewReply(reply.Code, "", string(firstLine(reply)))
	return one.AppendWire(dst, false)
}

func firstLine(reply *smtp.Reply) []byte {
	first, _, _ := bytes.Cut(reply.Text(), []byte("\n"))
	return first
}
