package traffic

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Steps of a session, as outcomes name them.
const (
	StepConnect  = "connect"
	StepBanner   = "banner"
	StepHello    = "ehlo"
	StepSTARTTLS = "starttls"
	StepMail     = "mail"
	StepRcpt     = "rcpt"
	StepData     = "data"
	StepDot      = "dot"
)

// An Outcome is what became of a mail, as its MSA saw it.
type Outcome struct {
	Step    string    // where it ended
	Code    int       // the reply that decided; 0: none came
	Text    string    // of that reply, or why none came
	Began   time.Time // when the mail was due
	DotSent time.Time // zero: it was not
	Ended   time.Time
}

// Accepted says whether the MSA may forget the mail.
func (o Outcome) Accepted() bool { return o.Step == StepDot && o.Code/100 == 2 }

// Options of a session.
type Options struct {
	Name     string        // in EHLO
	TLS      *tls.Config   // used where STARTTLS is offered; nil: never
	Patience time.Duration // for each reply
	Stepwise bool          // one command at a time
	HalfShut bool          // the sending side is closed behind the first dot
}

// A Session is an SMTP session of an MSA.
type Session struct {
	conn     net.Conn
	in       *bufio.Reader
	options  Options
	keywords map[string]bool
}

// Open reads the banner and says EHLO, and does so again inside TLS. An error is an [OpenError].
func Open(conn net.Conn, options Options) (*Session, error) {
	s := &Session{conn: conn, in: bufio.NewReader(conn), options: options}
	if _, err := s.want(StepBanner, 220, ""); err != nil {
		return nil, err
	}
	if err := s.hello(); err != nil {
		return nil, err
	}
	if options.TLS == nil || !s.keywords["STARTTLS"] {
		return s, nil
	}
	if _, err := s.want(StepSTARTTLS, 220, "STARTTLS\r\n"); err != nil {
		return nil, err
	}
	secure := tls.Client(conn, options.TLS)
	if err := secure.Handshake(); err != nil {
		return nil, &OpenError{Step: StepSTARTTLS, Text: err.Error()}
	}
	s.conn, s.in = secure, bufio.NewReader(secure)
	return s, s.hello()
}

// An OpenError says why a session could not be opened.
type OpenError struct {
	Step string
	Code int // 0: no reply came
	Text string
}

// Error implements error.
func (e *OpenError) Error() string { return fmt.Sprintf("%s: %d %s", e.Step, e.Code, e.Text) }

// Unopened is the outcome of a mail whose session could not be opened.
func Unopened(began time.Time, err error) Outcome {
	o := Outcome{Step: StepConnect, Began: began, Ended: time.Now(), Text: err.Error()}
	var open *OpenError
	if errors.As(err, &open) {
		o.Step, o.Code, o.Text = open.Step, open.Code, open.Text
	}
	return o
}

func (s *Session) hello() error {
	text, err := s.want(StepHello, 250, "EHLO "+s.options.Name+"\r\n")
	s.keywords = make(map[string]bool)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line[min(4, len(line)):]); len(fields) > 0 {
			s.keywords[strings.ToUpper(fields[0])] = true
		}
	}
	return err
}

// want says something and reads a reply that must have a code.
func (s *Session) want(step string, code int, say string) (string, error) {
	got, text, err := s.ask(say)
	if err != nil {
		return "", &OpenError{Step: step, Text: err.Error()}
	}
	if got != code {
		return "", &OpenError{Step: step, Code: got, Text: text}
	}
	return text, nil
}

func (s *Session) ask(say string) (code int, text string, err error) {
	if err := s.write([]byte(say)); err != nil {
		return 0, "", err
	}
	return s.read()
}

func (s *Session) write(octets []byte) error {
	_ = s.conn.SetDeadline(time.Now().Add(s.options.Patience))
	_, err := s.conn.Write(octets)
	return err
}

// read reads one reply.
func (s *Session) read() (code int, text string, err error) {
	_ = s.conn.SetDeadline(time.Now().Add(s.options.Patience))
	var all strings.Builder
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		all.WriteString(line)
		if len(line) < 4 {
			return 0, "", fmt.Errorf("%q is no line of a reply", line)
		}
		if code, err = strconv.Atoi(line[:3]); err != nil {
			return 0, "", fmt.Errorf("%q is no line of a reply", line)
		}
		if line[3] != '-' {
			return code, strings.TrimSpace(all.String()), nil
		}
	}
}

// Send sends a mail that was due at a time. After an outcome without a code the session is of no more use.
func (s *Session) Send(m Mail, due time.Time) Outcome {
	o := Outcome{Began: due}
	s.envelope(m, &o)
	if o.Step == StepData && o.Code == 354 {
		o.Step, o.Code = StepDot, 0
		if err := s.write(m.stuffed()); err != nil {
			o.Text = err.Error()
		} else {
			o.DotSent = time.Now()
			if shut, ok := s.conn.(interface{ CloseWrite() error }); ok && s.options.HalfShut {
				_ = shut.CloseWrite()
			}
			s.decide(&o)
		}
	}
	o.Ended = time.Now()
	return o
}

// envelope says MAIL, RCPT and DATA. It ends with the reply to DATA or the first that decides otherwise.
func (s *Session) envelope(m Mail, o *Outcome) {
	commands := []string{"MAIL FROM:<" + m.From + ">\r\n"}
	steps := []string{StepMail}
	for _, to := range m.To {
		commands, steps = append(commands, "RCPT TO:<"+to+">\r\n"), append(steps, StepRcpt)
	}
	commands, steps = append(commands, "DATA\r\n"), append(steps, StepData)
	pipelined := s.keywords["PIPELINING"] && !s.options.Stepwise
	if pipelined {
		if err := s.write([]byte(strings.Join(commands, ""))); err != nil {
			o.Step, o.Text = StepMail, err.Error()
			return
		}
	}
	var refused Outcome
	for i, step := range steps {
		o.Step, o.Code = step, 0
		if !pipelined {
			if err := s.write([]byte(commands[i])); err != nil {
				o.Text = err.Error()
				return
			}
		}
		if s.decide(o); o.Code == 0 {
			return
		}
		if o.Code >= 400 && refused.Code == 0 {
			refused = *o
			if !pipelined {
				break
			}
		}
	}
	if refused.Code == 0 {
		return
	}
	if o.Code == 354 { // RFC 2920 §3.1: a lone dot delivers nothing, whatever was accepted
		s.giveUp()
	}
	*o = refused
}

// giveUp leaves a body that one refused recipient makes unwanted: all recipients of a mail share its fate here.
func (s *Session) giveUp() { _ = s.conn.Close() }

func (s *Session) decide(o *Outcome) {
	code, text, err := s.read()
	if err != nil {
		o.Code, o.Text = 0, err.Error()
		return
	}
	o.Code, o.Text = code, text
}

// Leave begins a mail and hangs up: behind MAIL, in the middle of the body (StepData), or behind the dot, whose reply is not waited for.
// The outcome is that of the step which came last.
func (s *Session) Leave(m Mail, at string, due time.Time) Outcome {
	defer s.Close()
	o := Outcome{Began: due, Text: "left"}
	if at == StepMail {
		_, _, _ = s.ask("MAIL FROM:<" + m.From + ">\r\n")
		o.Step, o.Ended = StepMail, time.Now()
		return o
	}
	if s.envelope(m, &o); o.Step == StepData && o.Code == 354 {
		octets := m.stuffed()
		if at == StepData {
			octets = octets[:len(octets)/2]
		} else {
			o.Step = StepDot
		}
		_ = s.write(octets)
		o.Code, o.Text = 0, "left"
	}
	o.Ended = time.Now()
	return o
}

// Reset gives up the transaction. It says whether the session can go on.
func (s *Session) Reset() bool {
	code, _, err := s.ask("RSET\r\n")
	return err == nil && code == 250
}

// Quit ends the session.
func (s *Session) Quit() {
	_, _, _ = s.ask("QUIT\r\n")
	_ = s.conn.Close()
}

// Close cuts the session.
func (s *Session) Close() { _ = s.conn.Close() }
