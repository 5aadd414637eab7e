package mx

import (
	"bytes"
	"strconv"
	"time"
)

// act is what a dialogue wants of its session besides the writing of replies.
type act uint8

const (
	actNone     act = iota
	actStartTLS     // begin the handshake once the replies are written
	actClose        // close once the replies are written
	actHold         // answer nothing until released; the rest of the input is still unread
	actDrip         // answer with a reply that never ends
)

// A dialogue is the SMTP side of one session, apart from its transport.
type dialogue struct {
	server   *Server
	listener *Listener
	secure   bool   // inside TLS
	body     bool   // between 354 and the dot
	line     []byte // the beginning of a command whose end has not come yet
	tail     []byte // the end of the body read so far, at most len(endOfData)-1 octets
	announced,
	octets int64 // of the present message, as MAIL said and as counted
	messages int64
}

// endOfData is looked for in the body; at its very beginning the CRLF of DATA counts as the first one (RFC 5321 §4.1.1.4).
const endOfData = "\r\n.\r\n"

const (
	banner = "220 mx.bench.test ESMTP\r\n"
	hello  = "250-mx.bench.test\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n"
)

// step takes octets of the peer and appends the replies to out. It gives the replies, the octets it has not
// looked at, and what is to happen; it stops at the first thing that has to.
func (d *dialogue) step(in, out []byte) (replies, rest []byte, do act) {
	for len(in) > 0 {
		if d.body {
			in, out = d.readBody(in, out)
			continue
		}
		end := bytes.IndexByte(in, '\n')
		if end < 0 {
			d.line = append(d.line, in...)
			return out, nil, actNone
		}
		line := in[:end+1]
		if len(d.line) > 0 {
			d.line = append(d.line, line...)
			line = d.line
		}
		if verbIs(line, "MAIL") {
			if d.listener.Drip > 0 {
				return out, nil, actDrip
			}
			if d.listener.Hold && d.messages >= d.server.released.Load() {
				// The command is kept as unread: it is looked at again after the release.
				whole := append(bytes.Clone(line), in[end+1:]...)
				d.line = d.line[:0]
				return out, whole, actHold
			}
		}
		in = in[end+1:]
		out, do = d.command(line, out)
		d.line = d.line[:0]
		if do != actNone {
			return out, in, do
		}
	}
	return out, nil, actNone
}

func verbIs(line []byte, verb string) bool {
	return len(line) >= len(verb) && string(line[:len(verb)]) == verb
}

func (d *dialogue) command(line, out []byte) ([]byte, act) {
	switch {
	case verbIs(line, "MAIL"):
		d.announced, d.octets = announced(line), 0
		return append(out, "250 2.1.0 Ok\r\n"...), actNone
	case verbIs(line, "RCPT"):
		return append(out, "250 2.1.5 Ok\r\n"...), actNone
	case verbIs(line, "DATA"):
		d.body = true
		d.tail = append(d.tail[:0], "\r\n"...)
		return append(out, "354 End data with <CR><LF>.<CR><LF>\r\n"...), actNone
	case verbIs(line, "EHLO"):
		out = append(out, hello...)
		if d.listener.TLS == StartTLS && !d.secure {
			out = append(out, "250-STARTTLS\r\n"...)
		}
		return append(out, "250 ENHANCEDSTATUSCODES\r\n"...), actNone
	case verbIs(line, "HELO"), verbIs(line, "RSET"), verbIs(line, "NOOP"):
		return append(out, "250 2.0.0 Ok\r\n"...), actNone
	case verbIs(line, "STARTTLS") && d.listener.TLS == StartTLS && !d.secure:
		return append(out, "220 2.0.0 Ready\r\n"...), actStartTLS
	case verbIs(line, "QUIT"):
		return append(out, "221 2.0.0 Bye\r\n"...), actClose
	}
	return append(out, "500 5.5.2 unknown command\r\n"...), actNone
}

// announced reads SIZE= of a MAIL command (RFC 1870); -1 without one.
func announced(line []byte) int64 {
	const keyword = " SIZE="
	i := bytes.Index(line, []byte(keyword))
	if i < 0 {
		return -1
	}
	value := bytes.TrimRight(line[i+len(keyword):], "\r\n")
	value, _, _ = bytes.Cut(value, []byte(" "))
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// readBody takes octets of a body up to its dot, if that is among them.
func (d *dialogue) readBody(in, out []byte) (rest, replies []byte) {
	const carry = len(endOfData) - 1
	seam := append(d.tail, in[:min(len(in), carry)]...)
	end := bytes.Index(seam, []byte(endOfData)) // begins in what was read before
	if end >= 0 {
		end += len(endOfData) - len(d.tail)
	} else if end = bytes.Index(in, []byte(endOfData)); end >= 0 {
		end += len(endOfData)
	} else {
		d.octets += int64(len(in))
		if len(in) >= carry {
			d.tail = append(d.tail[:0], in[len(in)-carry:]...)
		} else {
			d.tail = append(d.tail[:0], seam[max(0, len(seam)-carry):]...)
		}
		return nil, out
	}
	d.octets += int64(end) - int64(len(".\r\n"))
	d.body = false
	d.messages++
	d.server.messages.Add(1)
	d.server.octets.Add(d.octets)
	if d.announced >= 0 && d.octets != d.announced {
		d.server.wrong.Add(1)
		return in[end:], append(out, "554 5.6.0 message has another size than announced\r\n"...)
	}
	return in[end:], appendStamp(out, d.now())
}

func (d *dialogue) now() time.Duration { return d.server.clock.Now() }
