package traffic

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// A Then is what an MX does behind its answer.
type Then uint8

// The usual is to go on.
const (
	GoOn   Then = iota
	Close       // the connection, behind the answer
	Vanish      // the same without an answer
	Reset       // the same with a RST
	Hang        // say nothing, now and later, until the client has gone
)

// An Answer is what an MX says at one step of a session; the zero Answer is the usual one.
type Answer struct {
	Wait time.Duration // before it
	Text string        // whole lines without the last CRLF; "": the usual
	Then Then
}

// A Visit is one session of an MX.
type Visit struct {
	MX     *MX
	Conn   net.Conn
	Client netip.Addr
	Server netip.Addr
	Hello  string   // what the client calls itself
	From   string   // line of MAIL
	To     []string // lines of RCPT that were accepted
	Mails  int      // messages so far

	in   *bufio.Reader
	out  *bufio.Writer
	mail bool
}

// A Copy is a message that an MX has read to its end.
type Copy struct {
	Token    string
	Sum      [sha256.Size]byte
	Server   netip.Addr
	Client   netip.Addr
	Accepted bool // with 2xx, which was written
}

// An MX is a mail server, and takes all mail if nothing else is said. Its fields are set before Serve.
type MX struct {
	Name     string
	Keywords []string      // behind the first line of EHLO; nil: PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES
	TLS      *tls.Config   // STARTTLS is offered; nil: not
	Pace     time.Duration // before each usual reply: it is as far away
	DotPace  time.Duration // before the usual reply to a message
	MidBody  int           // octets of a body behind which Behave is asked at the step "BODY"; 0: never

	// Behave says what is answered at "BANNER", at each command by its verb, at "BODY" and at the end of data, ".". It may be nil.
	Behave func(v *Visit, step, line string) Answer
	// Took is told of each message whose end has come, before the answer to it if that is no 2xx, and behind it if it is. It may be nil.
	Took func(Copy)

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// maxLine bounds a command line.
const maxLine = 8 << 10

// Serve takes connections until the listener is closed, then closes those that are open and returns when all have ended.
func (m *MX) Serve(l net.Listener) {
	m.mu.Lock()
	m.open = make(map[net.Conn]struct{})
	m.mu.Unlock()
	var visits sync.WaitGroup
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptors: some will be free again
			continue
		}
		m.mu.Lock()
		m.open[conn] = struct{}{}
		m.mu.Unlock()
		visits.Go(func() {
			m.visit(conn)
			m.mu.Lock()
			delete(m.open, conn)
			m.mu.Unlock()
		})
	}
	m.mu.Lock()
	for conn := range m.open {
		_ = conn.Close()
	}
	m.mu.Unlock()
	visits.Wait()
}

func (m *MX) visit(conn net.Conn) {
	v := &Visit{MX: m, Conn: conn, in: bufio.NewReaderSize(conn, maxLine), out: bufio.NewWriter(conn)}
	defer func() { _ = v.Conn.Close() }()
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		v.Client = a.AddrPort().Addr().Unmap()
	}
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		v.Server = a.AddrPort().Addr().Unmap()
	}
	if code, ok := v.say("BANNER", "", "220 "+m.Name+" ESMTP", m.Pace); !ok || code != '2' {
		return
	}
	for {
		if v.in.Buffered() == 0 && v.out.Flush() != nil {
			return
		}
		line, err := v.in.ReadSlice('\n')
		if err != nil {
			return
		}
		if !v.command(strings.TrimRight(string(line), "\r\n")) {
			_ = v.out.Flush()
			return
		}
	}
}

// command answers one. It is false when the session is over.
func (v *Visit) command(line string) bool {
	verb, argument, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO", "HELO":
		v.Hello = argument
		v.forget()
		_, ok := v.say(verb, line, v.welcome(verb), v.MX.Pace)
		return ok
	case "STARTTLS":
		return v.startTLS(line)
	case "MAIL":
		code, ok := v.say(verb, line, "250 2.1.0 Ok", v.MX.Pace)
		if v.forget(); code == '2' {
			v.mail, v.From = true, line
		}
		return ok
	case "RCPT":
		// Pipelined commands have travelled together: they wait once.
		code, ok := v.say(verb, line, "250 2.1.5 Ok", 0)
		if code == '2' && v.mail {
			v.To = append(v.To, line)
		}
		return ok
	case "DATA":
		return v.data(line)
	case "QUIT":
		_, _ = v.say(verb, line, "221 2.0.0 Bye", 0)
		return false
	case "RSET":
		v.forget()
	}
	_, ok := v.say(verb, line, "250 2.0.0 Ok", 0)
	return ok
}

func (v *Visit) forget() { v.mail, v.From, v.To = false, "", v.To[:0] }

func (v *Visit) welcome(verb string) string {
	lines := []string{v.MX.Name}
	if verb == "EHLO" {
		keywords := v.MX.Keywords
		if keywords == nil {
			keywords = []string{"PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES"}
		}
		lines = append(lines, keywords...)
		if _, secure := v.Conn.(*tls.Conn); v.MX.TLS != nil && !secure {
			lines = append(lines, "STARTTLS")
		}
	}
	last := len(lines) - 1
	var text strings.Builder
	for _, line := range lines[:last] {
		text.WriteString("250-" + line + "\r\n")
	}
	return text.String() + "250 " + lines[last]
}

func (v *Visit) startTLS(line string) bool {
	if v.MX.TLS == nil {
		_, ok := v.say("STARTTLS", line, "502 5.5.1 no TLS", 0)
		return ok
	}
	if code, ok := v.say("STARTTLS", line, "220 2.0.0 Ready", v.MX.Pace); !ok || code != '2' {
		return ok
	}
	if v.out.Flush() != nil {
		return false
	}
	secure := tls.Server(v.Conn, v.MX.TLS)
	if secure.Handshake() != nil {
		return false
	}
	v.Conn, v.in, v.out = secure, bufio.NewReaderSize(secure, maxLine), bufio.NewWriter(secure)
	v.forget()
	return true
}

func (v *Visit) data(line string) bool {
	if len(v.To) == 0 {
		_, ok := v.say("DATA", line, "554 5.5.1 no valid recipients", 0)
		return ok
	}
	code, ok := v.say("DATA", line, "354 go ahead", 0)
	if !ok || code != '3' {
		return ok
	}
	if v.out.Flush() != nil {
		return false
	}
	c := Copy{Server: v.Server, Client: v.Client}
	if !v.body(&c) {
		return false
	}
	v.Mails++
	defer v.forget()
	text := "250 2.0.0 Ok: " + queuedAs + c.Token
	a := v.behave(".", c.Token)
	c.Accepted = a.Then <= Close && (a.Text == "" || a.Text[0] == '2')
	if !c.Accepted {
		v.took(c)
	}
	_, ok = v.answer(a, text, v.MX.DotPace)
	if c.Accepted {
		// What could not be written any more was not said: the client has gone, and tries again.
		c.Accepted = v.out.Flush() == nil
		v.took(c)
	}
	return ok
}

func (v *Visit) took(c Copy) {
	if v.MX.Took != nil {
		v.MX.Took(c)
	}
}

// body reads to the end of data. It is false if that does not come, or is not waited for.
func (v *Visit) body(c *Copy) bool {
	sum := sha256.New()
	begin, octets, asked := true, 0, v.MX.MidBody == 0
	for {
		part, err := v.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false
		}
		if begin && string(part) == ".\r\n" {
			break
		}
		octets += len(part)
		if begin {
			part = bytes.TrimPrefix(part, []byte(".")) // RFC 5321 §4.5.2
			if c.Token == "" {
				c.Token = tokenOf(part)
			}
		}
		_, _ = sum.Write(part)
		begin = err == nil && bytes.HasSuffix(part, []byte("\r\n"))
		if !asked && octets >= v.MX.MidBody {
			asked = true
			if a := v.behave("BODY", ""); a != (Answer{}) {
				_, _ = v.answer(a, "", 0)
				_ = v.out.Flush()
				return false
			}
		}
	}
	sum.Sum(c.Sum[:0])
	return true
}

func (v *Visit) behave(step, line string) Answer {
	if v.MX.Behave == nil {
		return Answer{}
	}
	return v.MX.Behave(v, step, line)
}

func (v *Visit) say(step, line, usual string, pace time.Duration) (class byte, ok bool) {
	return v.answer(v.behave(step, line), usual, pace)
}

// answer writes one and gives its first digit, 0 if nothing is said. It is not ok when the session is over.
func (v *Visit) answer(a Answer, usual string, pace time.Duration) (class byte, ok bool) {
	text := a.Text
	if text == "" {
		text = usual
	}
	if a == (Answer{}) {
		a.Wait = pace
	}
	if a.Wait > 0 {
		if v.out.Flush() != nil {
			return 0, false
		}
		time.Sleep(a.Wait)
	}
	if a.Then > Close {
		_ = v.out.Flush()
		v.leave(a.Then)
		return 0, false
	}
	if text != "" {
		_, _ = v.out.WriteString(text)
		_, _ = v.out.WriteString("\r\n")
		class = text[0]
	}
	return class, a.Then == GoOn
}

// leave prepares for the end of the session, which comes next.
func (v *Visit) leave(how Then) {
	if how == Hang {
		_, _ = io.Copy(io.Discard, v.Conn)
	}
	conn := v.Conn
	if secure, isTLS := conn.(*tls.Conn); isTLS {
		conn = secure.NetConn()
	}
	if tcp, isTCP := conn.(*net.TCPConn); isTCP && how == Reset {
		_ = tcp.SetLinger(0)
	}
}
