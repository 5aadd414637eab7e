package truth

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"kanmon/internal/smtp/smtptest"
)

// said is a command, or a message, of an MSA, with the reply that it heard.
type said struct {
	line    string // endOfBody: a message
	at      time.Time
	reply   string // lines parted by newlines, without the last line end; "": none was heard
	heardAt time.Time

	octets int    // of a message, without the dot
	dot    bool   // it was sent
	header string // of a message, as far as it was sent
}

const (
	connected = "(connected)"
	endOfBody = "(message)"
)

func (s *said) verb() string {
	verb, _, _ := strings.Cut(s.line, " ")
	return strings.ToUpper(verb)
}

// mailbox is what stands between the angle brackets.
func (s *said) mailbox() string {
	_, path, _ := strings.Cut(s.line, "<")
	path, _, _ = strings.Cut(path, ">")
	return path
}

// code is that of the reply; 0: none was heard.
func (s *said) code() int { return codeOf(s.reply) }

func codeOf(reply string) (code int) {
	if reply == "" {
		return 0
	}
	_, _ = fmt.Sscanf(reply[strings.LastIndexByte(reply, '\n')+1:], "%3d", &code)
	return code
}

// leaving is how an MSA parts.
type leaving int

const (
	byQuit leaving = iota
	byClose
	byReset
	byHalfClose // of its sending side, and it reads on
)

// msa is one that does as it likes.
type msa struct {
	random   *rand.Rand
	name     string
	conn     *smtptest.Conn
	in       *bufio.Reader
	patience time.Duration
	leaves   int     // steps until it parts in the middle; -1: never
	how      leaving // then
	gone     bool
	mails    int
	sent     int64 // octets
	heard    int64
	number   int // of addresses

	talk  []*said
	left  time.Time
	ended bool // kanmon closed
}

func newMSA(random *rand.Rand, name string, conn *smtptest.Conn) *msa {
	m := &msa{random: random, name: name, conn: conn, in: bufio.NewReader(conn), patience: 20 * time.Minute, leaves: -1, mails: 1 + random.IntN(3)}
	switch random.IntN(10) {
	case 0, 1:
		m.leaves, m.how = random.IntN(12), byClose+leaving(random.IntN(3))
	case 2:
		m.patience = time.Duration(1+random.IntN(40)) * time.Second
	}
	return m
}

// run is a whole session.
func (m *msa) run() {
	defer func() { _ = m.conn.Close() }()
	if !m.hear(m.note(connected)) {
		return
	}
	hello := "EHLO " + m.name
	if m.random.IntN(12) == 0 {
		hello = "HELO " + m.name
	}
	if !m.group(hello) {
		return
	}
	for range m.mails {
		if !m.mail() {
			return
		}
	}
	if m.group("QUIT") {
		_, _ = io.Copy(io.Discard, m.in)
	}
}

func (m *msa) address(kind string) string {
	m.number++
	domains := []string{"ok", "ok", "ok", "ok", "ok", "ok", "limited", "forbidden", "slow"}
	return fmt.Sprintf("%s%d@%s.example", kind, m.number, domains[m.random.IntN(len(domains))])
}

// mail says one, mostly in good order. It is false when the session is over.
func (m *msa) mail() bool {
	lines := []string{"MAIL FROM:<" + m.address("m") + ">"}
	for range 1 + m.random.IntN(4) {
		lines = append(lines, "RCPT TO:<"+m.address("r")+">")
	}
	lines = append(lines, "DATA")
	if m.random.IntN(4) == 0 { // mischief
		other := []string{"NOOP", "RSET", "VRFY x", "FOO", "MAIL FROM:<" + m.address("m") + ">", "EHLO " + m.name, "DATA", "RCPT TO:<" + m.address("r") + ">"}
		at := m.random.IntN(len(lines))
		lines = append(lines[:at:at], append([]string{other[m.random.IntN(len(other))]}, lines[at:]...)...)
	}
	for len(lines) > 0 {
		n := 1
		if m.offered("PIPELINING") && m.random.IntN(3) > 0 {
			n += m.random.IntN(len(lines))
		}
		for i, line := range lines[:n] {
			if line == "DATA" || strings.HasPrefix(line, "EHLO") {
				n = i + 1
				break
			}
		}
		if !m.group(lines[:n]...) {
			return false
		}
		last := m.talk[len(m.talk)-1]
		lines = lines[n:]
		switch {
		case last.line == "DATA" && last.code() == 354:
			if !m.message() {
				return false
			}
			return m.random.IntN(5) > 0 || m.group("RSET")
		case last.line == "DATA" && m.random.IntN(2) == 0:
			return m.group("RSET")
		case last.code() == 421:
			return false
		}
	}
	return true
}

func (m *msa) offered(keyword string) bool {
	for _, s := range m.talk {
		if s.verb() == "EHLO" && strings.Contains(s.reply, keyword) {
			return true
		}
	}
	return false
}

func (m *msa) note(line string) *said {
	s := &said{line: line, at: time.Now()}
	m.talk = append(m.talk, s)
	return s
}

// group says some commands in one write and hears what is said to them.
func (m *msa) group(lines ...string) bool {
	before := m.leaves >= 0 && m.leaves < len(lines) && m.random.IntN(2) == 0
	if before { // it parts before it has said all of them
		lines = lines[:m.leaves]
	}
	var all []*said
	for _, line := range lines {
		all = append(all, m.note(line))
	}
	if !m.write(strings.Join(lines, "\r\n") + "\r\n") {
		return false
	}
	if before {
		return m.part(all)
	}
	for _, s := range all {
		if m.leaves == 0 {
			return m.part(all)
		}
		m.leaves--
		if !m.hear(s) {
			return false
		}
	}
	return true
}

func (m *msa) write(text string) bool {
	n, err := io.WriteString(m.conn, text)
	m.sent += int64(n)
	return err == nil
}

// message sends one, with pauses, and hears what is said to it. One whose recipients were all refused is only the dot.
func (m *msa) message() bool {
	s := m.note(endOfBody)
	taken := 0
	for _, t := range m.talk {
		if t.verb() == "MAIL" {
			taken = 0
		} else if t.verb() == "RCPT" && t.code()/100 == 2 {
			taken++
		}
	}
	body := m.header() + "\r\n"
	body += strings.Repeat("0123456789012345678901234567890123456789\r\n", []int{0, 1, 50, 2000}[m.random.IntN(4)])
	if taken == 0 && m.random.IntN(8) > 0 {
		body = ""
	}
	if body != "" && m.random.IntN(30) == 0 {
		body += "a\n.\nb\r\n" // what some would take for the end
	}
	cut := m.leaves == 0 || body != "" && m.leaves >= 0 && m.random.IntN(3) == 0
	for i, pieces := 0, 1+m.random.IntN(3); i < pieces; i++ {
		piece := body[i*len(body)/pieces : (i+1)*len(body)/pieces]
		if cut && i == pieces-1 {
			piece = piece[:len(piece)/2]
		}
		if m.random.IntN(3) == 0 {
			time.Sleep(time.Duration(m.random.IntN(9000)) * time.Millisecond)
		}
		if !m.write(piece) { // what it says to that may be there to be read
			return m.hear(s) && m.over()
		}
		s.octets += len(piece)
		s.header += piece
	}
	if cut {
		return m.part([]*said{s})
	}
	s.dot, s.at = true, time.Now()
	if !m.write(".\r\n") {
		return m.hear(s) && m.over()
	}
	if m.leaves > 0 && m.random.IntN(2) == 0 {
		return m.part([]*said{s})
	}
	return m.hear(s)
}

// header is that of a message: most have what identifies them, at the top, or where kanmon need not find it any more.
func (m *msa) header() string {
	fields := "Subject: " + m.address("s") + "\r\n"
	if m.random.IntN(3) == 0 {
		fields += "X-Filler: " + strings.Repeat(strings.Repeat("x", 70)+"\r\n ", []int{1, 300}[m.random.IntN(2)]) + "x\r\n"
	}
	if m.random.IntN(4) > 0 {
		m.number++
		fields += fmt.Sprintf("Message-ID:\r\n <%d@%s>\r\n", m.number, m.name)
	}
	if m.random.IntN(4) > 0 {
		m.number++
		fields = fmt.Sprintf("Received: by %s (Postfix) id Q%d;\r\n\tMon, 30 Nov 2026 01:02:%02d +0000\r\n", m.name, m.number, m.number%60) + fields
	}
	return fields
}

func (m *msa) over() bool {
	_, _ = m.in.ReadByte()
	return false
}

// part leaves in the middle. It is false: the session is over.
func (m *msa) part(open []*said) bool {
	if !slices.ContainsFunc(open, func(s *said) bool { return s.reply == "" }) {
		time.Sleep(time.Millisecond) // what it has heard in this instant has been acknowledged by then
	}
	m.left = time.Now()
	switch m.how {
	case byReset:
		m.conn.Reset()
	case byHalfClose:
		_ = m.conn.CloseWrite()
		for _, s := range open {
			if s.reply == "" && !m.hear(s) {
				break
			}
		}
	}
	return false
}

// hear reads the reply to a command. It is false when there is none, or the session is over.
func (m *msa) hear(s *said) bool {
	if m.gone {
		return false
	}
	_ = m.conn.SetReadDeadline(time.Now().Add(m.patience))
	var lines []string
	for {
		line, err := m.in.ReadString('\n')
		m.heard += int64(len(line))
		if err != nil {
			m.gone, m.ended = true, err == io.EOF
			if m.left.IsZero() {
				m.left = time.Now()
			}
			return false
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	s.reply, s.heardAt = strings.Join(lines, "\n"), time.Now()
	if s.line == connected && s.code() >= 400 && m.random.IntN(2) == 0 {
		return false
	}
	return true
}

// tlsOfMX is what MXs do TLS with.
func tlsOfMX(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}
