package milter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// A filter is the other side of a connection, frame by frame.
type filter struct {
	net.Conn
	in    *bufio.Reader
	mu    sync.Mutex
	heard []string // commands, each with its data, macros left out
}

func (f *filter) next() (command byte, data []byte, err error) {
	var n uint32
	if err = binary.Read(f.in, binary.BigEndian, &n); err != nil {
		return 0, nil, err
	}
	frame := make([]byte, n)
	if _, err = io.ReadFull(f.in, frame); err != nil {
		return 0, nil, err
	}
	if frame[0] != 'D' {
		f.mu.Lock()
		f.heard = append(f.heard, strings.ReplaceAll(string(frame), "\x00", "|"))
		f.mu.Unlock()
	}
	return frame[0], frame[1:], nil
}

func frame(command byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(command) + data
}

// optneg is the answer of a filter that takes all actions for itself, as Rspamd does, and wants these protocol bits.
func optneg(protocol uint32) string {
	data := binary.BigEndian.AppendUint32(nil, 6)
	data = binary.BigEndian.AppendUint32(data, 0x1ff)
	return frame('O', string(binary.BigEndian.AppendUint32(data, protocol)))
}

// A script is what a filter answers to each command; to others it says that it goes on. "" is no answer.
type script map[byte]string

// serve runs a filter by a script, and returns an Engine that asks it and what it has heard.
func serve(t *testing.T, s script) (*Engine, *filter) {
	t.Helper()
	heard := &filter{}
	e := listen(t, func(f *filter) {
		for {
			command, _, err := f.next()
			if err != nil || command == 'Q' {
				heard.mu.Lock()
				heard.heard = f.heard
				heard.mu.Unlock()
				return
			}
			answer, scripted := s[command]
			switch {
			case scripted:
			case command == 'O':
				answer = optneg(0)
			case command == 'D':
			default:
				answer = frame('c', "")
			}
			if _, err := io.WriteString(f, answer); err != nil {
				return
			}
		}
	})
	return e, heard
}

func listen(t *testing.T, handle func(*filter)) *Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(&filter{Conn: conn, in: bufio.NewReader(conn)})
			})
		}
	})
	e, err := New("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// said gives what a filter has heard, once its connection has ended.
func (f *filter) said(t *testing.T) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.mu.Lock()
		heard := f.heard
		f.mu.Unlock()
		if heard != nil {
			return heard
		}
	}
	t.Fatal("the filter has not ended")
	return nil
}

const text = "Subject: a\r\n b\r\nTo:  c\r\nX:\r\n\r\nbody\r\n.\r\n"

func mail(text string) *inspect.Mail { return inspect.ProbeMail([]byte(text)) }

// What a filter says, at the end or before, is what the scan says; what it would change is counted and not made.
func TestActions(t *testing.T) {
	changes := frame('h', "X-A\x00b\x00") + frame('+', "<x@y.example>\x00") + frame('-', "<x@y.example>\x00") + frame('b', "other") +
		frame('e', "<z@y.example>\x00") + frame('m', "\x00\x00\x00\x01Subject\x00new\x00") + frame('i', "\x00\x00\x00\x01A\x00b\x00") + frame('2', "<x@y.example>\x00\x00")
	for _, c := range []struct {
		name string
		s    script
		want event.Scan
	}{
		{"continue", script{'E': frame('c', "")}, event.Scan{State: event.Scanned, Action: "no action"}},
		{"accept", script{'E': frame('a', "")}, event.Scan{State: event.Scanned, Action: "no action"}},
		{"accept at connect", script{'C': frame('a', "")}, event.Scan{State: event.Scanned, Action: "no action"}},
		{"reject", script{'E': frame('r', "")}, event.Scan{State: event.Scanned, Action: "reject"}},
		{"reject at MAIL", script{'M': frame('r', "")}, event.Scan{State: event.Scanned, Action: "reject"}},
		{"reject at RCPT", script{'R': frame('r', "")}, event.Scan{State: event.Scanned, Action: "reject"}},
		{"tempfail", script{'E': frame('t', "")}, event.Scan{State: event.Scanned, Action: "soft reject"}},
		{"replycode", script{'E': frame('y', "552 5.3.4 too big\x00")}, event.Scan{State: event.Scanned, Action: "reject", Code: 552}},
		{"replycode 4xx", script{'B': frame('y', "451 4.7.1 later\x00")}, event.Scan{State: event.Scanned, Action: "soft reject", Code: 451}},
		{"discard", script{'E': frame('d', "")}, event.Scan{State: event.Scanned, Action: "discard"}},
		{"quarantine", script{'E': frame('q', "why\x00") + frame('c', "")}, event.Scan{State: event.Scanned, Action: "quarantine"}},
		{"quarantine, reject", script{'E': frame('q', "why\x00") + frame('r', "")}, event.Scan{State: event.Scanned, Action: "reject"}},
		{"changes", script{'E': changes + frame('c', "")}, event.Scan{State: event.Scanned, Action: "no action", Changes: 8}},
		{"progress", script{'E': strings.Repeat(frame('p', ""), 1000) + frame('r', "")}, event.Scan{State: event.Scanned, Action: "reject"}},
	} {
		e, heard := serve(t, c.s)
		got := e.Scan(t.Context(), mail(text))
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
		heard.said(t)
	}
}

// The conversation is that of Sendmail and Postfix, in their order and form.
func TestConversation(t *testing.T) {
	for _, c := range []struct {
		name, text string
		protocol   uint32
		want       []string
	}{
		{"all", text, 0, []string{
			"C[192.0.2.25]|4\x00\x00192.0.2.25|", "Hkanmon.invalid|", "M<probe@kanmon.invalid>|", "R<one@kanmon.invalid>|",
			"R<two@kanmon.invalid>|", "T", "LSubject|a\n b|", "LTo| c|", "LX||", "N", "Bbody\r\n.\r\n", "E",
		}},
		{"leading blanks", "To:  c\r\n\r\nx", 0x100000, []string{"LTo|  c|", "N", "Bx", "E"}},
		{"no body", "A: b\r\n\r\n", 0, []string{"LA|b|", "N", "E"}},
		{"no empty line", "A: b\r\n", 0, []string{"LA|b|", "N", "E"}},
		{"no end", "A: b", 0, []string{"LA|b|", "N", "E"}},
		{"no header", "hello\r\nA: b\r\n", 0, []string{"N", "Bhello\r\nA: b\r\n", "E"}},
		{"an empty line alone", "\r\n", 0, []string{"N", "E"}},
		{"nothing", "", 0, []string{"N", "E"}},
		{"a line that is none", "A: b\r\nnone\r\nC: d\r\n\r\nx", 0, []string{"LA|b|", "N", "Bnone\r\nC: d\r\n\r\nx", "E"}},
		{"folded at once", " x\r\nA: b\r\n", 0, []string{"N", "B x\r\nA: b\r\n", "E"}},
		{"NUL", "A: b\x00c\r\nB\x00: d\r\n\r\nx\x00y", 0, []string{"LA|b c|", "N", "BB|: d\r\n\r\nx|y", "E"}},
		{"blanks before the colon", "A : b\r\n\r\n", 0, []string{"LA|b|", "N", "E"}},
		{"no body, no answers to one", "A: b\r\n\r\n", 0x80000, []string{"LA|b|", "N", "E"}},
		{"no body, none wanted", "A: b\r\n\r\n", 0x10, []string{"LA|b|", "N", "E"}},
		{"no headers wanted", text, 0x20, []string{"N", "Bbody\r\n.\r\n", "E"}},
		{"no body wanted", text, 0x10, []string{"LSubject|a\n b|", "LTo| c|", "LX||", "N", "E"}},
	} {
		e, heard := serve(t, script{'O': optneg(c.protocol)})
		if got := e.Scan(t.Context(), mail(c.text)); got.State != event.Scanned {
			t.Errorf("%s: %+v", c.name, got)
		}
		got := heard.said(t)
		got = got[len(got)-1-len(c.want) : len(got)-1]
		for i, want := range c.want {
			if want = strings.ReplaceAll(want, "\x00", "|"); got[i] != want {
				t.Errorf("%s: %q, want %q", c.name, got[i], want)
			}
		}
	}
}

// All octets of a large body arrive, in frames that every filter takes.
func TestLargeBody(t *testing.T) {
	e, heard := serve(t, script{})
	body := strings.Repeat("0123456789abcde\n", 20_000)
	if got := e.Scan(t.Context(), mail("A: b\r\n\r\n"+body)); got.State != event.Scanned {
		t.Errorf("%+v", got)
	}
	var all strings.Builder
	for _, h := range heard.said(t) {
		if len(h) > 65536 {
			t.Errorf("a frame of %d octets", len(h))
		}
		if h[0] == 'B' {
			all.WriteString(h[1:])
		}
	}
	if all.String() != body {
		t.Errorf("%d octets of %d", all.Len(), len(body))
	}
}

// A filter that wants no more of the body is not sent more, and is asked at the end all the same.
func TestSkip(t *testing.T) {
	e, heard := serve(t, script{'O': optneg(0x400), 'B': frame('s', ""), 'E': frame('r', "")})
	if got := e.Scan(t.Context(), mail("A: b\r\n\r\n"+strings.Repeat("x", 1<<20))); got.Action != inspect.ActionReject {
		t.Errorf("%+v", got)
	}
	bodies := 0
	for _, h := range heard.said(t) {
		if h[0] == 'B' {
			bodies++
		}
	}
	if bodies != 1 {
		t.Errorf("%d parts of the body", bodies)
	}
}

// endless gives the same frames for ever.
func endless(frames string) func(*filter) {
	return func(f *filter) {
		at := func(command byte) bool {
			for {
				c, _, err := f.next()
				if err != nil {
					return false
				}
				if c == command {
					return true
				}
				switch c {
				case 'O':
					_, _ = io.WriteString(f, optneg(0))
				case 'D':
				default:
					_, _ = io.WriteString(f, frame('c', ""))
				}
			}
		}
		if !at('E') {
			return
		}
		many := strings.Repeat(frames, max(1, 64<<10/len(frames)))
		for {
			if _, err := io.WriteString(f, many); err != nil {
				return
			}
		}
	}
}

// What no filter may do ends with that scan: without a panic, without memory, and soon.
func TestHostileFilters(t *testing.T) {
	raw := func(octets string) string { return octets }
	for _, c := range []struct {
		name string
		e    func(*testing.T) *Engine
	}{
		{"a frame of length 0", scripted(script{'E': raw("\x00\x00\x00\x00")})},
		{"a first frame of length 0", scripted(script{'O': raw("\x00\x00\x00\x00")})},
		{"a frame of 512 MiB", scripted(script{'E': raw("\x1f\xff\xff\xffc")})},
		{"a change of 512 MiB", scripted(script{'E': raw("\x1f\xff\xff\xffb")})},
		{"a frame of 4 GiB", scripted(script{'C': raw("\xff\xff\xff\xffc")})},
		{"an answer of 1 MiB", scripted(script{'E': frame('y', strings.Repeat("5", 1<<20-1))})},
		{"half a frame", halved("\x00\x00\x00\x08c")},
		{"half a length", halved("\x00\x00")},
		{"half a change", halved("\x00\x00\x00\x08b")},
		{"nothing, and the end", halved("")},
		{"an unknown answer", scripted(script{'E': frame('Z', "")})},
		{"a code that is none", scripted(script{'E': frame('y', "250 2.0.0 ok\x00")})},
		{"a code without an end", scripted(script{'E': frame('y', "550 5.7.1 x")})},
		{"a code without a text", scripted(script{'E': frame('y', "5\x00")})},
		{"a change without data", scripted(script{'E': frame('h', "") + frame('Z', "")})},
		{"SKIP out of place", scripted(script{'E': frame('s', "")})},
		{"a short OPTNEG", scripted(script{'O': frame('O', "\x00\x00")})},
		{"an OPTNEG of version 9", scripted(script{'O': frame('O', "\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00")})},
		{"an OPTNEG with half a macro list", scripted(script{'O': frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00")})},
		{"no milter", scripted(script{'O': "220 mx.example ESMTP\r\n"})},
		{"REPLBODY for ever", hostile(endless(frame('b', strings.Repeat("x", 60_000))))},
		{"REPLBODY of nothing for ever", hostile(endless(frame('b', "")))},
		{"ADDHEADER for ever", hostile(endless(frame('h', "X\x00y\x00")))},
		{"PROGRESS without a pause", hostile(endless(frame('p', "")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			got := c.e(t).Scan(ctx, mail(text))
			runtime.ReadMemStats(&after)
			if got.State != event.ScanFailed || got.Lack != event.LackUnavailable || ctx.Err() != nil {
				t.Errorf("%+v after %v", got, time.Since(began))
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("%d octets were allocated", took)
			}
		})
	}
}

func scripted(s script) func(*testing.T) *Engine {
	return func(t *testing.T) *Engine { e, _ := serve(t, s); return e }
}

func hostile(handle func(*filter)) func(*testing.T) *Engine {
	return func(t *testing.T) *Engine { return listen(t, handle) }
}

// halved is a filter that says something in place of its first answer, and hangs up.
func halved(octets string) func(*testing.T) *Engine {
	return hostile(func(f *filter) {
		_, _, _ = f.next()
		_, _ = io.WriteString(f, octets)
	})
}

// A filter that says each moment that it is busy waits for nobody's good will: the context ends it, as it ends one that says nothing at all.
func TestWaitsEndWithTheContext(t *testing.T) {
	for name, handle := range map[string]func(*filter){
		"PROGRESS for ever": func(f *filter) {
			for {
				_, _, _ = f.next()
				for {
					if _, err := io.WriteString(f, frame('p', "")); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		},
		"says nothing":  func(f *filter) { _, _ = io.Copy(io.Discard, f.in) },
		"reads nothing": func(*filter) { time.Sleep(2 * time.Second) },
		"stops at the body": func(f *filter) {
			for {
				switch c, _, err := f.next(); {
				case err != nil:
					return
				case c == 'O':
					_, _ = io.WriteString(f, optneg(0))
				case c == 'B':
					time.Sleep(2 * time.Second)
					return
				case c != 'D':
					_, _ = io.WriteString(f, frame('c', ""))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			got := listen(t, handle).Scan(ctx, mail("A: b\r\n\r\n"+strings.Repeat("x", 4<<20)))
			if got.State != event.ScanFailed || time.Since(began) > 5*time.Second {
				t.Errorf("%+v after %v", got, time.Since(began))
			}
		})
	}
}

// What a sender has made so that no filter can be told of it is not the filter's failure.
func TestWhatCannotBeTold(t *testing.T) {
	e, _ := serve(t, script{})
	for name, spoil := range map[string]func(*inspect.Mail){
		"sender":    func(m *inspect.Mail) { m.Sender = "a\x00b@c.example" },
		"recipient": func(m *inspect.Mail) { m.Recipients = []string{"a\nb@c.example"} },
		"account":   func(m *inspect.Mail) { m.Account = "a\rb" },
		"helo":      func(m *inspect.Mail) { m.Helo = "a\x00" },
		"a field": func(m *inspect.Mail) {
			long := []byte("A: b\r\nTo: " + strings.Repeat("x", 70_000) + "\r\n\r\n")
			m.Octets, m.Open = int64(len(long)), func() io.Reader { return bytes.NewReader(long) }
		},
		"a folded field": func(m *inspect.Mail) {
			long := []byte("A: b\r\nTo: x\r\n" + strings.Repeat(" x\r\n", 20_000) + "\r\n")
			m.Octets, m.Open = int64(len(long)), func() io.Reader { return bytes.NewReader(long) }
		},
	} {
		m := mail(text)
		spoil(m)
		if got := e.Scan(t.Context(), m); got.State != event.ScanFailed || got.Lack != event.LackUnfit {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Raw UTF-8 is told as it is.
	e, heard := serve(t, script{})
	m := mail(text)
	m.UTF8, m.Sender = true, "é@bücher.example"
	if got := e.Scan(t.Context(), m); got.State != event.Scanned || heard.said(t)[3] != "M<é@bücher.example>|SMTPUTF8|" {
		t.Errorf("%+v, %q", got, heard.said(t))
	}
}

func TestPingAndProbe(t *testing.T) {
	good, _ := serve(t, script{})
	if err := good.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		s  script
		ok bool
	}{{script{}, true}, {script{'E': frame('r', "")}, false}, {script{'E': ""}, false}, {script{'O': frame('O', "")}, false}} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		e, _ := serve(t, c.s)
		ok := true
		for _, p := range e.Probe(ctx) {
			ok = ok && p.Err == nil
		}
		cancel()
		if ok != c.ok {
			t.Errorf("%q: %v", c.s, ok)
		}
	}
}

// FuzzFilter: whatever octets a filter sends, the scan ends without a panic, with a verdict or a reason, and without much memory.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		optneg(0) + strings.Repeat(frame('c', ""), 20), optneg(0) + frame('r', ""), optneg(0x400) + frame('y', "550 5.7.1 x\x00"),
		"\x00\x00\x00\x00", optneg(0) + "\x00\x00\x00\x01", optneg(1<<20) + frame('p', "") + frame('b', "x") + frame('q', "y\x00") + frame('a', ""),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		here, there := net.Pipe()
		go func() { // it says all that it has to say, and hears nothing
			go func() { _, _ = io.Copy(io.Discard, there) }()
			_, _ = there.Write(sent)
			_ = there.Close()
		}()
		e := &Engine{dial: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
		got := e.Scan(t.Context(), mail(text))
		if got.State == event.Scanned && (got.Action == "" || got.Code != 0 && (got.Code < 400 || got.Code > 599)) ||
			got.State == event.ScanFailed && (got.Lack != event.LackUnavailable || got.Why == "") || got.State == event.ScanNot {
			t.Errorf("%q: %+v", sent, got)
		}
	})
}
