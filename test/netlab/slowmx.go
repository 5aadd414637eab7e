package netlab

import (
	"bufio"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// A SlowMX is a tarpit or a far MX: it takes mail for everybody, throws it away, and lets its clients wait for every reply or
// for every character of it. Its fields are set before Serve.
type SlowMX struct {
	Name     string        // in the banner
	PerReply time.Duration // wait before each reply
	PerByte  time.Duration // wait after each octet of a reply

	// Refuse gives the reply to a client's connection ("BANNER") or command, a whole line with its verb in capitals, in place of the
	// usual one; "" is the usual one. A refused connection is closed. Sessions call it at the same time, before they wait. It may be nil.
	Refuse func(client net.Addr, command string) string

	// Tarpit gives how long a client waits after each octet of a reply, in place of PerByte. It is asked before each octet, so that it may
	// change while one waits; 0: no octet is waited for. Sessions call it at the same time. It may be nil.
	Tarpit func(client net.Addr) time.Duration

	// Received is called with the client and the whole message when its end has come, before the reply to it. Sessions call it at
	// the same time. It may be nil.
	Received func(client net.Addr, message []byte)

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// Serve runs the MX on port 25 of a host, over both families, until the lab is closed. It may have several hosts.
func (s *SlowMX) Serve(host *Host) error {
	listener, err := host.Listen("[::]:25")
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.open == nil {
		s.open = map[net.Conn]struct{}{}
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.accept(listener)
	}()
	host.lab.Cleanup(func() error {
		err := listener.Close()
		s.mu.Lock()
		for conn := range s.open {
			_ = conn.Close()
		}
		s.mu.Unlock()
		<-done
		return err
	})
	return nil
}

func (s *SlowMX) accept(listener net.Listener) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[conn] = struct{}{}
		s.mu.Unlock()
		sessions.Go(func() {
			_ = s.session(conn)
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
			_ = conn.Close()
		})
	}
}

func (s *SlowMX) session(conn net.Conn) error {
	in := textproto.NewReader(bufio.NewReader(conn))
	if text := s.refusal(conn, "BANNER"); text != "" {
		return s.reply(conn, text)
	}
	if err := s.reply(conn, "220 "+s.Name+" ESMTP"); err != nil {
		return err
	}
	recipients := 0
	for {
		line, err := in.ReadLine()
		if err != nil {
			return err
		}
		verb, arguments, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		text := s.refusal(conn, strings.TrimSpace(verb+" "+arguments))
		switch {
		case text != "":
			err = s.reply(conn, text)
		case verb == "EHLO":
			err = s.reply(conn, "250-"+s.Name, "250 8BITMIME")
		case verb == "DATA" && recipients == 0:
			err = s.reply(conn, "554 5.5.1 No valid recipients")
		case verb == "DATA":
			recipients = 0
			err = s.data(conn, in)
		case verb == "QUIT":
			return s.reply(conn, "221 2.0.0 Bye")
		case verb == "RCPT":
			recipients++
			err = s.reply(conn, "250 2.1.5 Ok")
		case verb == "MAIL" || verb == "RSET":
			recipients = 0
			err = s.reply(conn, "250 2.0.0 Ok")
		default:
			err = s.reply(conn, "250 2.0.0 Ok")
		}
		if err != nil {
			return err
		}
	}
}

func (s *SlowMX) refusal(conn net.Conn, command string) string {
	if s.Refuse == nil {
		return ""
	}
	return s.Refuse(conn.RemoteAddr(), command)
}

func (s *SlowMX) data(conn net.Conn, in *textproto.Reader) error {
	if err := s.reply(conn, "354 Go ahead"); err != nil {
		return err
	}
	message, err := in.ReadDotBytes()
	if err != nil {
		return err
	}
	if s.Received != nil {
		s.Received(conn.RemoteAddr(), message)
	}
	return s.reply(conn, "250 2.0.0 Ok: queued as SLOW")
}

func (s *SlowMX) reply(conn net.Conn, lines ...string) error {
	time.Sleep(s.PerReply)
	for text := []byte(strings.Join(lines, "\r\n") + "\r\n"); len(text) > 0; {
		pace, n := s.pace(conn), 1
		if pace == 0 {
			n = len(text)
		}
		if _, err := conn.Write(text[:n]); err != nil {
			return err
		}
		text = text[n:]
		time.Sleep(pace)
	}
	return nil
}

func (s *SlowMX) pace(conn net.Conn) time.Duration {
	if s.Tarpit == nil {
		return s.PerByte
	}
	return s.Tarpit(conn.RemoteAddr())
}
