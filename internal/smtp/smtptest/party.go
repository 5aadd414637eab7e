package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A party is the script's end of a leg.
type party struct {
	raw    *Conn
	conn   net.Conn // raw, or TLS on it
	r      *bufio.Reader
	closed bool // by the script
	ended  bool // by the proxy, and the script has seen it
	out    []byte
}

func newParty(c *Conn) *party { return &party{raw: c, conn: c, r: bufio.NewReader(c)} }

// write adds to what goes out with the next flush.
func (p *party) write(text string) error {
	p.out = append(p.out, text...)
	return nil
}

func (p *party) flush() error {
	if p == nil || len(p.out) == 0 {
		return nil
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.conn.Write(p.out)
	p.out = nil
	return err
}

func (p *party) wantLine(want string) error {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	got, err := p.r.ReadBytes('\n')
	if err != nil {
		return mismatch(want+"\r\n", got, err)
	}
	line, crlf := bytes.CutSuffix(got, []byte("\r\n"))
	if !crlf || !matches(string(line), want) {
		return mismatch(want+"\r\n", got, nil)
	}
	return nil
}

// matches compares a line; a trailing … or * in want stands for any rest.
func matches(line, want string) bool {
	for _, wild := range []string{"…", "*"} {
		if prefix, ok := strings.CutSuffix(want, wild); ok {
			return strings.HasPrefix(line, prefix)
		}
	}
	return line == want
}

// wantOctets compares with what comes next.
func (p *party) wantOctets(want string) error {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	read, err := io.ReadFull(p.r, got)
	if err != nil || string(got) != want {
		return mismatch(want, got[:read], err)
	}
	return nil
}

// skip takes a number of octets, whatever they are.
func (p *party) skip(n int) error {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	read, err := io.CopyN(io.Discard, p.r, int64(n))
	if err != nil {
		return fmt.Errorf("want %d octets, got %d: %w", n, read, err)
	}
	return nil
}

func (p *party) startTLS(c *tls.Conn) error {
	if n := p.r.Buffered(); n > 0 {
		return fmt.Errorf("%d octets were received before the handshake", n)
	}
	_ = p.raw.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	p.conn, p.r = c, bufio.NewReader(c)
	return nil
}

// wantEnd wants the end of the connection, orderly or by a reset, and no octet before it.
func (p *party) wantEnd() error {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(p.r)
	switch {
	case len(got) > 0:
		return fmt.Errorf("want the end of the connection\ngot  %q", got)
	case err == nil, errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		p.ended = true
		return nil
	}
	return fmt.Errorf("want the end of the connection\ngot  %w", err)
}

// wantQuiet fails if octets have come, or the end, that no line has expected yet.
func (p *party) wantQuiet() error {
	_ = p.conn.SetReadDeadline(time.Now().Add(glance))
	_, err := p.r.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	got, _ := p.r.Peek(p.r.Buffered())
	if err != nil {
		return fmt.Errorf("want nothing to come\ngot  %q and then %w", got, err)
	}
	return fmt.Errorf("want nothing to come\ngot  %q", got)
}

// leftOver fails if octets have come that no line has expected.
func (p *party) leftOver(name string) error {
	if p.closed {
		return nil
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(glance))
	got, _ := io.ReadAll(p.r) // ends in a timeout or with the connection: both are right here
	if len(got) == 0 {
		return nil
	}
	return fmt.Errorf("the %s has received what no line expects: %q", name, got)
}

func (p *party) close() {
	if !p.closed {
		p.closed = true
		_ = p.conn.Close()
	}
}

func (p *party) reset() {
	p.closed = true
	p.raw.Reset()
}

func mismatch(want string, got []byte, err error) error {
	if err != nil {
		return fmt.Errorf("want %q\ngot  %q and then %w", want, got, err)
	}
	return fmt.Errorf("want %q\ngot  %q", want, got)
}

// unescape reads Go's escapes; a double quote needs none.
func unescape(text string) (string, error) {
	var out strings.Builder
	for text != "" {
		r, multibyte, rest, err := strconv.UnquoteChar(text, 0)
		if err != nil {
			return "", fmt.Errorf("bad escape at %q: want those of Go, such as \\r\\n or \\x00", text)
		}
		if multibyte {
			out.WriteRune(r)
		} else {
			out.WriteByte(byte(r))
		}
		text = rest
	}
	return out.String(), nil
}
