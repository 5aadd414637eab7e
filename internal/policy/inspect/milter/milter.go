// Package milter asks filters that speak the milter protocol, version 2 to 6, as Sendmail and Postfix do. The conversation is the library's;
// what the filter sends goes through a [wire] of our own first, because the library trusts it: it panics at a frame of length 0, allocates
// what a length promises, keeps all of a new body that a filter sends, and waits as long as the filter says that it is busy.
//
// Filters are offered all actions, for one that may not change a message would refuse to work (Rspamd takes them unasked). What they change is
// counted and dropped. Each message has a connection of its own: filters were seen to keep something of the message before.
package milter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/d--j/go-milter"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// Port is the one that examples of filters listen on.
const Port = "8891"

// What the library would log, filters have written.
func init() { milter.LogWarning = func(string, ...any) {} }

// An Engine is a filter.
type Engine struct {
	address inspect.Address
	dial    inspect.Dial
}

// New makes an Engine of an address, such as "unix:/run/opendkim/opendkim.sock" or "tcp://127.0.0.1:8891". Dial may be nil.
func New(address string, dial inspect.Dial) (*Engine, error) {
	a, err := inspect.ParseAddress(address, Port)
	if err != nil {
		return nil, err
	}
	if a.TLS {
		return nil, fmt.Errorf("%q: milters speak no TLS", address)
	}
	return &Engine{a, dial}, nil
}

// Lingers is false: a filter hears of the end of the connection.
func (e *Engine) Lingers() bool { return false }

// Scan has a filter judge a message.
func (e *Engine) Scan(ctx context.Context, m *inspect.Mail) event.Scan {
	if what := unfit(m); what != "" {
		return inspect.Unfit(what)
	}
	w, session, err := e.open(ctx, mostAnswers+m.Octets, macros(m))
	if err != nil {
		return inspect.Failed(event.LackUnavailable, "%v", err)
	}
	defer w.stop()
	defer func() { _ = w.Close() }()
	c := &conversation{wire: w, session: session, mail: m}
	action, err := c.hold()
	if err == nil {
		_ = session.Close() // QUIT
	}
	said := verdict(action, err)
	said.Changes = w.changes
	if w.quarantine && said.State == event.Scanned && said.Action == inspect.ActionNone {
		said.Action = inspect.ActionQuarantine
	}
	return said
}

// open connects and negotiates.
func (e *Engine) open(ctx context.Context, answers int64, m milter.Macros) (*wire, *milter.ClientSession, error) {
	conn, stop, err := e.dial.Connect(ctx, e.address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	w := newWire(conn, stop, answers)
	opened := false
	defer func() {
		if !opened {
			_ = w.Close()
			stop()
		}
	}()
	client := milter.NewClient("", "", milter.WithDialer(dialed{w}), milter.WithReadTimeout(0), milter.WithWriteTimeout(0))
	session, err := client.Session(m)
	if err != nil {
		return nil, nil, err
	}
	opened = true
	return w, session, nil
}

// dialed is a dialer that has dialed.
type dialed struct{ conn net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.conn, nil }

// macros are what filters are told beside the commands, by the names that Sendmail gave them. The account is told as one that has logged in.
func macros(m *inspect.Mail) *milter.MacroBag {
	bag := milter.NewMacroBag()
	bag.Set(milter.MacroDaemonName, "kanmon")
	bag.Set(milter.MacroMTAVersion, "kanmon")
	bag.Set(milter.MacroQueueId, m.ID)
	bag.Set(milter.MacroAuthType, "PLAIN")
	bag.Set(milter.MacroAuthAuthen, m.User())
	bag.Set(milter.MacroMailAddr, m.Sender)
	if m.Source.IsValid() {
		bag.Set(milter.MacroClientAddr, m.Source.Unmap().WithZone("").String())
	}
	return bag
}

// unfit says what of a mail cannot be told to a filter, whose strings end at an octet 0; "": all can.
func unfit(m *inspect.Mail) string {
	switch {
	case hasControl(m.Sender):
		return "the sender's address: it has a control character"
	case hasControl(m.User()):
		return "the account: it has a control character"
	case hasControl(m.Helo):
		return "the name in EHLO: it has a control character"
	}
	for _, r := range m.Recipients {
		if hasControl(r) {
			return "a recipient's address: it has a control character"
		}
	}
	return ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// verdict is what a filter's last action says. A reply's text is the filter's: it is not passed on.
func verdict(action *milter.Action, err error) event.Scan {
	if tooLong, is := errors.AsType[errField](err); is {
		return inspect.Unfit(tooLong.Error())
	}
	if err != nil {
		return inspect.Failed(event.LackUnavailable, "%v", err)
	}
	said := event.Scan{State: event.Scanned, Action: inspect.ActionNone}
	switch action.Type {
	case milter.ActionSkip:
		return inspect.Failed(event.LackUnavailable, "it wants to hear no more, and has not judged")
	case milter.ActionReject:
		said.Action = inspect.ActionReject
	case milter.ActionTempFail:
		said.Action = inspect.ActionSoftReject
	case milter.ActionDiscard:
		said.Action = inspect.ActionDiscard
	case milter.ActionRejectWithCode:
		said.Action, said.Code = inspect.ActionReject, int(action.SMTPCode)
		if said.Code < 500 {
			said.Action = inspect.ActionSoftReject
		}
	}
	return said
}

// Ping negotiates, and hangs up.
func (e *Engine) Ping(ctx context.Context) error {
	w, session, err := e.open(ctx, mostAnswers, nil)
	if err != nil {
		return err
	}
	defer w.stop()
	return session.Close()
}

// Probe has it judge an ordinary message. What else a filter should find, nobody knows of it.
func (e *Engine) Probe(ctx context.Context) []inspect.Proof {
	at := e.address.String()
	if err := e.Ping(ctx); err != nil {
		return []inspect.Proof{{Address: at, What: "answers", Err: err}}
	}
	p := inspect.Proof{Address: at, What: "does not refuse an ordinary message"}
	switch said := e.Scan(ctx, inspect.ProbeMail(inspect.Ordinary())); {
	case said.State != event.Scanned:
		p.Err = errors.New(said.Why)
	case said.Action != inspect.ActionNone:
		p.Err = fmt.Errorf("its action is %q", said.Action)
	}
	return []inspect.Proof{{Address: at, What: "answers"}, p}
}

// A conversation is one message's.
type conversation struct {
	wire    *wire
	session *milter.ClientSession
	mail    *inspect.Mail
}

// hold has the whole conversation, or as much of it as the filter wants, and returns its last action.
func (c *conversation) hold() (*milter.Action, error) {
	m, in := c.mail, bufio.NewReaderSize(c.mail.Open(), 16<<10)
	var body io.Reader
	for _, step := range []func() (*milter.Action, error){
		c.connect,
		func() (*milter.Action, error) { return c.session.Helo(m.Helo) },
		func() (*milter.Action, error) { return c.session.Mail(m.Sender, c.arguments()) },
		c.recipients,
		c.session.DataStart,
		func() (action *milter.Action, err error) { action, body, err = c.header(in); return action, err },
		c.session.HeaderEnd,
		func() (*milter.Action, error) { return c.body(body) },
	} {
		if action, err := step(); err != nil || action.Type != milter.ActionContinue {
			return action, err
		}
	}
	_, action, err := c.session.End()
	return action, err
}

func (c *conversation) arguments() string {
	if c.mail.UTF8 {
		return "SMTPUTF8"
	}
	return ""
}

func (c *conversation) connect() (*milter.Action, error) {
	a := c.mail.Source.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return c.session.Conn("unknown", milter.FamilyUnknown, 0, "")
	case a.Is4():
		return c.session.Conn("["+a.String()+"]", milter.FamilyInet, 0, a.String())
	}
	return c.session.Conn("[IPv6:"+a.String()+"]", milter.FamilyInet6, 0, a.String())
}

// recipients names them, until the filter wants no more. One that it refuses it refuses for the whole message: nobody here takes one out.
func (c *conversation) recipients() (*milter.Action, error) {
	action := &milter.Action{Type: milter.ActionContinue}
	for _, r := range c.mail.Recipients {
		var err error
		if action, err = c.session.Rcpt(r, ""); err != nil || action.Type != milter.ActionContinue || c.session.Skip() {
			return action, err
		}
	}
	return action, nil
}

// body sends it in chunks, until the filter wants no more.
func (c *conversation) body(from io.Reader) (*milter.Action, error) {
	chunk := make([]byte, milter.DataSize64K)
	for sent := false; ; sent = true {
		n, err := io.ReadFull(from, chunk)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("read the message: %w", err)
		}
		if n == 0 && sent {
			return &milter.Action{Type: milter.ActionContinue}, nil
		}
		if n == 0 && !c.session.ProtocolOption(milter.OptNoBody) {
			c.wire.empty(!c.session.ProtocolOption(milter.OptNoBodyReply))
		}
		action, chunkErr := c.session.BodyChunk(chunk[:n])
		if chunkErr != nil || action.Type != milter.ActionContinue || c.session.Skip() || err != nil {
			return action, chunkErr
		}
	}
}
