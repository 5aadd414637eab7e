package clamd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// serve runs a clamd that does with each connection what a test says, and returns an Engine that asks it.
func serve(t *testing.T, handle func(net.Conn)) *Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	e, err := New("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// stream reads INSTREAM, up to the chunk of length 0.
func stream(conn io.Reader) (message []byte, whole bool) {
	in := bufio.NewReader(conn)
	if command, err := in.ReadString(0); err != nil || command != "zINSTREAM\x00" {
		return nil, false
	}
	for {
		var n uint32
		if binary.Read(in, binary.BigEndian, &n) != nil {
			return message, false
		}
		if n == 0 {
			return message, true
		}
		chunk := make([]byte, n)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return message, false
		}
		message = append(message, chunk...)
	}
}

func mail(message []byte) *inspect.Mail { return inspect.ProbeMail(message) }

// answer is a clamd that reads all and says something.
func answer(reply string) func(net.Conn) {
	return func(conn net.Conn) {
		stream(conn)
		_, _ = io.WriteString(conn, reply)
	}
}

// Whatever a clamd says or does not say: only what is a verdict is one.
func TestReplies(t *testing.T) {
	for _, c := range []struct {
		reply string
		state event.ScanState
		lack  event.Lack
		virus string
	}{
		{"stream: OK\x00", event.Scanned, 0, ""},
		{"stream: OK\n", event.Scanned, 0, ""},
		{"stream: OK", event.Scanned, 0, ""},
		{"stream: Eicar-Signature FOUND\x00", event.Scanned, 0, "Eicar-Signature"},
		{"stream: Win.Test(0123:68).UNOFFICIAL FOUND\x00", event.Scanned, 0, "Win.Test(0123:68).UNOFFICIAL"},
		{"stream: a\r\nb FOUND\x00", event.Scanned, 0, "a__b"},
		{"stream: " + strings.Repeat("x", 1000) + " FOUND\x00", event.Scanned, 0, strings.Repeat("x", 128)},
		{"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\x00", event.ScanFailed, event.LackTooLarge, ""},
		{"INSTREAM size limit exceeded. ERROR\x00", event.ScanFailed, event.LackTooLarge, ""},
		{"COMMAND READ TIMED OUT\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"stream: Can't allocate memory ERROR\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"UNKNOWN COMMAND\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"", event.ScanFailed, event.LackUnavailable, ""},
		{"\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"stream: \x00", event.ScanFailed, event.LackUnavailable, ""},
		{"stream:  FOUND\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"stream: OK FOUND OK\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"OK\x00", event.ScanFailed, event.LackUnavailable, ""},
		{"stream: O", event.ScanFailed, event.LackUnavailable, ""},
		{strings.Repeat("stream: OK", 1000), event.ScanFailed, event.LackUnavailable, ""},
	} {
		got := serve(t, answer(c.reply)).Scan(t.Context(), mail([]byte("x")))
		if got.State != c.state || got.Lack != c.lack || got.Virus != c.virus || (got.Action == inspect.ActionReject) != (c.virus != "") {
			t.Errorf("%.60q: %+v", c.reply, got)
		}
	}
}

// The octets arrive as they are, whatever their number, and end with the chunk of length 0.
func TestOctetsArrive(t *testing.T) {
	for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 3*chunk + 7} {
		message := bytes.Repeat([]byte("a.\r\n"), n/4+1)[:n]
		var whole atomic.Bool
		e := serve(t, func(conn net.Conn) {
			got, all := stream(conn)
			whole.Store(all && bytes.Equal(got, message))
			_, _ = io.WriteString(conn, "stream: OK\x00")
		})
		if got := e.Scan(t.Context(), mail(message)); got.State != event.Scanned || !whole.Load() {
			t.Errorf("%d octets: %+v, whole: %v", n, got, whole.Load())
		}
	}
}

// A clamd that takes no more says why and hangs up: the reason is read although writing has failed.
func TestTheReasonIsReadBehindAFailedWrite(t *testing.T) {
	e := serve(t, func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 100_000))
		_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
	})
	got := e.Scan(t.Context(), mail(make([]byte, 8<<20)))
	if got.State != event.ScanFailed || got.Lack != event.LackTooLarge {
		t.Errorf("%+v", got)
	}
}

// A message of which not all can be read is not judged by its beginning: no end is sent, and no verdict is taken.
func TestHalfAMessageIsNotJudged(t *testing.T) {
	ended := make(chan bool, 1)
	e := serve(t, func(conn net.Conn) {
		_, whole := stream(conn)
		ended <- whole
		_, _ = io.WriteString(conn, "stream: OK\x00")
	})
	m := mail(make([]byte, 100))
	m.Octets = 200
	if got := e.Scan(t.Context(), m); got.State != event.ScanFailed || got.Lack != event.LackUnavailable {
		t.Errorf("%+v", got)
	}
	if <-ended {
		t.Error("the end was sent")
	}
}

// Hangs that only the context ends: before reading, in the middle of a reply.
func TestHangs(t *testing.T) {
	for name, handle := range map[string]func(net.Conn){
		"reads nothing":   func(conn net.Conn) { time.Sleep(time.Minute) },
		"says nothing":    func(conn net.Conn) { stream(conn); time.Sleep(time.Minute) },
		"says half of it": func(conn net.Conn) { answer("stream: O")(conn); time.Sleep(time.Minute) },
		"drips": func(conn net.Conn) {
			stream(conn)
			for range 600 {
				if _, err := io.WriteString(conn, " "); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			got := serve(t, handle).Scan(ctx, mail(make([]byte, 8<<20)))
			if got.State != event.ScanFailed || time.Since(began) > 10*time.Second {
				t.Errorf("%+v after %v", got, time.Since(began))
			}
		})
	}
}

func TestPing(t *testing.T) {
	for reply, ok := range map[string]bool{"PONG\x00": true, "PONG\n": true, "": false, "UNKNOWN COMMAND\x00": false} {
		e := serve(t, func(conn net.Conn) {
			_, _ = bufio.NewReader(conn).ReadString(0)
			_, _ = io.WriteString(conn, reply)
		})
		if err := e.Ping(t.Context()); (err == nil) != ok {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// A clamd that finds all, or nothing, is not what it should be.
func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name    string
		finds   func(message []byte) bool
		failing string
	}{
		{"good", func(m []byte) bool { return bytes.Contains(m, []byte("EICAR")) }, ""},
		{"all", func([]byte) bool { return true }, "finds nothing in an ordinary message"},
		{"nothing", func([]byte) bool { return false }, "finds the EICAR test file"},
	} {
		e := serve(t, func(conn net.Conn) {
			in := bufio.NewReader(conn)
			if peeked, _ := in.Peek(5); string(peeked) == "zPING" {
				_, _ = io.WriteString(conn, "PONG\x00")
				return
			}
			reply := "stream: OK\x00"
			if message, _ := stream(in); c.finds(message) {
				reply = "stream: X FOUND\x00"
			}
			_, _ = io.WriteString(conn, reply)
		})
		for _, p := range e.Probe(t.Context()) {
			if (p.Err != nil) != (p.What == c.failing) || p.Address == "" {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
	}
	e, err := New("unix:/nonexistent/clamd", nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := e.Probe(t.Context()); len(p) != 1 || p[0].Err == nil {
		t.Errorf("%+v", p)
	}
	if got := e.Scan(t.Context(), mail([]byte("x"))); got.Lack != event.LackUnavailable {
		t.Errorf("%+v", got)
	}
}

// FuzzReply: whatever a clamd says, a verdict has the form of one.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"stream: OK", "stream: X FOUND", "INSTREAM size limit exceeded. ERROR", "stream: \x00 FOUND", "stream: \xff FOUND"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		got := parse(reply)
		if got.State == event.Scanned {
			if !strings.HasPrefix(reply, "stream: ") || (got.Virus == "") != (got.Action == inspect.ActionNone) {
				t.Errorf("%q: %+v", reply, got)
			}
		} else if got.State != event.ScanFailed || got.Lack == event.LackNot || got.Why == "" {
			t.Errorf("%q: %+v", reply, got)
		}
		if strings.ContainsFunc(got.Virus, func(r rune) bool { return r < '!' || r > '~' }) || len(got.Virus) > mostName {
			t.Errorf("%q: virus %q", reply, got.Virus)
		}
	})
}
