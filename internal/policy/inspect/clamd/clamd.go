// Package clamd asks ClamAV's daemon, by the command INSTREAM: the message goes in chunks, a chunk of length 0 ends it, and one line comes back
// (clamd(8)). Nothing is scanned before that chunk. What is larger than the daemon's StreamMaxLength it refuses to scan, says so and hangs up, so
// that its reply is still to be read when writing has failed.
//
// A file inside of a message that is larger than the daemon's MaxFileSize is clean to it, unless its AlertExceedsMax is set: then it says
// Heuristics.Limits.Exceeded, which is no virus but a part that it has not seen.
package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// Port is clamd's usual one.
const Port = "3310"

const (
	chunk     = 64 << 10
	mostReply = 4 << 10
)

// An Engine is a clamd.
type Engine struct {
	address inspect.Address
	dial    inspect.Dial
}

// New makes an Engine of an address, such as "unix:/run/clamav/clamd.ctl" or "tcp://127.0.0.1:3310". Dial may be nil.
func New(address string, dial inspect.Dial) (*Engine, error) {
	a, err := inspect.ParseAddress(address, Port)
	if err != nil {
		return nil, err
	}
	if a.TLS {
		return nil, fmt.Errorf("%q: clamd speaks no TLS", address)
	}
	return &Engine{a, dial}, nil
}

// Lingers is true: clamd scans on when its client has gone.
func (e *Engine) Lingers() bool { return true }

// Scan puts a message to clamd.
func (e *Engine) Scan(ctx context.Context, m *inspect.Mail) event.Scan {
	conn, stop, err := e.dial.Connect(ctx, e.address)
	if err != nil {
		return inspect.Failed(event.LackUnavailable, "connect: %v", err)
	}
	defer stop()
	defer func() { _ = conn.Close() }()
	sendErr := send(conn, m)
	if errors.As(sendErr, new(*readError)) {
		return inspect.Failed(event.LackUnavailable, "%v", sendErr) // nothing is read of a reply to half a message
	}
	reply, err := readReply(conn)
	switch {
	case reply == "" && sendErr != nil:
		return inspect.Failed(event.LackUnavailable, "send the message: %v", sendErr)
	case reply == "" && (err == nil || errors.Is(err, io.EOF)):
		return inspect.Failed(event.LackUnavailable, "it has hung up without a word")
	case err != nil:
		return inspect.Failed(event.LackUnavailable, "read the reply: %v", err)
	}
	return parse(reply)
}

// A readError is one of reading the message, not of writing to clamd.
type readError struct{ err error }

func (e *readError) Error() string { return "read the message: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// send sends the command and the message, in chunks with their length before them, and the chunk of length 0.
func send(conn net.Conn, m *inspect.Mail) error {
	if _, err := io.WriteString(conn, "zINSTREAM\x00"); err != nil {
		return err
	}
	from, left := m.Open(), m.Octets
	buf := make([]byte, 4+chunk)
	for left > 0 {
		n, err := io.ReadFull(from, buf[4:4+min(left, chunk)])
		if err != nil {
			return &readError{err}
		}
		left -= int64(n)
		binary.BigEndian.PutUint32(buf, uint32(n))
		if _, err := conn.Write(buf[:4+n]); err != nil {
			return err
		}
	}
	_, err := conn.Write([]byte{0, 0, 0, 0})
	return err
}

// readReply reads up to the octet 0 that ends a reply, or to the end of the connection.
func readReply(conn net.Conn) (string, error) {
	all := make([]byte, 0, 512)
	for len(all) < mostReply {
		n, err := conn.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		if line, _, ended := bytes.Cut(all, []byte{0}); ended {
			return string(line), nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return string(all), err
		}
		if len(all) == cap(all) {
			all = append(all, 0)[:len(all)]
		}
	}
	return "", fmt.Errorf("a reply of more than %d octets", mostReply)
}

// parse reads a reply to INSTREAM.
func parse(reply string) event.Scan {
	reply = strings.TrimRight(reply, "\r\n ")
	text, isStream := strings.CutPrefix(reply, "stream: ")
	if !isStream {
		if strings.HasPrefix(reply, "INSTREAM size limit exceeded") {
			return inspect.Failed(event.LackTooLarge, "larger than its StreamMaxLength")
		}
		return inspect.Failed(event.LackUnavailable, "it says: %.100q", reply)
	}
	if text == "OK" {
		return event.Scan{State: event.Scanned, Action: inspect.ActionNone}
	}
	name, found := strings.CutSuffix(text, " FOUND")
	switch {
	case !found || name == "":
		return inspect.Failed(event.LackUnavailable, "it says: %.100q", text)
	case strings.HasPrefix(name, "Heuristics.Limits.Exceeded"):
		return inspect.Failed(event.LackTooLarge, "a part is larger than it looks at: %.100q", name)
	}
	return event.Scan{State: event.Scanned, Action: inspect.ActionReject, Virus: plain(name)}
}

// mostName is how long a name of a virus may be.
const mostName = 128

// plain is a name without what may not stand in a reply or on a terminal.
func plain(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '_'
		}
		return r
	}, name)
	return name[:min(len(name), mostName)]
}

// Ping asks by zPING.
func (e *Engine) Ping(ctx context.Context) error {
	conn, stop, err := e.dial.Connect(ctx, e.address)
	if err != nil {
		return err
	}
	defer stop()
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "zPING\x00"); err != nil {
		return err
	}
	reply, err := readReply(conn)
	if err == nil && strings.TrimSpace(reply) != "PONG" {
		err = fmt.Errorf("to a ping it says %.100q", reply)
	}
	return err
}

// Probe has it find the test file that every virus scanner knows, and nothing in a message without it.
func (e *Engine) Probe(ctx context.Context) []inspect.Proof {
	if err := e.Ping(ctx); err != nil {
		return []inspect.Proof{{Address: e.address.String(), What: "answers", Err: err}}
	}
	return []inspect.Proof{
		{Address: e.address.String(), What: "answers"},
		{Address: e.address.String(), What: "finds the EICAR test file", Err: e.finds(ctx, inspect.EICAR(), true)},
		{Address: e.address.String(), What: "finds nothing in an ordinary message", Err: e.finds(ctx, inspect.Ordinary(), false)},
	}
}

func (e *Engine) finds(ctx context.Context, message []byte, virus bool) error {
	said := e.Scan(ctx, inspect.ProbeMail(message))
	switch {
	case said.State != event.Scanned:
		return errors.New(said.Why)
	case virus && said.Virus == "":
		return errors.New("it finds nothing in it")
	case !virus && said.Virus != "":
		return fmt.Errorf("it finds %s in it", said.Virus)
	}
	return nil
}
