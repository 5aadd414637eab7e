package netlab

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"testing"
	"time"
)

// A step is a command to an MX, "" for the connection itself, and the code of its reply; 0 for the end of the connection.
type step struct {
	command string
	code    int
}

// TestSlowMXRefuses has the MX refuse one command, go on behind it, and take no message without a recipient.
func TestSlowMXRefuses(t *testing.T) {
	for _, c := range []struct {
		refused string
		steps   []step
		took    int // messages
	}{
		{"nothing", []step{{"", 220}, {"DATA", 554}, {"MAIL", 250}, {"RCPT", 250}, {"NOOP", 250}, {"DATA", 354}, {".", 250}, {"DATA", 554}, {"QUIT", 221}}, 1},
		{"BANNER", []step{{"", 599}, {"", 0}}, 0},
		{"RCPT to:<A@b>", []step{{"", 220}, {"EHLO me", 250}, {"MAIL", 250}, {"RCPT to:<c@b>", 250}, {"RSET", 250}, {"rcpt to:<A@b>", 599}, {"DATA", 554}, {"NOOP", 250}}, 0},
		{"MAIL", []step{{"", 220}, {"MAIL", 599}, {"RCPT", 250}, {"RSET", 250}, {"DATA", 554}}, 0},
	} {
		t.Run(c.refused, func(t *testing.T) {
			took := 0
			mx := &SlowMX{Name: "mx.example", Received: func(net.Addr, []byte) { took++ }}
			mx.Refuse = func(_ net.Addr, command string) string {
				if command == c.refused {
					return "599 refused"
				}
				return ""
			}
			near, far := net.Pipe()
			_ = near.SetDeadline(time.Now().Add(10 * time.Second))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = mx.session(far)
				_ = far.Close()
			}()
			converse(t, near, c.steps)
			_ = near.Close()
			<-ended
			if took != c.took {
				t.Errorf("%d messages were taken, want %d", took, c.took)
			}
		})
	}
}

func converse(t *testing.T, conn net.Conn, steps []step) {
	t.Helper()
	smtp := textproto.NewConn(conn)
	for _, s := range steps {
		if s.command != "" {
			if err := smtp.PrintfLine("%s", s.command); err != nil {
				t.Fatal(err)
			}
		}
		code, text, err := smtp.ReadResponse(0)
		if code != s.code || (err != nil) != (s.code == 0) || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%q: %d %s, %v; want %d", s.command, code, text, err, s.code)
		}
	}
}
