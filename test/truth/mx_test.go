package truth

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// heard is a command, or a message, that came to an MX, with what it said to it.
type heard struct {
	line   string // connected, endOfBody or a command
	came   time.Time
	octets int       // of a message, without the dot
	whole  bool      // the dot has come
	reply  string    // as said; lines parted by newlines; "": none
	began  time.Time // when it began to say it
	ended  time.Time // when all of it had been written
	broken bool      // what it said is no whole reply
	early  bool      // it was said to a message before its dot
	pieces int       // in which it was written
}

func (h *heard) code() int { return codeOf(h.reply) }
func (h *heard) verb() string {
	verb, _, _ := strings.Cut(h.line, " ")
	return strings.ToUpper(verb)
}

// mx is one connection of an MX that does as it likes.
type mx struct {
	random  *rand.Rand
	number  int // of the connection, in its session
	ip      netip.Addr
	dialled time.Time
	base    *smtptest.Conn
	conn    interface {
		io.ReadWriter
		Close() error
	}
	tls     *tls.Config // nil: not offered
	breaks  bool        // the handshake
	mood    int         // how often it does anything else than say yes: once in so many replies
	listing bool        // it has listed this sending IP

	buffer []byte
	came   time.Time // the last octets
	read   int64     // inside TLS
	wrote  int64
	inTLS  bool
	heard  []*heard
	open   bool
	rcpts  int
	count  int
	closed time.Time // by kanmon
}

func newMX(random *rand.Rand, number int, ip netip.Addr, conn *smtptest.Conn, with *tls.Config) *mx {
	m := &mx{
		random: random, number: number, ip: ip, dialled: time.Now(), base: conn, conn: conn, mood: []int{4, 12, 60}[random.IntN(3)],
		listing: number == 1 && random.IntN(4) == 0,
	}
	if random.IntN(5) == 0 {
		m.tls, m.breaks = with, random.IntN(3) == 0
	}
	return m
}

func (m *mx) run() {
	defer func() { _ = m.conn.Close() }()
	if !m.say(&heard{line: connected, came: m.dialled}, "220 mx.example.net ESMTP") {
		return
	}
	for {
		line, ok := m.line("\r\n")
		if !ok {
			return
		}
		if !m.command(&heard{line: line, came: m.came}) {
			return
		}
	}
}

// line reads as far as an end.
func (m *mx) line(end string) (string, bool) {
	for {
		if at := bytes.Index(m.buffer, []byte(end)); at >= 0 {
			line := string(m.buffer[:at])
			m.buffer = m.buffer[at+len(end):]
			return line, true
		}
		if !m.fill() {
			return "", false
		}
	}
}

func (m *mx) fill() bool {
	chunk := make([]byte, 16<<10)
	n, err := m.conn.Read(chunk)
	m.buffer, m.read = append(m.buffer, chunk[:n]...), m.read+int64(n)
	m.came = time.Now().Add(-m.base.Quiet())
	if err != nil {
		m.closed = time.Now()
		return false
	}
	return true
}

func (m *mx) command(h *heard) bool {
	switch h.verb() {
	case "EHLO", "HELO":
		m.open, m.rcpts = false, 0
		text := "250-mx.example.net\n250-SIZE 1000000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES"
		if m.random.IntN(6) > 0 {
			text += "\n250-PIPELINING"
		}
		if m.tls != nil && !m.inTLS {
			text += "\n250-STARTTLS"
		}
		if h.verb() == "HELO" {
			return m.say(h, "250 mx.example.net")
		}
		return m.say(h, text+"\n250 HELP")
	case "STARTTLS":
		if !m.say(h, "220 2.0.0 go ahead") {
			return false
		}
		return h.code() != 220 || m.handshake()
	case "MAIL":
		if m.open {
			return m.say(h, "503 5.5.1 nested")
		}
		ok := m.say(h, "250 2.1.0 ok")
		m.open, m.rcpts = h.code() == 250, 0
		return ok
	case "RCPT":
		if !m.open {
			return m.say(h, "503 5.5.1 no mail")
		}
		ok := m.say(h, "250 2.1.5 ok")
		if h.code() == 250 {
			m.rcpts++
		}
		return ok
	case "DATA":
		if m.rcpts == 0 {
			return m.say(h, "554 5.5.1 no valid recipients")
		}
		if ok := m.say(h, "354 go on"); !ok || h.code() != 354 {
			return ok
		}
		return m.message()
	case "RSET":
		m.open, m.rcpts = false, 0
		return m.say(h, "250 2.0.0 ok")
	case "QUIT":
		m.say(h, "221 2.0.0 bye")
		return false
	default:
		return m.say(h, "250 2.0.0 ok")
	}
}

func (m *mx) handshake() bool {
	if m.breaks {
		before := m.read
		_, _ = m.line("\n")
		m.read = before // that was no SMTP
		if m.random.IntN(2) == 0 {
			_, _ = io.WriteString(m.conn, "500 what?\r\n")
		}
		return false
	}
	conn := tls.Server(m.base, m.tls)
	if conn.Handshake() != nil {
		return false
	}
	m.conn, m.inTLS = conn, true
	return true
}

func (m *mx) message() bool {
	h := &heard{line: endOfBody}
	m.heard = append(m.heard, h)
	earlyAt := -1
	if m.random.IntN(m.mood*2) == 0 {
		earlyAt = m.random.IntN(3000)
	}
	for {
		text := m.buffer
		if bytes.HasPrefix(text, []byte(".\r\n")) && h.octets == 0 {
			m.buffer, h.whole = text[3:], true
			break
		}
		if at := bytes.Index(text, []byte("\r\n.\r\n")); at >= 0 {
			h.octets += at + 2
			m.buffer, h.whole = text[at+5:], true
			break
		}
		if keep := 4; len(text) > keep {
			h.octets += len(text) - keep
			m.buffer = text[len(text)-keep:]
		}
		if earlyAt >= 0 && h.octets > earlyAt {
			h.early, h.came = true, m.came
			m.utter(h, []string{"552 5.2.3 too big", "451 4.3.0 not now", "550 5.7.1 spam"}[m.random.IntN(3)], 0)
			m.drain()
			return false
		}
		if m.random.IntN(20) == 0 {
			time.Sleep(time.Duration(m.random.IntN(4000)) * time.Millisecond)
		}
		if !m.fill() {
			h.octets += len(m.buffer)
			return false
		}
	}
	h.came = m.came
	m.heard = m.heard[:len(m.heard)-1]
	m.open, m.rcpts = false, 0
	return m.say(h, "250 2.0.0 queued")
}

// drain reads until kanmon closes: who closes with octets unread destroys what was said last.
func (m *mx) drain() {
	for m.fill() {
		m.buffer = nil
	}
}

// say answers a command in the usual way, or in another. It is false when the connection is over.
func (m *mx) say(h *heard, usual string) bool {
	m.heard = append(m.heard, h)
	if m.random.IntN(m.mood) > 0 || h.verb() == "QUIT" {
		var wait time.Duration
		if m.random.IntN(5) == 0 {
			wait = time.Duration(m.random.IntN(3000)) * time.Millisecond
		}
		return m.utter(h, m.inMood(h, usual), wait)
	}
	wait := []time.Duration{0, 80 * time.Millisecond, 2500 * time.Millisecond, 40 * time.Second}[m.random.IntN(4)]
	switch m.random.IntN(14) {
	case 0, 1, 2:
		return m.utter(h, "550 5.1.1 no such user", wait)
	case 3, 4:
		return m.utter(h, "451 4.2.0 later", wait)
	case 5, 6:
		return m.utter(h, "550 5.7.1 listed: your IP", wait)
	case 7:
		return m.utter(h, "550 5.7.1 soft: reputation", wait)
	case 8:
		m.utter(h, "421 4.3.2 closing", wait)
		return false
	case 9:
		time.Sleep(wait)
		return false
	case 10:
		time.Sleep(wait)
		m.base.Reset()
		return false
	case 11: // for longer than anybody waits
		m.drain()
		return false
	case 12:
		time.Sleep(wait)
		h.reply, h.broken, h.ended = "25O what?", true, time.Now()
		m.write("25O what?\r\n")
		m.drain()
		return false
	default:
		return m.drip(h, usual)
	}
}

// inMood is the usual reply, or a refusal of a sending IP that it has listed.
func (m *mx) inMood(h *heard, usual string) string {
	if m.listing && m.random.IntN(6) == 0 && h.verb() != "STARTTLS" && h.verb() != "RSET" && h.verb() != "NOOP" {
		return "554 5.7.1 listed: your IP"
	}
	return usual
}

// utter says something behind a wait. Each reply has a mark of its own on its last line.
func (m *mx) utter(h *heard, text string, wait time.Duration) bool {
	time.Sleep(wait)
	h.reply = m.marked(text)
	h.began, h.pieces = time.Now(), 1
	ok := m.write(strings.ReplaceAll(h.reply, "\n", "\r\n") + "\r\n")
	h.ended = time.Now()
	if h.line == connected && h.code() >= 400 {
		m.drain()
		return false
	}
	return ok
}

func (m *mx) marked(text string) string {
	m.count++
	if m.random.IntN(10) == 0 && !strings.Contains(text, "\n") {
		text = text[:3] + "-" + text[4:] + "\n" + text
	}
	return fmt.Sprintf("%s #%d.%d#", text, m.number, m.count)
}

// drip says something octet by octet.
func (m *mx) drip(h *heard, text string) bool {
	h.reply, h.began = m.marked(text), time.Now()
	pause := time.Duration(1+m.random.IntN(900)) * time.Millisecond
	for _, c := range []byte(strings.ReplaceAll(h.reply, "\n", "\r\n") + "\r\n") {
		if !m.write(string(c)) {
			h.broken = true
			return false
		}
		h.ended = time.Now()
		h.pieces++
		time.Sleep(pause)
	}
	return true
}

func (m *mx) write(text string) bool {
	n, err := io.WriteString(m.conn, text)
	m.wrote += int64(n)
	return err == nil
}

var markOfReply = regexp.MustCompile(`#(\d+)\.(\d+)#`)
