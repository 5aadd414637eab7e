package session_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
)

// walkMX is a connection to an MX of some kind.
type walkMX struct {
	stillConn
	random     *rand.Rand
	kind       mxKind
	pipelining bool
	listed     bool // this MX does not want this sending IP, and says so now and then

	in, out []byte
	writes  int
	heard   []heard
	body    bool // a message is coming
	mail    bool // accepted
	rcpts   int
	ended   bool
}

type mxKind int

const (
	mxPermissive mxKind = iota // 250 and 354 to everything, in any order
	mxStrict                   // as RFC 5321 has it; what it refuses stands in the domain
	mxScripted                 // as it likes
)

// heard is what an MX was told, and said.
type heard struct {
	line  string // or endOfBody
	body  string
	write int // the command came in this write of kanmon's
	reply string
}

func (h *heard) accepted() bool { return len(h.reply) > 0 && (h.reply[0] == '2' || h.reply[0] == '3') }

func (c *walkMX) Read(p []byte) (int, error) {
	if len(c.out) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *walkMX) Pending() int { return len(c.out) }
func (c *walkMX) HungUp() bool { return c.ended }

func (c *walkMX) Write(p []byte) (int, error) {
	if c.ended || c.closed {
		return 0, os.ErrClosed
	}
	c.writes++
	c.in = append(c.in, p...)
	for !c.ended {
		end, n := []byte("\r\n"), 0
		if c.body {
			if end = []byte(".\r\n"); !bytes.HasPrefix(c.in, end) {
				end, n = []byte("\r\n.\r\n"), 2
			}
		}
		at := bytes.Index(c.in, end)
		if at < 0 {
			break
		}
		text := string(c.in[:at+n])
		c.in = c.in[at+len(end):]
		c.hear(text)
	}
	if c.ended {
		c.in = nil // what came behind is not looked at
	}
	return len(p), nil
}

func (c *walkMX) hear(text string) {
	h := heard{line: text, write: c.writes}
	var code int
	if c.body {
		h.line, h.body = endOfBody, text
		code = c.decideDot()
		c.body, c.mail, c.rcpts = false, false, 0
	} else {
		code = c.decide(text)
		c.body = code == 354
	}
	verb := said{line: text}.verb()
	h.reply = fmt.Sprintf("%d re %s\r\n", code, h.line)
	if code >= 500 && c.listed && c.random.IntN(2) == 0 {
		h.reply = fmt.Sprintf("%d listed: re %s\r\n", code, h.line)
	}
	if verb == "EHLO" && h.line != endOfBody && code == 250 {
		h.reply = "250-mx re EHLO\r\n250-SIZE 100000\r\n250-8BITMIME\r\n"
		if c.pipelining {
			h.reply += "250-PIPELINING\r\n"
		}
		h.reply += "250 SMTPUTF8\r\n"
	}
	c.heard = append(c.heard, h)
	c.out = append(c.out, h.reply...)
	c.ended = code == 421 || verb == "QUIT" && h.line != endOfBody
}

func (c *walkMX) pick(codes ...int) int { return codes[c.random.IntN(len(codes))] }

func (c *walkMX) decideDot() int {
	if c.kind == mxPermissive {
		return 250
	}
	return c.pick(250, 250, 250, 451, 550)
}

func (c *walkMX) decide(line string) int {
	verb := said{line: line}.verb()
	switch {
	case verb == "QUIT":
		return 221
	case verb == "EHLO", verb == "HELO":
		c.mail, c.rcpts = false, 0
		return 250
	case verb == "RSET" && c.kind == mxScripted && c.random.IntN(8) == 0:
		return 502
	case verb == "RSET":
		c.mail, c.rcpts = false, 0
		return 250
	case c.kind == mxScripted && c.random.IntN(60) == 0:
		return 421
	case c.kind == mxScripted:
		return map[string]int{
			"MAIL": c.pick(250, 250, 250, 451, 550), "RCPT": c.pick(250, 250, 250, 451, 550), "DATA": c.pick(354, 354, 354, 451, 554), "NOOP": 250,
		}[verb]
	case c.kind == mxStrict:
		return c.strict(verb, line)
	case verb == "DATA":
		return 354
	default:
		return 250
	}
}

func (c *walkMX) strict(verb, line string) int {
	switch {
	case verb == "MAIL" && c.mail, verb == "RCPT" && !c.mail, verb == "DATA" && c.rcpts == 0:
		return 503
	case strings.Contains(line, "@no.example"):
		return 550
	case strings.Contains(line, "@later.example"):
		return 451
	case verb == "MAIL":
		c.mail = true
	case verb == "RCPT":
		c.rcpts++
	case verb == "DATA":
		return c.pick(354, 354, 354, 451)
	}
	return 250
}
