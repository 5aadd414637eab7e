package session_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"kanmon/internal/smtp/smtptest"
)

// pieces are sizes of reads: often everything at once, else down to single octets.
func pieces(random *rand.Rand) []int {
	if random.IntN(3) == 0 {
		return nil
	}
	sizes := make([]int, 1+random.IntN(6))
	for i := range sizes {
		sizes[i] = 1 + random.IntN([]int{2, 20, 400}[random.IntN(3)])
	}
	return sizes
}

// A said is a command and its reply, as one of the peers saw them.
type said struct {
	line  string // without CRLF; or one of the two below
	body  []byte // with endOfBody: the octets in front of the dot
	own   string // with endOfBody: the code with which kanmon itself must answer; "" if the MX must
	reply string // as on the wire; "" if none came
}

// What a reply can answer that is no command.
const (
	connected = "(connected)"
	endOfBody = "(end of body)"
)

// verb is the first word of the command in upper case.
func (s said) verb() string {
	word, _, _ := strings.Cut(s.line, " ")
	return strings.ToUpper(word)
}

func printTalk(talk []said) string {
	var b strings.Builder
	for _, s := range talk {
		fmt.Fprintf(&b, "  %.200q %.200q -> %.300q\n", s.line, s.body, s.reply)
	}
	return b.String()
}

// A modelMX answers as it likes, but in good order.
type modelMX struct {
	random *rand.Rand
	in     *bufio.Reader
	out    *bufio.Writer

	talk   []said
	tokens int
	mail   bool
	rcpts  int
}

func (m *modelMX) String() string { return printTalk(m.talk) }

// accepted gives the bodies whose dot got a 2xx.
func (m *modelMX) accepted() (bodies [][]byte) {
	for _, s := range m.talk {
		if s.line == endOfBody && s.reply[0] == '2' {
			bodies = append(bodies, s.body)
		}
	}
	return bodies
}

func (m *modelMX) serve(conn *smtptest.Conn) {
	conn.CloseNeverResets() // a reset could destroy its 421, directly as well
	defer conn.Close()
	m.in, m.out = bufio.NewReader(conn), bufio.NewWriter(conn)
	code := 220
	if m.random.IntN(40) == 0 {
		code = []int{421, 450, 554}[m.random.IntN(3)]
	}
	for now := (said{line: connected}); ; {
		m.answer(now, code)
		if code == 421 || now.line == "QUIT" || now.line == connected && code != 220 {
			_ = m.out.Flush()
			return
		}
		if m.in.Buffered() == 0 || m.random.IntN(4) == 0 {
			_ = m.out.Flush()
		}
		if code == 354 {
			if now = (said{line: endOfBody, body: m.readBody()}); now.body == nil {
				return
			}
			code = m.pick(250, 250, 250, 250, 451, 550, 421)
			m.mail, m.rcpts = false, 0
			continue
		}
		line, err := m.in.ReadString('\n')
		if err != nil {
			return
		}
		now = said{line: strings.TrimSuffix(line, "\r\n")}
		code = m.decide(now.verb())
	}
}

func (m *modelMX) pick(codes ...int) int { return codes[m.random.IntN(len(codes))] }

// decide gives the code for a command and keeps the state that it leads to.
func (m *modelMX) decide(verb string) int {
	if m.random.IntN(150) == 0 {
		return 421
	}
	switch verb {
	case "EHLO", "RSET":
		m.mail, m.rcpts = false, 0
		return 250
	case "MAIL":
		code := m.pick(250, 250, 250, 250, 450, 550)
		if m.mail && code != 250 {
			return 503 // some MXs take a second MAIL, most do not
		}
		if m.mail = m.mail || code == 250; code == 250 {
			m.rcpts = 0
		}
		return code
	case "RCPT":
		code := m.pick(250, 250, 251, 450, 550)
		if !m.mail {
			return 503
		}
		if code < 300 {
			m.rcpts++
		}
		return code
	case "DATA":
		if m.rcpts == 0 {
			return m.pick(503, 554, 354) // RFC 2920 §3.1 allows the 354
		}
		return m.pick(354, 354, 354, 354, 451, 554)
	case "QUIT":
		return 221
	default:
		return m.pick(250, 250, 502)
	}
}

// answer sends a reply with a token of its own, and notes what it was a reply to.
func (m *modelMX) answer(to said, code int) {
	m.tokens++
	texts := []string{fmt.Sprintf("token %d", m.tokens)}
	if to.verb() == "EHLO" && code == 250 {
		texts = append(texts, "CHUNKING", "size 1000", "X-UNKNOWN y", "8BITMIME")
		if m.random.IntN(8) > 0 {
			texts = append(texts, "PIPELINING")
		}
		texts = append(texts, "AUTH PLAIN", "PRDR", "ENHANCEDSTATUSCODES")
	} else {
		for range m.random.IntN(3) * m.random.IntN(2) {
			texts = append(texts, []string{"", "2.0.0 ok", "caf\xe9 \x1b[2J\x00", "250 queued", strings.Repeat("long ", 100)}[m.random.IntN(5)])
		}
	}
	var wire strings.Builder
	for i, text := range texts {
		separator, end := "-", "\r\n"
		if i == len(texts)-1 {
			separator = " "
		}
		if m.random.IntN(10) == 0 {
			end = "\n"
		}
		fmt.Fprintf(&wire, "%d%s%s%s", code, separator, text, end)
	}
	to.reply = wire.String()
	m.talk = append(m.talk, to)
	_, _ = m.out.WriteString(wire.String())
}

// readBody reads to CRLF.CRLF and to nothing else; nil if the connection ends before.
func (m *modelMX) readBody() []byte {
	body := []byte("\r\n")
	for !bytes.HasSuffix(body, []byte("\r\n.\r\n")) {
		b, err := m.in.ReadByte()
		if err != nil {
			return nil
		}
		body = append(body, b)
	}
	return body[2 : len(body)-3]
}

// A modelMSA says what it likes.
type modelMSA struct {
	random *rand.Rand
	conn   net.Conn
	in     *bufio.Reader

	talk     []said // in order of the commands
	answered int    // commands that have their reply
	ready    bool   // EHLO was answered with 2xx
	rcpts    int    // accepted ones
	blind    bool   // the body was sent behind DATA, without waiting for the 354
	ended    bool   // the connection has been closed on us
	smuggled int
}

func (m *modelMSA) String() string { return printTalk(m.talk) }

func (m *modelMSA) converse() {
	m.talk = append(m.talk, said{line: connected})
	m.hear()
	for range 1 + m.random.IntN(6) {
		if m.ended {
			return
		}
		m.group()
	}
	if m.random.IntN(5) > 0 {
		m.say("QUIT")
		for !m.ended && m.answered < len(m.talk) {
			m.hear()
		}
	}
}

// group sends some commands in one write, then hears the replies. A body goes out where a 354 came.
func (m *modelMSA) group() {
	var lines []string
	if !m.ready && m.random.IntN(4) > 0 {
		lines = append(lines, []string{"EHLO msa.example.com", "ehlo msa.example.com ", "HELO msa.example.com"}[m.random.IntN(3)])
	}
	for range m.random.IntN(6) {
		lines = append(lines, m.command())
	}
	if m.random.IntN(3) > 0 {
		lines = append(lines, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RCPT TO:<c@example.net> NOTIFY=NEVER")
	}
	if m.random.IntN(4) > 0 {
		lines = append(lines, "DATA")
		if m.blind = m.random.IntN(6) == 0; m.blind {
			lines = append(lines, blindBody, ".")
		}
	}
	m.say(lines...)
	for !m.ended && m.answered < len(m.talk) {
		switch reply := m.hear(); {
		case !strings.HasPrefix(reply, "354"):
		case m.blind:
			m.blindBodySent()
		default:
			m.sendBody()
		}
	}
}

// blindBody is commands that nobody knows if DATA is refused.
const blindBody = "blind"

func (m *modelMSA) blindBodySent() {
	end := said{line: endOfBody, body: []byte(blindBody + "\r\n")}
	if m.rcpts == 0 {
		end.own = "554"
	}
	m.talk = append(m.talk[:m.answered], end)
	m.rcpts = 0
}

// command is any command but DATA and QUIT.
func (m *modelMSA) command() string {
	common := []string{
		"MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "RCPT TO:<\"x>\\\"y\"@example.net>", "RSET", "NOOP", "noop  x y ",
		"mail from:<> BODY=8BITMIME SIZE=100", "MAIL FROM: a", "RCPT TO:<" + strings.Repeat("l", 300) + "@x>", "EHLO msa2.example.com",
	}
	bad := []string{
		"VRFY a", "HELP", "EXPN list", "AUTH PLAIN AGEAYg==", "STARTTLS", "XCLIENT ADDR=192.0.2.1", "ETRN x", "FOO", "", " MAIL FROM:<a>",
		"EHLO", "MAIL FROM:<a>\nRCPT TO:<b>", "RSET\r", "NO\x00OP", "RCPT TO:<caf\xe9@x>", "NOOP " + strings.Repeat("x", 5000), "250 ok", ".",
	}
	if m.random.IntN(3) > 0 {
		return common[m.random.IntN(len(common))]
	}
	return bad[m.random.IntN(len(bad))]
}

func (m *modelMSA) say(lines ...string) {
	if len(lines) == 0 {
		return
	}
	for _, line := range lines {
		m.talk = append(m.talk, said{line: line})
	}
	_, _ = io.WriteString(m.conn, strings.Join(lines, "\r\n")+"\r\n")
}

// hear reads the reply to the first command that has none yet. A closed connection ends the session.
func (m *modelMSA) hear() string {
	var reply strings.Builder
	for {
		line, err := m.in.ReadString('\n')
		reply.WriteString(line)
		if err != nil || len(line) < 6 {
			m.ended = true
			break
		}
		if line[3] == ' ' {
			break
		}
	}
	now := &m.talk[m.answered]
	now.reply = reply.String()
	m.answered++
	if now.reply == "" || now.reply[0] != '2' || strings.Contains(now.reply, "kanmon: ") {
		return now.reply
	}
	switch now.verb() {
	case "RCPT":
		m.rcpts++
	case "MAIL", "RSET":
		m.rcpts = 0
	case "EHLO", "HELO":
		m.rcpts, m.ready = 0, true
	}
	return now.reply
}

// sendBody sends a message: nothing but the dot if no recipient was accepted. Sometimes the next group stands behind it.
func (m *modelMSA) sendBody() {
	var body []byte
	for range m.random.IntN(8) * min(1, m.rcpts) {
		lines := []string{
			"text\r\n", "\r\n", "..stuffed\r\n", "..\r\n", ".unstuffed\r\n", "8-bit \xe9\xff\r\n", "nul \x00 in it\r\n", "MAIL FROM:<x@y>\r\n", "DATA\r\n",
			"bare \n lf\r\n", "bare \r cr\r\n", "end.\r\n", strings.Repeat("wide", 700) + "\r\n", "odd\r\r\n", "\xe9\r\n",
		}
		body = append(body, lines[m.random.IntN(len(lines))]...)
	}
	end := said{line: endOfBody, body: body}
	if m.rcpts > 0 && m.random.IntN(30) == 0 {
		forms := smtptest.SmugglingForms()
		end.body = append(append(body, "x"+forms[m.random.IntN(len(forms))]...), "MAIL FROM:<smuggled@x>\r\n"...)
		end.own = "550"
		m.smuggled++
	}
	m.talk = append(m.talk, end)
	wire := append(bytes.Clone(end.body), ".\r\n"...)
	if m.random.IntN(4) == 0 {
		m.talk = append(m.talk, said{line: "RSET"}, said{line: "MAIL FROM:<next@example.com>"})
		wire = append(wire, "RSET\r\nMAIL FROM:<next@example.com>\r\n"...)
	}
	_, _ = m.conn.Write(wire)
	m.rcpts = 0
}
