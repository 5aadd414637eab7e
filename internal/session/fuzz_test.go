package session_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// talk makes seeds of a conversation: turns of the MSA begin with ">", those of the MX with "<".
func talk(turns ...string) (msa, mx, order []byte) {
	for _, turn := range turns {
		step := byte(0)
		if turn[0] == '<' {
			step = fromMX
			mx = append(mx, turn[1:]...)
		} else {
			msa = append(msa, turn[1:]...)
		}
		left := len(turn) - 1
		for ; left > smallPiece; left -= smallPiece {
			order = append(order, step|smallPiece)
		}
		order = append(order, step|byte(left))
	}
	return msa, mx, order
}

// A step of the order is a side and a size in octets; sizes over smallPiece stand for larger ones, and 0 for a wait.
const (
	fromMX     = 0x80
	sizeBits   = 0x3f
	smallPiece = 47
)

func pieceSize(step byte) int {
	n := int(step & sizeBits)
	if n > smallPiece {
		n = (n - smallPiece) * (n - smallPiece) * smallPiece
	}
	return n
}

// Any octets from an MSA, any octets from an MX, in any order: each octet of order sends a piece of one of the two streams,
// or lets time pass. Nothing may panic or hang, and what both peers get must be what an honest relay can send.
//
// law: I1 I4 I6 I7 B1 B12 B13 B14
func FuzzSession(f *testing.F) {
	const (
		banner, hello, helloOK = "<220 mx\r\n", ">EHLO a\r\n", "<250-mx\r\n250 PIPELINING\r\n"
		envelope, envelopeOK   = ">MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "<250 ok\r\n250 ok\r\n354 go\r\n"
		message, queued        = ">Subject: x\r\n\r\n..text\r\n.\r\n", "<250 queued\r\n"
		quit, bye              = ">QUIT\r\n", "<221 bye\r\n"
	)
	for _, turns := range [][]string{
		{banner, hello, helloOK, envelope, envelopeOK, message, queued, envelope, envelopeOK, message, "<451 no\r\n", quit, bye},
		{banner, hello, "<500 no\r\n", ">HELO a\r\n", "<500 no\r\n", "<250 mx\r\n", envelope, "<250 ok\r\n", "<550 no\r\n", "<503 no\r\n", quit, bye},
		{banner, hello, helloOK, envelope, envelopeOK + "250 early\r\n", message, quit},
		{banner, hello, helloOK, envelope, envelopeOK, ">text\r\n", "<250 early\r\n", message, quit},
		{banner, hello, helloOK, envelope, envelopeOK, ">text\n.\r\nMAIL FROM:<x@y>\r\n", message},
		{"<220-mx\r\n", "<521 5.7.1 blocked\r\n", hello, quit},
		{banner, hello, helloOK, envelope, envelopeOK, message, "<250-queued\r\n", "<554 no\r\n", envelope, quit},
		{banner, hello, helloOK, envelope, "<550-no\r\n250 ok\r\n250-ok\r\n354 go\r\n", message, "<550-no\r\n250 queued\r\n", quit},
		{banner, hello, helloOK, ">BDAT 10 LAST\r\n0123456789"},
		{banner, hello, helloOK, ">STARTTLS\r\nNOOP\r\n\x16\x03\x01"},
		{banner, hello, "<250-mx\r\n250 STARTTLS\r\n", "<220 go\r\n250 injected\r\n", message},
		{banner, hello, helloOK, envelope + "text\r\n.\r\nQUIT\r\n", "<250 ok\r\n550 no\r\n", "<354 go\r\n", "<250 ok\r\n"},
		{"<421-bye\r\n421 bye\r\n", hello},
		{">\x16\x03\x01\x02\x00\x01", banner},
	} {
		msa, mx, order := talk(turns...)
		f.Add(msa, mx, order)
	}
	f.Fuzz(func(t *testing.T, msa, mx, order []byte) {
		if len(msa)+len(mx) > 1<<16 || len(order) > 256 {
			return // longer than what teaches anything
		}
		synctest.Test(t, func(t *testing.T) { fuzzSession(t, msa, mx, order) })
	})
}

// fuzzPeers is what both peers sent and got, with what the MX had got when it sent each piece.
type fuzzPeers struct {
	msa, mx     *smtptest.Conn
	toMSA, toMX []byte
	pieces      []fuzzPiece
}

type fuzzPiece struct {
	octets []byte // sent by the MX
	seen   int    // octets the MX had got before
}

func fuzzSession(t *testing.T, msa, mx, order []byte) {
	r := newRig()
	p := new(fuzzPeers)
	r.engine.Dialer = dialOnceTo(func(proxy, far *smtptest.Conn) { p.mx = far })
	conn, _, ended := r.connect()
	p.msa = conn
	synctest.Wait()
	sent := 0
	for _, step := range order {
		n := pieceSize(step)
		switch {
		case n == 0:
			time.Sleep(time.Duration(1+step>>6) * time.Minute)
		case step&fromMX != 0:
			piece := mx[:min(len(mx), n)]
			mx = mx[len(piece):]
			p.pieces = append(p.pieces, fuzzPiece{piece, len(p.toMX)})
			_ = p.mx.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = p.mx.Write(piece)
		default:
			piece := msa[sent:min(len(msa), sent+n)]
			sent += len(piece)
			_ = p.msa.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = p.msa.Write(piece)
		}
		synctest.Wait()
		p.drain()
	}
	_ = p.msa.CloseWrite()
	_ = p.mx.CloseWrite()
	for range 3 { // no timer of a session that nobody talks to is longer
		time.Sleep(20 * time.Minute)
		p.drain()
	}
	select {
	case <-ended:
	default:
		t.Error("the session outlives its timers")
		p.msa.Reset()
		p.mx.Reset()
	}
	if panics := r.log.panics(); len(panics) > 0 {
		t.Error(panics)
	}
	p.judge(t, msa[:sent])
}

// drain reads what there is, and waits for nothing.
func (p *fuzzPeers) drain() {
	p.toMSA = append(p.toMSA, pendingOctets(p.msa)...)
	p.toMX = append(p.toMX, pendingOctets(p.mx)...)
}

func pendingOctets(c *smtptest.Conn) []byte {
	b := make([]byte, c.Pending())
	if len(b) == 0 {
		return nil
	}
	n, _ := c.Read(b)
	return b[:n]
}

// allowed are the commands that may reach an MX.
var allowed = regexp.MustCompile(`(?i)^(EHLO|HELO|MAIL|RCPT|DATA|RSET|NOOP|QUIT|STARTTLS)([ \t]|$)`)

// judge checks what both peers got against what both have sent.
func (p *fuzzPeers) judge(t *testing.T, msa []byte) {
	if !wellFormed.Match(p.toMSA) {
		t.Errorf("the MSA got what is no sanitised reply: %q", p.toMSA)
	}
	dots := p.dots(t)
	acknowledged := acknowledgements(msa, p.toMSA)
	lawful := 0
	for _, dot := range dots {
		if p.acceptedBehind(dot) {
			lawful++
		}
	}
	if acknowledged > lawful {
		t.Errorf("%d messages acknowledged, %d accepted by the MX\nMSA: %q\ngot: %q\nMX got: %q", acknowledged, lawful, msa, p.toMSA, p.toMX)
	}
	if sent := bytes.Count(msa, []byte("\r\n.\r\n")); len(dots) > sent {
		t.Errorf("the MX got %d ends of data, the MSA sent %d", len(dots), sent)
	}
}

// dots walks through what the MX got, as the MX would, and gives the offsets behind each end of data.
func (p *fuzzPeers) dots(t *testing.T) (dots []int) {
	replies := replyCodes(p.mxSent())
	reply := func() (code string) {
		if len(replies) > 0 {
			code, replies = replies[0], replies[1:]
		}
		return code
	}
	reply() // the banner
	for at := 0; at < len(p.toMX); {
		n := bytes.Index(p.toMX[at:], []byte("\r\n"))
		if n < 0 {
			return dots
		}
		line := string(p.toMX[at : at+n])
		at += n + 2
		if !allowed.MatchString(line) || strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("the MX got %q", line)
			return dots
		}
		code := reply()
		if strings.EqualFold(line, "STARTTLS") && code == "220" {
			return dots // what follows is encrypted
		}
		if strings.EqualFold(strings.TrimSpace(line), "DATA") && code == "354" {
			end := bytes.Index(append([]byte("\r\n"), p.toMX[at:]...), []byte("\r\n.\r\n"))
			if end < 0 {
				return dots
			}
			at += end + 3
			dots = append(dots, at)
			reply()
		}
	}
	return dots
}

func (p *fuzzPeers) mxSent() (octets []byte) {
	for _, piece := range p.pieces {
		octets = append(octets, piece.octets...)
	}
	return octets
}

// acceptedBehind says whether the MX began a 2xx when it had got the dot that ends at an offset.
func (p *fuzzPeers) acceptedBehind(dot int) bool {
	var behind []byte
	for _, piece := range p.pieces {
		if piece.seen >= dot {
			behind = append(behind, piece.octets...)
		}
	}
	return regexp.MustCompile(`(^|\n)2`).Match(behind)
}

// replyCodes are the codes of a stream of replies, as far as it is one; bare line feeds end lines, too.
func replyCodes(stream []byte) (codes []string) {
	for line := range bytes.Lines(stream) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return codes
		}
		if len(line) == 3 || line[3] == ' ' {
			codes = append(codes, string(line[:3]))
		}
	}
	return codes
}

// acknowledgements walks through what the MSA said and heard, as the MSA would, and counts the 2xx to its ends of data.
func acknowledgements(said, heard []byte) (count int) {
	codes := replyCodes(heard)
	for i := 1; i < len(codes); i++ { // 0 is the banner
		n := bytes.Index(said, []byte("\r\n"))
		if n < 0 {
			return count
		}
		line := said[:n]
		said = said[n+2:]
		if !bytes.EqualFold(bytes.TrimSpace(line), []byte("DATA")) || codes[i] != "354" {
			continue
		}
		end := bytes.Index(append([]byte("\r\n"), said...), []byte("\r\n.\r\n"))
		if end < 0 || i+1 >= len(codes) {
			return count
		}
		said = said[end+3:]
		if i++; codes[i][0] == '2' {
			count++
		}
	}
	return count
}
