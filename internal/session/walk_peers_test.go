package session_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	own "kanmon/internal/smtp/replies"
)

// The peers of a walk are no goroutines: the MX answers inside of kanmon's write, and the MSA decides what to say next inside of
// kanmon's read. So a walk is one thread of events, the same for each seed, and a hundred thousand of them take seconds.

// stillConn is what both have of a connection.
type stillConn struct{ closed bool }

func (c *stillConn) Close() error                   { c.closed = true; return nil }
func (*stillConn) LocalAddr() net.Addr              { return net.TCPAddrFromAddrPort(proxyAddr) }
func (*stillConn) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(mxAddr) }
func (*stillConn) SetDeadline(time.Time) error      { return nil }
func (*stillConn) SetReadDeadline(time.Time) error  { return nil }
func (*stillConn) SetWriteDeadline(time.Time) error { return nil }

// walkMSA says what it likes, mostly in good order, and hears all replies to what it has said before it says more.
type walkMSA struct {
	stillConn
	random *rand.Rand
	chunk  int // the most octets of a read; 0: all there are

	groups int // to come
	plan   []string
	count  int // of what has been numbered
	out    []byte
	in     []byte
	talk   []said
	heard  int // replies in talk
	blind  int // where in talk a body stands that was sent without waiting for the 354; 0: none
	quit   bool
	wrong  error
}

func (c *walkMSA) Write(p []byte) (int, error) {
	c.in = append(c.in, p...)
	return len(p), nil
}

// CloseWrite is kanmon's end of the session.
func (c *walkMSA) CloseWrite() error { c.quit, c.out = true, nil; return nil }

func (c *walkMSA) Read(p []byte) (int, error) {
	if len(c.out) == 0 && !c.next() {
		return 0, io.EOF
	}
	n := len(c.out)
	if c.chunk > 0 {
		n = min(n, c.chunk)
	}
	n = copy(p, c.out[:n])
	c.out = c.out[n:]
	return n, nil
}

// next says what comes next; false: nothing.
func (c *walkMSA) next() bool {
	c.hear()
	switch last := len(c.talk) - 1; {
	case c.quit || c.wrong != nil:
		return false
	case c.heard < len(c.talk):
		c.wrong = fmt.Errorf("kanmon waits, and %q has no reply", c.talk[c.heard].line)
		return false
	case last >= 0 && c.talk[last].line == "DATA" && strings.HasPrefix(c.talk[last].reply, "354"):
		c.sendBody()
	case c.groups == 0:
		return false
	default:
		c.groups--
		c.sendGroup()
	}
	return true
}

// hear gives the replies that have come to the commands in their order.
func (c *walkMSA) hear() {
	if len(c.talk) == 0 {
		c.talk = append(c.talk, said{line: connected})
	}
	for reply := ""; ; {
		line, rest, whole := strings.Cut(string(c.in), "\r\n")
		if !whole {
			return
		}
		c.in = []byte(rest)
		if reply += line + "\r\n"; len(line) > 3 && line[3] == '-' {
			continue
		}
		if c.heard == len(c.talk) {
			c.wrong = fmt.Errorf("%q answers nothing", reply)
			return
		}
		c.talk[c.heard].reply = reply
		c.heard++
		if strings.HasPrefix(reply, "354") && c.blind == c.heard { // the lines behind DATA are its body now
			body := c.talk[c.blind].line + "\r\n"
			c.talk = slices.Concat(c.talk[:c.blind], []said{{line: endOfBody, body: []byte(body)}}, c.talk[c.blind+2:])
		}
		reply = ""
	}
}

func (c *walkMSA) number() int { c.count++; return c.count }

// address is one that nobody else has in this walk; its domain says what becomes of it.
func (c *walkMSA) address(kind string) string {
	domains := []string{"ok", "ok", "ok", "ok", "ok", "bad", "never", "full", "no", "later", "second", "nowhere"}
	return fmt.Sprintf("%s%d@%s.example", kind, c.number(), domains[c.random.IntN(len(domains))])
}

// sendGroup sends some commands in one piece, or one alone.
func (c *walkMSA) sendGroup() {
	size := 1
	if c.random.IntN(3) > 0 {
		size += c.random.IntN(5)
	}
	for range size {
		line := c.planned()
		c.say(line)
		if line == "DATA" {
			if c.random.IntN(8) == 0 {
				c.blind = len(c.talk)
				c.say(fmt.Sprintf("%s blind%d", []string{"text", "NOOP", "RSET", "NOOP MAIL FROM:"}[c.random.IntN(4)], c.number()))
				c.say(".")
			}
			break
		}
		if line == "QUIT" {
			break
		}
	}
}

func (c *walkMSA) say(line string) {
	c.talk = append(c.talk, said{line: line})
	c.out = append(c.out, line+"\r\n"...)
}

// planned is a command of a mail in good order, most of the time that one is under way, else any.
func (c *walkMSA) planned() string {
	if len(c.plan) == 0 && c.random.IntN(6) == 0 {
		c.plan = append(c.plan, fmt.Sprintf("MAIL FROM:<%s>", c.address("m")))
		for range 1 + c.random.IntN(2) {
			c.plan = append(c.plan, fmt.Sprintf("RCPT TO:<%s>", c.address("r")))
		}
		c.plan = append(c.plan, "DATA")
	}
	if len(c.talk) == 1 || len(c.plan) == 0 || c.random.IntN(8) == 0 {
		return c.command()
	}
	line := c.plan[0]
	c.plan = c.plan[1:]
	return line
}

func (c *walkMSA) command() string {
	if len(c.talk) == 1 && c.random.IntN(8) > 0 {
		return "EHLO msa.example.com"
	}
	switch c.random.IntN(26) {
	case 0, 1, 2, 3, 4, 5:
		form := []string{"MAIL FROM:<%s>", "MAIL FROM:<%s> SIZE=100", "mail from: <%s>", "MAIL FROM:%s", "MAIL FROM:<%s> BODY=8BITMIME"}
		return fmt.Sprintf(form[c.random.IntN(len(form))], c.address("m"))
	case 6, 7, 8, 9, 10, 11, 12:
		return fmt.Sprintf([]string{"RCPT TO:<%s>", "RCPT TO:<%s>", "rcpt to: <%s>"}[c.random.IntN(3)], c.address("r"))
	case 13, 14, 15, 16, 17:
		return "DATA"
	case 18:
		return "RSET"
	case 19:
		return []string{"EHLO msa.example.com", "HELO msa.example.com"}[c.random.IntN(2)]
	case 20:
		return fmt.Sprintf("NOOP %d", c.number())
	case 21:
		return []string{"QUIT", "QUIT now", "RSET", "RSET now"}[c.random.IntN(4)]
	case 22: // a MAIL that is none
		n := c.number()
		long := "MAIL FROM:<m" + strings.Repeat("x", 5000) + "@ok.example>"
		return []string{fmt.Sprintf("MAIL FROM:<m%d\xe9@ok.example>", n), fmt.Sprintf("MAIL FROM:<m%d\x00@ok.example>", n), long}[c.random.IntN(3)]
	default:
		junk := []string{
			"FOO", "", "VRFY a", "STARTTLS", "AUTH PLAIN x", "NO\x00OP", "RSET\r", "RCPT TO:<r\xe9@ok.example>", "EHLO", "XMAIL FROM:<a@b>",
			strings.Repeat("y", 5000),
		}
		return junk[c.random.IntN(len(junk))]
	}
}

// sendBody sends a message, or nothing but the dot where no recipient was taken, as RFC 2920 §3.1 has it; or it does not know that.
func (c *walkMSA) sendBody() {
	taken := 0
	for _, s := range c.talk {
		switch {
		case s.verb() == "RCPT" && s.reply[0] == '2':
			taken++
		case s.verb() == "MAIL" && !strings.Contains(s.reply, "given already"), s.line == endOfBody:
			taken = 0
		}
	}
	body := ""
	if taken > 0 || c.random.IntN(4) == 0 {
		n := c.number()
		body = fmt.Sprintf("Subject: inbody%d\r\n\r\nMAIL FROM:<inbody%d@x>\r\nRCPT TO:<inbody@x>\r\nDATA\r\n..\r\nRSET inbody\r\n", n, n)
	}
	c.talk = append(c.talk, said{line: endOfBody, body: []byte(body)})
	c.out = append(c.out, body+".\r\n"...)
	if c.random.IntN(4) == 0 {
		c.say("RSET") // behind the dot, in the same piece
	}
}

// walkGate decides by the domain, and keeps what it has let pass.
type walkGate struct {
	shut     bool
	sender   string
	inspects func() session.Inspection // nil: nobody judges
	passed   map[string]bool           // senders, and senders and recipients as "sender recipient"
}

func (g *walkGate) Enter(session.Origin) session.Pass { return g }
func (*walkGate) Tell(session.News)                   {}
func (*walkGate) Close()                              {}

func (g *walkGate) Ask(q session.Question) session.Decision {
	no := session.Decision{Refuse: session.RefuseNow, Say: own.LimitReached.Say("this account", "1 message per hour", "1", "retry later")}
	switch {
	case q.Step == event.StepContent && g.inspects != nil:
		return session.Decision{Inspect: g.inspects()}
	case q.Step == event.StepConnect && g.shut:
		return no
	case q.Step == event.StepLeave && strings.HasSuffix(g.sender, "@full.example") && !q.Instead:
		delete(g.passed, g.sender)
		return no
	case q.Step == event.StepMail:
		g.sender = q.Sender
	}
	for _, name := range []string{q.Sender, q.Recipient} {
		switch {
		case strings.HasSuffix(name, "@bad.example"):
			return no
		case strings.HasSuffix(name, "@never.example"):
			no.Refuse = session.RefuseForGood
			return no
		}
	}
	switch q.Step {
	case event.StepMail:
		g.passed[q.Sender] = true
	case event.StepRecipient:
		g.passed[g.sender+" "+q.Recipient] = true
	}
	return session.Decision{}
}

// A swiftInspection says at once what it likes.
type swiftInspection struct {
	random *rand.Rand
	open   *int // inspections that have not been closed
}

func (swiftInspection) Room(int, time.Duration) <-chan struct{} { return nil }

func (i swiftInspection) Start() session.Start {
	s := session.Start{Lane: event.Lane(i.random.IntN(int(event.LaneCount)))}
	if i.random.IntN(8) == 0 {
		s.Refuse = session.RefuseNow
	}
	return s
}

func (i swiftInspection) Grow(int) bool { return i.random.IntN(8) > 0 }

func (i swiftInspection) Full() session.Start {
	return session.Start{Refuse: session.Refuse(i.random.IntN(3))}
}
func (swiftInspection) Judge(session.Message) {}

func (swiftInspection) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (i swiftInspection) Verdict() session.Opinion {
	return session.Opinion{Handle: []event.Handling{event.HandleNot, event.HandleAccept, event.HandleDefer, event.HandleRefuse}[i.random.IntN(4)]}
}

func (i swiftInspection) Close(session.Came) { *i.open-- }
