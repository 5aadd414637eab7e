package smtp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/internal/smtp/smtptest"
)

// A piecewise is a connection whose octets come in pieces of the sizes given, in turn. It can only be read.
type piecewise struct {
	net.Conn
	stream string
	pieces []int
	next   int
}

func (p *piecewise) Read(b []byte) (int, error) {
	if p.stream == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.pieces[p.next%len(p.pieces)])], p.stream)
	p.next++
	p.stream = p.stream[n:]
	return n, nil
}

// readCommands reads all commands of a Reader to the end of its stream, as text; park gives the buffer back before every wait.
func readCommands(r *Reader, park bool) (got []string) {
	for {
		if has, before := r.HasCommand(), len(r.Buffered()); !has && before > MaxCommand+1 {
			return append(got, "a long line and nothing to do")
		}
		cmd, ok, err := r.Command()
		switch {
		case err != nil:
			got = append(got, err.Error())
			continue
		case ok:
			got = append(got, fmt.Sprintf("%s %q %q", cmd.Verb, cmd.Line, cmd.Args))
			continue
		}
		if park {
			r.Park()
		}
		if err := r.Fill(); err != nil {
			if !errors.Is(err, io.EOF) {
				got = append(got, err.Error())
			}
			return append(got, fmt.Sprintf("left %q", bytes.TrimRight(r.Buffered(), "x")))
		}
	}
}

const commandStream = "EHLO a\r\n\r\nNOOP\nx\r\nMAIL FROM:<a>\r\r\nRSET\r\n\x00\r\nRCPT TO:<b> \r\nQUIT"

func TestReaderReadsCommands(t *testing.T) {
	want := []string{
		`EHLO "EHLO a" "a"`, ` "" ""`, ErrBadOctet.Error(), ErrBadOctet.Error(), `RSET "RSET" ""`, ErrBadOctet.Error(),
		`RCPT "RCPT TO:<b> " "TO:<b>"`, `left "QUIT"`,
	}
	got := readCommands(NewReader(&piecewise{stream: commandStream, pieces: []int{1 << 20}}), false)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// law: B1
func TestReaderSkipsOverlongCommands(t *testing.T) {
	for _, c := range []struct {
		size int
		want string
	}{
		{MaxCommand - 1, "ok"},
		{MaxCommand, "ok"},
		{MaxCommand + 1, "long"},
		{MaxCommand + 2, "long"},
		{lineBuffer - 2, "long"},
		{lineBuffer - 1, "long"},
		{lineBuffer, "long"},
		{lineBuffer + 1, "long"},
		{1 << 20, "long"},
	} {
		line := "NOOP " + strings.Repeat("x", c.size-5)
		for _, pieces := range [][]int{{1 << 20}, {MaxCommand}, {MaxCommand + 1}, {MaxCommand + 2}, {1000, 1}, {c.size + 1, 1}} {
			for _, park := range []bool{false, true} {
				got := readCommands(NewReader(&piecewise{stream: line + "\r\nRSET\r\n", pieces: pieces}), park)
				if len(got) != 3 || got[1] != `RSET "RSET" ""` || (got[0] == ErrLineTooLong.Error()) != (c.want == "long") {
					t.Fatalf("%d octets in pieces of %v: %.200q", c.size, pieces, got)
				}
			}
		}
	}
}

// A megabyte without a line end never takes more memory than one buffer.
//
// law: B1
func TestReaderHoldsOneBuffer(t *testing.T) {
	r := NewReader(&piecewise{stream: strings.Repeat("x\n\ry", 1<<18), pieces: []int{5000}})
	for {
		if _, ok, err := r.Command(); ok || err != nil {
			t.Fatalf("a command: %v", err)
		}
		if len(r.buf) > lineBuffer {
			t.Fatalf("%d octets of buffer", len(r.buf))
		}
		if err := r.Fill(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return
		}
	}
}

// law: I7 B1
func TestCommandsAreSplitInvariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{
			"\r\n", "\r\n", "\r\n", "\r", "\n", "NOOP", "MAIL FROM:<a@b>", " ", "\x00", "\xe9", ".", strings.Repeat("x", 4090), strings.Repeat("y", 9000),
		}), 0, 20).Draw(t, "words")
		pieces := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 7, 100, 4096, 4097, 4098, 8192}), 1, 6).Draw(t, "pieces")
		stream := strings.Join(words, "")
		whole := readCommands(NewReader(&piecewise{stream: stream, pieces: []int{1 << 20}}), false)
		for _, park := range []bool{false, true} {
			cut := readCommands(NewReader(&piecewise{stream: stream, pieces: pieces}), park)
			// What is left of a line that never ends is not compared: some of it may have been skipped.
			if fmt.Sprint(cut[:len(cut)-1]) != fmt.Sprint(whole[:len(whole)-1]) {
				t.Fatalf("park %t\nwhole %.300q\ncut   %.300q", park, whole, cut)
			}
		}
	})
}

// law: I7 B14
func TestRepliesAreSplitInvariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{
			"250 ok\r\n", "250-more\r\n", "250\r\n", "550 \xe9\x1b\r\n", "250 a\n", "\r\n", "25", "354 ", strings.Repeat("x", 1990), strings.Repeat("y", 9000), "\r", "\n",
		}), 0, 20).Draw(t, "words")
		pieces := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 7, 100, 1999, 2000, 2001, 8192}), 1, 6).Draw(t, "pieces")
		stream := strings.Join(words, "")
		whole, err := readReplies(stream, 1<<20)
		cut, cutErr := readReplies(stream, pieces...)
		if fmt.Sprint(whole) != fmt.Sprint(cut) || !errors.Is(cutErr, err) {
			t.Fatalf("whole %.300q %v\ncut   %.300q %v", whole, err, cut, cutErr)
		}
	})
}

// legs gives a connection of each kind that a Reader knows, and its other end.
func legs(t *testing.T) map[string][2]net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort("192.0.2.1:25")
	memNear, memFar := smtptest.Pair(at, at)
	tlsNear, tlsFar := smtptest.Pair(at, at)
	server := tls.Server(tlsFar, &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(t, smtptest.CertificateOptions{})}})
	client := tls.Client(tlsNear, &tls.Config{RootCAs: smtptest.Roots(t), ServerName: "mx.example.net"})
	hand := make(chan error, 1)
	go func() { hand <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-hand); err != nil {
		t.Fatal(err)
	}
	all := map[string][2]net.Conn{"TCP": {near, far}, "in memory": {memNear, memFar}, "TLS": {client, server}}
	t.Cleanup(func() {
		for _, ends := range all {
			_, _ = ends[0].Close(), ends[1].Close()
		}
	})
	return all
}

// A Reader that waits holds no buffer, and what was unfinished is not lost.
//
// law: I7
func TestReaderHoldsNoBufferWhileWaiting(t *testing.T) {
	for name, ends := range legs(t) {
		t.Run(name, func(t *testing.T) {
			r := NewReader(ends[0])
			write := func(text string) {
				if _, err := io.WriteString(ends[1], text); err != nil {
					t.Fatal(err)
				}
			}
			write("EHLO a\r\nMAIL FR")
			fill(t, r)
			if cmd, ok, err := r.Command(); !ok || err != nil || string(cmd.Line) != "EHLO a" {
				t.Fatalf("%q, %t, %v", cmd.Line, ok, err)
			}
			r.Park()
			if r.buf != nil || string(r.Buffered()) != "MAIL FR" {
				t.Fatalf("parked with %d octets of buffer and %q", len(r.buf), r.Buffered())
			}
			waitInVain(t, ends[0], r)
			if name != "TLS" && r.buf != nil { // crypto/tls cannot be asked to wait without a buffer
				t.Errorf("%d octets of buffer held while waiting", len(r.buf))
			}
			write("OM:<a@b>\r\n")
			fill(t, r)
			if cmd, ok, err := r.Command(); !ok || err != nil || string(cmd.Line) != "MAIL FROM:<a@b>" {
				t.Fatalf("%q, %t, %v", cmd.Line, ok, err)
			}
			if !r.Empty() || r.Total() != int64(len("EHLO a\r\nMAIL FROM:<a@b>\r\n")) {
				t.Errorf("empty %t, %d octets in all", r.Empty(), r.Total())
			}
			waitInVain(t, ends[0], r)
			if err := ends[1].Close(); err != nil {
				t.Fatal(err)
			}
			if err := r.Fill(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
			r.Close()
			if r.buf != nil || r.stash != nil {
				t.Error("closed and still holding something")
			}
		})
	}
}

func fill(t *testing.T, r *Reader) {
	t.Helper()
	if err := r.Fill(); err != nil {
		t.Fatal(err)
	}
}

// waitInVain lets a Fill run into its deadline.
func waitInVain(t *testing.T, c net.Conn, r *Reader) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	if err := r.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("waiting in vain: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
}

// Bodies come through every kind of connection whole, whatever the sizes of reads and what is given back in between.
//
// law: I7
func TestReaderBodyMode(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789 body\r\n"), 20_000)
	for name, ends := range legs(t) {
		t.Run(name, func(t *testing.T) {
			sent := make(chan error, 1)
			go func() {
				_, err := ends[1].Write(append(bytes.Clone(body), ".\r\nQUIT\r\n"...))
				sent <- err
			}()
			r := NewReader(ends[0])
			r.BodyMode(true)
			var got []byte
			var scan Body
			for v := BodyGoesOn; v != BodyEnds; {
				fill(t, r)
				var safe int
				safe, v = scan.Scan(r.Buffered())
				got = append(got, r.Buffered()[:safe]...)
				if r.Discard(safe); len(got)%3 == 0 {
					r.Park()
				}
			}
			if !bytes.Equal(got, body) {
				t.Errorf("%d octets of %d, or others", len(got), len(body))
			}
			r.Discard(len(EndOfData))
			r.BodyMode(false)
			for !r.HasCommand() {
				fill(t, r)
			}
			if cmd, ok, err := r.Command(); !ok || err != nil || cmd.Verb != VerbQUIT {
				t.Errorf("behind the body: %q, %t, %v", cmd.Line, ok, err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		})
	}
}

// More bodies at once than there are large buffers: the rest goes through small ones, and all come back.
func TestReaderBodyBuffersAreBounded(t *testing.T) {
	before := bodyBuffersOut.Load()
	var readers []*Reader
	large := 0
	for range maxBodyBuffers + 10 {
		r := NewReader(&piecewise{stream: strings.Repeat("x", 100_000), pieces: []int{1 << 20}})
		r.BodyMode(true)
		fill(t, r)
		if len(r.buf) == bodyBuffer {
			large++
		} else if len(r.buf) != dripBuffer {
			t.Fatalf("a buffer of %d octets", len(r.buf))
		}
		readers = append(readers, r)
	}
	if large != maxBodyBuffers-int(before) {
		t.Errorf("%d large buffers", large)
	}
	for _, r := range readers {
		r.Close()
	}
	if after := bodyBuffersOut.Load(); after != before {
		t.Errorf("%d large buffers were not given back", after-before)
	}
}

func TestReaderRefusesToFillAFullBuffer(t *testing.T) {
	r := NewReader(&piecewise{stream: strings.Repeat("x", 100_000), pieces: []int{1 << 20}})
	for range 10 {
		if err := r.Fill(); err != nil {
			if !errors.Is(err, ErrBufferFull) || len(r.Buffered()) != lineBuffer {
				t.Fatalf("%v with %d octets", err, len(r.Buffered()))
			}
			return
		}
	}
	t.Error("the buffer never gets full")
}
