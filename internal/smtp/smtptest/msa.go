package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// An MSA is a fake client. Its dialogue methods end the test when the connection fails or a reply is malformed;
// [MSA.Deliver] does not, and judges as a queueing mail server would. Deliver opens the session itself: do not mix it with
// the dialogue methods before its first call.
type MSA struct {
	TLS  *tls.Config   // Deliver uses STARTTLS if it is offered; nil: never
	Helo string        // "": msa.example.com
	Wait time.Duration // for each reply; 0: 10 minutes, as RFC 5321 §4.5.3.2.6

	t         testing.TB
	raw, conn net.Conn
	r         *bufio.Reader
	keywords  map[string]bool // of the last EHLO; nil before the first
}

// NewMSA returns a client on an open connection, on which nothing has been read.
func NewMSA(t testing.TB, c net.Conn) *MSA {
	return &MSA{t: t, raw: c, conn: c, r: bufio.NewReader(c)}
}

// A Reply is one reply, of one or more lines.
type Reply struct {
	Code  int
	Lines []string // text behind the code and its separator
}

// String returns the reply as on the wire, lines separated by " | ".
func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, strings.Join(r.Lines, " | ")) }

// Class is the first digit of the code; 0 in the zero Reply.
func (r Reply) Class() int { return r.Code / 100 }

// ErrMalformedReply is seen when a reply is not one by RFC 5321 §4.2.
var ErrMalformedReply = errors.New("malformed reply")

// Expect reads a reply, which must have this code.
func (m *MSA) Expect(code int) Reply {
	m.t.Helper()
	reply, err := m.read()
	if err != nil {
		m.t.Fatalf("waiting for %d: %v", code, err)
	}
	if reply.Code != code {
		m.t.Fatalf("got reply %q, want %d", reply, code)
	}
	return reply
}

// Send writes lines, each followed by CRLF, at once.
func (m *MSA) Send(lines ...string) {
	m.t.Helper()
	if err := m.write(lines...); err != nil {
		m.t.Fatalf("sending %q: %v", lines, err)
	}
}

// Next reads a reply. An error means that none came in time, or that the connection has ended.
func (m *MSA) Next() (Reply, error) { return m.read() }

// Command sends a line and reads its reply.
func (m *MSA) Command(line string) Reply {
	m.t.Helper()
	return m.Pipeline(line)[0]
}

// Pipeline sends lines in one write and reads as many replies.
func (m *MSA) Pipeline(lines ...string) []Reply {
	m.t.Helper()
	m.Send(lines...)
	replies := make([]Reply, len(lines))
	for i := range lines {
		reply, err := m.read()
		if err != nil {
			m.t.Fatalf("reply to %q: %v", lines[i], err)
		}
		replies[i] = reply
	}
	return replies
}

// Data sends DATA and, after 354, the body with dots stuffed and the end of data. It gives the last reply.
func (m *MSA) Data(body []byte) Reply {
	m.t.Helper()
	reply := m.Command("DATA")
	if reply.Code != 354 {
		return reply
	}
	if err := m.writeBody(body); err != nil {
		m.t.Fatalf("sending the body: %v", err)
	}
	reply, err := m.read()
	if err != nil {
		m.t.Fatalf("reply to the end of data: %v", err)
	}
	return reply
}

// StartTLS sends STARTTLS and does the handshake.
func (m *MSA) StartTLS(config *tls.Config) {
	m.t.Helper()
	if reply := m.Command("STARTTLS"); reply.Code != 220 {
		m.t.Fatalf("STARTTLS got %q, want 220", reply)
	}
	if err := m.handshake(config); err != nil {
		m.t.Fatalf("handshake: %v", err)
	}
}

// Conn is the connection as it is now: TLS after StartTLS.
func (m *MSA) Conn() net.Conn { return m.conn }

func (m *MSA) handshake(config *tls.Config) error {
	if m.r.Buffered() > 0 {
		return fmt.Errorf("%d octets before the handshake", m.r.Buffered())
	}
	c := tls.Client(m.raw, config)
	m.conn, m.r, m.keywords = c, bufio.NewReader(c), nil
	_ = c.SetDeadline(time.Now().Add(m.wait()))
	return c.Handshake()
}

func (m *MSA) wait() time.Duration {
	if m.Wait == 0 {
		return 10 * time.Minute
	}
	return m.Wait
}

func (m *MSA) helo() string {
	if m.Helo == "" {
		return "msa.example.com"
	}
	return m.Helo
}

func (m *MSA) write(lines ...string) error {
	_ = m.conn.SetWriteDeadline(time.Now().Add(m.wait()))
	_, err := io.WriteString(m.conn, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

func (m *MSA) writeBody(body []byte) error {
	_ = m.conn.SetWriteDeadline(time.Now().Add(m.wait()))
	_, err := m.conn.Write(append(stuff(body), ".\r\n"...))
	return err
}

// read reads one reply, strictly: every line ends in CRLF and has the same code (RFC 5321 §4.2).
func (m *MSA) read() (Reply, error) {
	_ = m.conn.SetReadDeadline(time.Now().Add(m.wait()))
	var reply Reply
	for {
		line, err := m.r.ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Reply{}, err
		}
		code, more, ok := replyLine(line)
		if !ok || len(reply.Lines) > 0 && code != reply.Code {
			return Reply{}, fmt.Errorf("%w: %q", ErrMalformedReply, line)
		}
		reply.Code = code
		reply.Lines = append(reply.Lines, strings.TrimSuffix(line[min(4, len(line)-2):], "\r\n"))
		if !more {
			return reply, nil
		}
	}
}

func replyLine(line string) (code int, more, ok bool) {
	text, crlf := strings.CutSuffix(line, "\r\n")
	if !crlf || len(text) < 3 || strings.ContainsAny(text, "\r\x00") {
		return 0, false, false
	}
	for _, digit := range []byte(text[:3]) {
		if digit < '0' || digit > '9' {
			return 0, false, false
		}
		code = code*10 + int(digit-'0')
	}
	if code < 200 || code > 599 || len(text) > 3 && text[3] != ' ' && text[3] != '-' {
		return 0, false, false
	}
	return code, len(text) > 3 && text[3] == '-', true
}
