package trial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
)

// Bounds of a dialogue.
const (
	dialTime  = 30 * time.Second // as of a session
	replyTime = 2 * time.Minute  // a tarpit is to be seen; who sees nothing for longer knows enough
	callTime  = 5 * time.Minute  // all of it
	quitTime  = 5 * time.Second  // nothing hangs on the answer
	maxLine   = 512              // octets of a line of a reply that are shown
	maxLines  = 8
)

// A Dialer connects from a sending IP.
type Dialer interface {
	DialFrom(ctx context.Context, from netip.Addr, destination netip.AddrPort) (session.Outbound, error)
}

// A Caller asks MXs.
type Caller struct {
	Dialer Dialer
	TLS    *tls.Config // toward MXs

	// May says whether an MX that has shown this may hear of the sender and the recipient, as it may with mail. Nil: it may.
	May func(context.Context, *Call, session.TrustLeg) error
}

// A Call is what is asked of an MX.
type Call struct {
	From      netip.Addr
	Name      string // of the sending IP, in EHLO
	MX        netip.AddrPort
	TLS       session.TLSRule // as for mail that goes there
	Sender    string          // as [Path] gives it; "": nothing is said behind EHLO
	Recipient string          // likewise; "": no RCPT is said
}

// A Step is a command and its answer.
type Step struct {
	Phase event.Phase
	Said  string // the command; "": none, it is a step of the connection
	Took  time.Duration
	Code  int    // 0: there was no reply
	Text  string // the reply with its codes, lines separated by \n: as it came, a stranger's
	Shown string // the same, as people may see it
	TLS   string // behind a handshake: version and cipher suite
}

// Refused reports whether the reply is a refusal.
func (s *Step) Refused() bool { return s.Code >= 400 }

// Call has the dialogue and tells of each step. The error is what ended it without a reply that says so; nil where it came to its end.
func (c *Caller) Call(ctx context.Context, of *Call, tell func(Step)) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	t := &talk{of: of, tell: tell, tls: c.TLS, over: ctx.Done()}
	t.may = func(l session.TrustLeg) error {
		if c.May == nil {
			return nil
		}
		return c.May(ctx, of, l)
	}
	if err := t.dial(ctx, c.Dialer); err != nil {
		return err
	}
	defer t.close()
	stop := context.AfterFunc(ctx, func() { _ = t.base.SetDeadline(past) })
	defer stop()
	err := t.converse()
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("given up after %s: %w", callTime, context.Cause(ctx))
	}
	return err
}

// A talk is one dialogue.
type talk struct {
	of   *Call
	tell func(Step)
	tls  *tls.Config

	base   net.Conn
	conn   net.Conn // base, or TLS over it
	in     *smtp.Reader
	closed func()
	may    func(session.TrustLeg) error // [Caller.May]

	offersTLS bool // in clear
	inTLS     bool
	goodbye   bool            // the MX has said it
	over      <-chan struct{} // closed when it is given up
}

func (t *talk) dial(ctx context.Context, dialer Dialer) error {
	dialCtx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	begun := time.Now()
	out, err := dialer.DialFrom(dialCtx, t.of.From, t.of.MX)
	t.tell(Step{Phase: event.PhaseDial, Took: time.Since(begun)})
	if err != nil {
		return fmt.Errorf("no connection: %w", err)
	}
	t.base, t.conn, t.in, t.closed = out.Conn, out.Conn, smtp.NewReader(out.Conn), out.Closed
	return nil
}

func (t *talk) close() {
	_ = t.conn.Close()
	t.in.Close()
	if t.closed != nil {
		t.closed()
	}
}

// converse says all there is to say. DATA, and whatever else would bring a message, is not among it.
func (t *talk) converse() error {
	banner, err := t.hear(event.PhaseBanner, "")
	if err != nil || banner.Code != 220 {
		return t.leave(err)
	}
	if ok, err := t.hello(event.PhaseEHLO); err != nil || !ok {
		return t.leave(err)
	}
	if t.offersTLS && t.of.TLS != session.TLSOff {
		if ok, err := t.startTLS(); err != nil || !ok {
			return t.leave(err)
		}
	}
	if must := t.of.TLS == session.TLSRequire || t.of.TLS == session.TLSVerify; must && !t.inTLS {
		return t.leave(errors.New("the MX offers no TLS, and a [[destination]] wants it: no mail would be sent"))
	}
	return t.leave(t.envelope())
}

// envelope says MAIL and RCPT, as far as they are asked for, and takes them back.
func (t *talk) envelope() error {
	if t.of.Sender == "" {
		return nil
	}
	if err := t.may(t.shows()); err != nil {
		_ = t.leave(nil) // it is told no more than that
		return err
	}
	mail, err := t.say(event.PhaseMail, "MAIL FROM:"+t.of.Sender)
	if err != nil || mail.Code/100 != 2 {
		return err
	}
	if t.of.Recipient != "" {
		if _, err := t.say(event.PhaseRcpt, "RCPT TO:"+t.of.Recipient); err != nil || t.goodbye {
			return err
		}
	}
	_, err = t.say(event.PhaseReset, "RSET")
	return err
}

// shows is what the MX has shown.
func (t *talk) shows() session.TrustLeg {
	l := session.TrustLeg{Offered: t.offersTLS, MX: t.of.MX, Now: time.Now()}
	if over, is := t.conn.(*tls.Conn); is {
		state := over.ConnectionState()
		l.TLS, l.ServerName = &state, state.ServerName
	}
	return l
}

// leave says QUIT to who still listens.
func (t *talk) leave(err error) error {
	if err != nil || t.goodbye {
		return err
	}
	_, _ = t.say(event.PhaseQuit, "QUIT") // an MX that has closed by then has lost nothing
	return nil
}

// hello reports whether the MX has answered EHLO with yes.
func (t *talk) hello(phase event.Phase) (ok bool, err error) {
	step, err := t.say(phase, "EHLO "+t.of.Name)
	if err != nil || step.Code/100 != 2 {
		return false, err
	}
	t.offersTLS = false
	for line := range strings.Lines(step.Text) {
		const codes = len("250-")
		if len(line) > codes {
			t.offersTLS = t.offersTLS || strings.EqualFold(strings.TrimSpace(line[codes:]), "STARTTLS")
		}
	}
	return true, nil
}

// startTLS reports whether the dialogue goes on inside TLS. kanmon would send mail in clear where a handshake fails, on another connection;
// a try says what failed.
func (t *talk) startTLS() (ok bool, err error) {
	step, err := t.say(event.PhaseStartTLS, "STARTTLS")
	if err != nil {
		return false, err
	}
	if step.Code/100 != 2 {
		return !t.goodbye, nil // in clear, as mail would go
	}
	if !t.in.Empty() { // CVE-2011-0411, mirrored
		return false, errors.New("the MX has sent octets behind its answer to STARTTLS, ahead of the handshake")
	}
	begun := time.Now()
	over := tls.Client(t.base, t.tls)
	t.arm(replyTime)
	err = over.Handshake()
	took := time.Since(begun)
	if err != nil {
		t.tell(Step{Phase: event.PhaseHandshake, Took: took})
		return false, fmt.Errorf("the handshake failed: %w", err)
	}
	state := over.ConnectionState()
	t.tell(Step{Phase: event.PhaseHandshake, Took: took, TLS: tls.VersionName(state.Version) + ", " + tls.CipherSuiteName(state.CipherSuite)})
	t.in.Close()
	t.conn, t.in, t.inTLS = over, smtp.NewReader(over), true
	return t.hello(event.PhaseEHLOTLS)
}

// past ends whatever waits.
var past = time.Unix(1, 0)

// arm bounds the next step. A dialogue that has been given up stays so.
func (t *talk) arm(d time.Duration) {
	_ = t.base.SetDeadline(time.Now().Add(d))
	select {
	case <-t.over:
		_ = t.base.SetDeadline(past)
	default:
	}
}

func (t *talk) say(phase event.Phase, line string) (Step, error) {
	t.arm(quitTime)
	if _, err := t.conn.Write([]byte(line + "\r\n")); err != nil {
		return Step{}, fmt.Errorf("%s: %w", phase, err)
	}
	return t.hear(phase, line)
}

// hear reads the reply to what was said.
func (t *talk) hear(phase event.Phase, said string) (Step, error) {
	begun := time.Now()
	if t.arm(replyTime); phase == event.PhaseQuit {
		t.arm(quitTime)
	}
	var reply smtp.Reply
	defer reply.Reset()
	for {
		whole, err := t.in.Reply(&reply)
		if err == nil && !whole {
			err = t.in.Fill()
		}
		switch {
		case err != nil:
			t.tell(Step{Phase: phase, Said: said, Took: time.Since(begun)})
			return Step{}, fmt.Errorf("%s: %w", phase, noReply(err))
		case whole:
			s := Step{Phase: phase, Said: said, Took: time.Since(begun), Code: reply.Code, Text: textOf(&reply)}
			s.Shown = shown(s.Text)
			t.goodbye = s.Code == 421
			t.tell(s)
			return s, nil
		}
	}
}

func noReply(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", replyTime, err)
	}
	return err
}

// textOf writes a reply with its code on each line.
func textOf(r *smtp.Reply) string {
	lines := strings.Split(string(r.Text()), "\n")
	for i, line := range lines {
		parted := "-"
		if i == len(lines)-1 {
			parted = " "
		}
		lines[i] = fmt.Sprintf("%d%s%s", r.Code, parted, line)
	}
	return strings.Join(lines, "\n")
}

// shown makes a reply fit to be kept and seen.
func shown(text string) string {
	lines := strings.Split(text, "\n")
	left := len(lines) - maxLines
	lines = lines[:min(len(lines), maxLines)]
	for i := range lines {
		lines[i] = event.Printable(lines[i], maxLine)
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("(%d more)", left))
	}
	return strings.Join(lines, "\n")
}
