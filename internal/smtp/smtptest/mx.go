package smtptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// An MX is a fake destination server. Its zero value is a correct SMTP server that accepts all mail into its [Mailbox]
// (RFC 5321, RFC 2920). Its fields are set before the first connection. It serves any number of connections at once.
type MX struct {
	Name        string      // in banner, EHLO and 221; "": mx.example.net
	Keywords    []string    // EHLO lines after the first; nil: [DefaultKeywords]
	TLS         *tls.Config // offers STARTTLS; nil: does not
	KeywordsTLS []string    // Keywords inside TLS; nil: as outside
	Lenient     []string    // more octet sequences that end a body, as [SmugglingForms]
	OnlyHashes  bool        // the mailbox keeps no body, only its hash

	// Reply overrides the reply to the n-th command (from 1) of its verb on a connection. The verb is in upper case;
	// the banner has the verb "BANNER", the end of data ".". It returns [Default], or the octets to send ("" is
	// silence), in which [CloseConn], [ResetConn], [Default] and [Delay] may stand. The first digit decides what the MX
	// thinks it has answered: a body that got no 2xx is not accepted, unless [Accept] stands in it.
	// It is accepted before the reply leaves, as by a server that dies in between. Connections call Reply at the same time.
	Reply func(verb string, n int) string

	Mailbox Mailbox
}

// What may stand in an overriding reply.
const (
	Default   = "\x00smtptest:default\x00" // what the MX would have said
	CloseConn = "\x00smtptest:close\x00"   // close the connection
	ResetConn = "\x00smtptest:reset\x00"   // close it with a RST, on a [Conn]
	Accept    = "\x00smtptest:accept\x00"  // go on as after 2xx or 3xx, whatever is sent
)

// Delay waits, at its place in an overriding reply.
func Delay(d time.Duration) string { return "\x00smtptest:delay " + d.String() + "\x00" }

// DefaultKeywords are the EHLO lines of an MX that has none set.
func DefaultKeywords() []string {
	return []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}
}

// SmugglingForms are the sequences that some server has taken for the end of data although they are not CRLF.CRLF
// (CVE-2023-51764, -51765, -51766, CVE-2024-27305).
func SmugglingForms() []string {
	return []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
		"\r\x00\n.\r\n", "\r\n.\r\x00\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
	}
}

// Serve accepts connections until the listener closes, and returns when all of them have ended.
func (m *MX) Serve(l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		all.Go(func() { m.ServeConn(c) })
	}
}

// ServeConn serves one connection and closes it.
func (m *MX) ServeConn(c net.Conn) {
	s := &mxSession{mx: m, raw: c, seen: make(map[string]int)}
	s.attach(c)
	defer func() { _ = s.conn.Close() }()
	s.mail.Peer = c.RemoteAddr()
	s.answer("BANNER", "220 "+m.name()+" ESMTP\r\n")
	for !s.ended {
		line, ok := s.readLine()
		if !ok {
			return
		}
		m.Mailbox.sawCommand(line)
		s.command(line)
	}
}

func (m *MX) name() string {
	if m.Name == "" {
		return "mx.example.net"
	}
	return m.Name
}

// An mxSession is one connection to an MX.
type mxSession struct {
	mx    *MX
	raw   net.Conn
	conn  net.Conn // raw, or TLS on it
	r     *bufio.Reader
	w     *bufio.Writer
	seen  map[string]int // commands per verb
	mail  Transaction    // the one that is open, and what outlives it
	open  bool           // MAIL was accepted
	ended bool
}

func (s *mxSession) attach(c net.Conn) {
	s.conn, s.r, s.w = c, bufio.NewReader(c), bufio.NewWriter(c)
}

// maxCommand is where an MX gives up on a command line.
const maxCommand = 64 << 10

// readLine reads up to CRLF. Replies leave only when there is nothing more to read, as RFC 2920 §3.2 advises.
func (s *mxSession) readLine() (string, bool) {
	var line []byte
	for len(line) < maxCommand {
		b, ok := s.readByte()
		if !ok {
			return "", false
		}
		line = append(line, b)
		if bytes.HasSuffix(line, []byte("\r\n")) {
			return string(line[:len(line)-2]), true
		}
	}
	return "", false
}

func (s *mxSession) readByte() (byte, bool) {
	if s.r.Buffered() == 0 && s.w.Flush() != nil {
		return 0, false
	}
	b, err := s.r.ReadByte()
	return b, err == nil
}

func (s *mxSession) command(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO":
		s.hello(verb, arg)
	case "STARTTLS":
		s.startTLS()
	case "MAIL":
		s.mailFrom(arg)
	case "RCPT":
		s.rcptTo(arg)
	case "DATA":
		s.data()
	case "RSET":
		s.answer(verb, "250 2.0.0 Ok\r\n")
		s.forget()
	case "NOOP":
		s.answer(verb, "250 2.0.0 Ok\r\n")
	case "QUIT":
		s.answer(verb, "221 2.0.0 "+s.mx.name()+" closing\r\n")
		_ = s.w.Flush()
		s.ended = true
	default:
		s.answer(verb, "502 5.5.1 Command not implemented\r\n")
	}
}

func (s *mxSession) hello(verb, arg string) {
	_, inTLS := s.conn.(*tls.Conn)
	lines := s.mx.Keywords
	if inTLS && s.mx.KeywordsTLS != nil {
		lines = s.mx.KeywordsTLS
	}
	if lines == nil {
		lines = DefaultKeywords()
	}
	lines = append([]string{s.mx.name()}, lines...)
	if s.mx.TLS != nil && !inTLS {
		lines = append(lines, "STARTTLS")
	}
	if verb == "HELO" {
		lines = lines[:1]
	}
	text := "250-" + strings.Join(lines, "\r\n250-") + "\r\n"
	last := strings.LastIndex(text, "250-")
	s.forget()
	if s.answer(verb, text[:last]+"250 "+text[last+4:]) == '2' {
		s.mail.Helo = arg
	}
}

func (s *mxSession) startTLS() {
	_, inTLS := s.conn.(*tls.Conn)
	if s.mx.TLS == nil || inTLS {
		s.answer("STARTTLS", "503 5.5.1 STARTTLS not available\r\n")
		return
	}
	if s.answer("STARTTLS", "220 2.0.0 Ready\r\n") != '2' || s.ended {
		return
	}
	if s.w.Flush() != nil || s.r.Buffered() > 0 { // RFC 3207 §4.2: what came before the handshake is forgotten
		s.ended = true
		return
	}
	s.forget()
	s.mail.Helo, s.mail.TLS = "", true
	s.attach(tls.Server(s.raw, s.mx.TLS))
	s.ended = s.conn.(*tls.Conn).Handshake() != nil
}

func (s *mxSession) mailFrom(arg string) {
	switch sender, ok := path(arg, "FROM:"); {
	case s.open:
		s.answer("MAIL", "503 5.5.1 Nested MAIL\r\n")
	case !ok:
		s.answer("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>\r\n")
	case s.answer("MAIL", "250 2.1.0 Ok\r\n") == '2':
		s.open = true
		s.mail.Sender, s.mail.MailArg = sender, arg
	}
}

func (s *mxSession) rcptTo(arg string) {
	switch rcpt, ok := path(arg, "TO:"); {
	case !s.open:
		s.answer("RCPT", "503 5.5.1 Need MAIL\r\n")
	case !ok || rcpt == "":
		s.answer("RCPT", "501 5.5.4 Syntax: RCPT TO:<address>\r\n")
	case s.answer("RCPT", "250 2.1.5 Ok\r\n") == '2':
		s.mail.Recipients = append(s.mail.Recipients, rcpt)
		s.mail.RcptArgs = append(s.mail.RcptArgs, arg)
	}
}

func (s *mxSession) data() {
	if !s.open || len(s.mail.Recipients) == 0 {
		s.answer("DATA", "503 5.5.1 No valid recipients\r\n")
		return
	}
	if s.answer("DATA", "354 End data with <CR><LF>.<CR><LF>\r\n") != '3' {
		return
	}
	if !s.readBody() {
		s.ended = true // no dot: nothing is accepted
		return
	}
	text := fmt.Sprintf("250 2.0.0 Ok: queued as Q%d\r\n", s.mx.Mailbox.nextNumber())
	s.respond(".", text, func() { s.mx.Mailbox.accept(s.mail, s.mx.OnlyHashes) })
	s.forget()
}

// readBody reads to the end of data. It reports false if the connection ended before.
func (s *mxSession) readBody() bool {
	end := bodyEnd{forms: append([]string{"\r\n.\r\n"}, s.mx.Lenient...), octets: []byte("\r\n")}
	for {
		b, ok := s.readByte()
		if !ok {
			return false
		}
		done, unread := end.push(b)
		if unread {
			_ = s.r.UnreadByte()
		}
		if done {
			s.mail.Raw = end.body()
			return true
		}
	}
}

func (s *mxSession) forget() {
	s.open = false
	s.mail = Transaction{Peer: s.mail.Peer, Helo: s.mail.Helo, TLS: s.mail.TLS}
}

// answer sends the reply to a command and gives its first digit, or 0.
func (s *mxSession) answer(verb, usual string) byte { return s.respond(verb, usual, func() {}) }

// respond is answer with something to do before a positive reply leaves.
func (s *mxSession) respond(verb, usual string, accepted func()) byte {
	s.seen[verb]++
	text := Default
	if s.mx.Reply != nil {
		text = s.mx.Reply(verb, s.seen[verb])
	}
	class := replyClass(strings.ReplaceAll(text, Default, usual), usual)
	if class == '2' {
		accepted()
	}
	for i, part := range strings.Split(text, "\x00smtptest:") {
		if i > 0 {
			var directive string
			directive, part, _ = strings.Cut(part, "\x00")
			s.obey(directive, usual)
		}
		if s.ended {
			break
		}
		_, _ = s.w.WriteString(part)
	}
	return class
}

func (s *mxSession) obey(directive, usual string) {
	name, arg, _ := strings.Cut(directive, " ")
	switch name {
	case "default":
		_, _ = s.w.WriteString(usual)
	case "close":
		_ = s.w.Flush()
		s.ended = true
	case "reset":
		_ = s.w.Flush()
		if c, ok := s.raw.(*Conn); ok {
			c.Reset()
		}
		s.ended = true
	case "delay":
		_ = s.w.Flush()
		d, _ := time.ParseDuration(arg) // made by Delay
		time.Sleep(d)
	}
}

// replyClass is the first digit of what is sent, or of the usual reply if Accept stands in it.
func replyClass(text, usual string) byte {
	if strings.Contains(text, Accept) {
		return usual[0]
	}
	for _, end := range []string{CloseConn, ResetConn} {
		text, _, _ = strings.Cut(text, end) // what stands behind is never sent
	}
	for strings.HasPrefix(text, "\x00smtptest:") {
		_, text, _ = strings.Cut(text[1:], "\x00")
	}
	if text == "" || text[0] < '0' || text[0] > '9' {
		return 0
	}
	return text[0]
}

// path returns what stands between the angle brackets after FROM: or TO:.
func path(arg, before string) (string, bool) {
	if len(arg) < len(before) || !strings.EqualFold(arg[:len(before)], before) {
		return "", false
	}
	arg = strings.TrimLeft(arg[len(before):], " ")
	if !strings.HasPrefix(arg, "<") {
		return "", false
	}
	quoted := false
	for i := 1; i < len(arg); i++ {
		switch {
		case arg[i] == '\\' && quoted:
			i++
		case arg[i] == '"':
			quoted = !quoted
		case arg[i] == '>' && !quoted:
			return arg[1:i], true
		}
	}
	return "", false
}
