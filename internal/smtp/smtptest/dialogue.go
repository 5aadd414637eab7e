package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long, in virtual time, a dialogue waits for what it expects. A longer wait must be written
// down as a sleep, so that a script says when a timer of the proxy is at work.
const patience = 10 * time.Second

// RunDialogue runs a script of the language in the package comment in a bubble of testing/synctest. It starts start
// in a goroutine with the proxy's ends of both legs; the script fails unless start returns, both legs closed, within
// an hour of virtual time after the last line.
func RunDialogue(t *testing.T, file string, start func(msa, mx net.Conn)) {
	t.Helper()
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := tls.Config{Certificates: []tls.Certificate{Certificate(t, CertificateOptions{})}}
	roots := Roots(t)
	synctest.Test(t, func(t *testing.T) {
		if err := runDialogue(file, string(script), &config, roots, start); err != nil {
			t.Error(err)
		}
	})
}

// The addresses of the two legs.
var (
	dialogueMSA   = netip.MustParseAddrPort("192.0.2.10:40025")
	dialogueMX    = netip.MustParseAddrPort("198.51.100.25:25")
	dialogueProxy = netip.MustParseAddrPort("203.0.113.10:50025")
)

// A party is the script's end of a leg.
type party struct {
	raw    *Conn
	conn   net.Conn // raw, or TLS on it
	r      *bufio.Reader
	closed bool // by the script
	out    []byte
}

func newParty(c *Conn) *party { return &party{raw: c, conn: c, r: bufio.NewReader(c)} }

// A dialogue is a script on its way.
type dialogue struct {
	msa, mx *party
	config  *tls.Config
	roots   *x509.CertPool
}

func runDialogue(file, script string, config *tls.Config, roots *x509.CertPool, start func(msa, mx net.Conn)) error {
	msa, proxyMSA := Pair(dialogueMSA, dialogueMX)
	proxyMX, mx := Pair(dialogueProxy, dialogueMX)
	d := &dialogue{msa: newParty(msa), mx: newParty(mx), config: config, roots: roots}
	ended := make(chan struct{})
	go func() { defer close(ended); start(proxyMSA, proxyMX) }()

	var err error
	for i, line := range strings.Split(script, "\n") {
		if err = d.step(line); err != nil {
			err = fmt.Errorf("%s:%d: %s\n%w", file, i+1, line, err)
			break
		}
	}
	if err == nil {
		if err = d.leftOver(); err != nil {
			err = fmt.Errorf("%s: at the end: %w", file, err)
		}
	}
	d.msa.close()
	d.mx.close()
	select {
	case <-ended:
	case <-time.After(time.Hour):
		err = errors.Join(err, fmt.Errorf("%s: the session goes on an hour after both legs were closed", file))
		proxyMSA.Reset()
		proxyMX.Reset()
		<-ended
	}
	return err
}

// step runs one line.
func (d *dialogue) step(line string) error {
	keyword, arg, _ := strings.Cut(line, " ")
	// Lines of one party that follow each other go out in one write: how they are read must not depend on who is faster.
	for party, own := range map[*party]string{d.msa: "C: c:", d.mx: "< <<"} {
		if keyword == "" || !slices.Contains(strings.Fields(own), keyword) {
			if err := party.flush(); err != nil {
				return err
			}
		}
	}
	switch keyword {
	case "", "#":
		return nil
	case "C:":
		return d.msa.write(arg + "\r\n")
	case "c:":
		return d.msa.writeEscaped(arg)
	case "<":
		return d.mx.write(arg + "\r\n")
	case "<<":
		return d.mx.writeEscaped(arg)
	case "S:":
		return d.msa.wantLine(arg)
	case ">":
		return d.mx.wantLine(arg)
	case ">>":
		return d.mx.wantOctets(arg)
	case "sleep":
		length, err := time.ParseDuration(arg)
		time.Sleep(length)
		return err
	}
	if strings.HasPrefix(line, "#") {
		return nil
	}
	return d.event(line)
}

// event runs a line that names a party: tls-mx, eof-msa, …
func (d *dialogue) event(line string) error {
	what, name, _ := strings.Cut(strings.TrimSpace(line), "-")
	p, ok := map[string]*party{"msa": d.msa, "mx": d.mx}[name]
	if !ok {
		return errors.New("not a line of the dialogue language")
	}
	switch what {
	case "tls":
		if p == d.mx {
			return p.startTLS(tls.Server(p.raw, d.config))
		}
		return p.startTLS(tls.Client(p.raw, &tls.Config{RootCAs: d.roots, ServerName: "mx.example.net"}))
	case "close":
		p.close()
	case "shut":
		return p.raw.CloseWrite()
	case "reset":
		p.closed = true
		p.raw.Reset()
	case "eof":
		return p.wantEnd()
	default:
		return errors.New("not a line of the dialogue language")
	}
	return nil
}

// leftOver fails if a party has received octets that no line expected.
func (d *dialogue) leftOver() error {
	if err := errors.Join(d.msa.flush(), d.mx.flush()); err != nil {
		return err
	}
	synctest.Wait()
	return errors.Join(d.msa.leftOver("MSA"), d.mx.leftOver("MX"))
}

func (p *party) leftOver(name string) error {
	if p.closed {
		return nil
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	got, _ := io.ReadAll(p.r) // ends in a timeout or with the connection: both are right here
	if len(got) == 0 {
		return nil
	}
	return fmt.Errorf("the %s has received what no line expects: %q", name, got)
}

// write adds to what goes out with the next flush.
func (p *party) write(text string) error {
	p.out = append(p.out, text...)
	return nil
}

func (p *party) flush() error {
	if len(p.out) == 0 {
		return nil
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.conn.Write(p.out)
	p.out = nil
	return err
}

func (p *party) writeEscaped(text string) error {
	octets, err := unescape(text)
	if err != nil {
		return err
	}
	return p.write(octets)
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

// wantOctets takes a number of octets to skip, or escaped octets to compare with.
func (p *party) wantOctets(arg string) error {
	n, notNumber := strconv.Atoi(arg)
	want, err := unescape(arg)
	if err != nil {
		return err
	}
	if notNumber != nil {
		n = len(want)
	}
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, n)
	read, err := io.ReadFull(p.r, got)
	if notNumber == nil {
		if err != nil {
			return fmt.Errorf("want %d octets, got %d: %w", n, read, err)
		}
		return nil
	}
	if err != nil || string(got) != want {
		return mismatch(want, got[:read], err)
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
		return nil
	}
	return fmt.Errorf("want the end of the connection\ngot  %w", err)
}

func (p *party) close() {
	if !p.closed {
		p.closed = true
		_ = p.conn.Close()
	}
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
			return "", fmt.Errorf("bad escape at %q", text)
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
