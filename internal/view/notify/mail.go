package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"kanmon/internal/config"
	"kanmon/internal/event"
)

// mailTime is what a smarthost, or sendmail, is given for a message.
const mailTime = 60 * time.Second

// A mailer sends events by mail, by a way that does not lead through kanmon: a message about mail that waits must not wait with it.
type mailer struct {
	cfg      *config.NotifyMail
	password string
	words    *words
}

func newMail(m *config.NotifyMail, words *words) (func(context.Context, *Event) (string, error), error) {
	by := &mailer{cfg: m, words: words}
	if m.PasswordFile != "" {
		lines, err := secretsIn(m.PasswordFile)
		if err != nil {
			return nil, err
		}
		if len(lines) != 1 {
			return nil, fmt.Errorf("%s has %d lines; want one with the password", m.PasswordFile, len(lines))
		}
		by.password = lines[0]
	}
	return by.send, nil
}

func (m *mailer) send(ctx context.Context, e *Event) (answer string, err error) {
	msg, err := m.message(e)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	if m.cfg.Sendmail != "" {
		return "taken by " + m.cfg.Sendmail, m.pipe(ctx, msg)
	}
	client, err := m.client()
	if err != nil {
		return "", err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return "", fmt.Errorf("%s: %s", m.cfg.Smarthost, event.Printable(err.Error(), mostSaid))
	}
	return "taken by " + m.cfg.Smarthost, nil
}

// mostSaid bounds what is shown of what a smarthost, or a program, says.
const mostSaid = 500

func (m *mailer) message(e *Event) (*mail.Msg, error) {
	options := []mail.MsgOption{mail.WithNoDefaultUserAgent()}
	if m.words.wide {
		options = append(options, mail.WithEncoding(mail.EncodingB64)) // shorter, where nothing of it is ASCII
	}
	msg := mail.NewMsg(options...)
	if err := errors.Join(msg.From(m.cfg.From), msg.To(m.cfg.To...)); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(m.cfg.From, "@")
	title, text := m.words.mail(e)
	msg.Subject(title)
	msg.SetMessageIDWithValue(e.ID + "@" + domain) // the same, however often it is tried
	msg.SetDateWithValue(e.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation, no list, answers it
	msg.SetGenHeader("X-Kanmon-Event", string(e.Type))
	msg.SetBodyString(mail.TypeTextPlain, text)
	return msg, nil
}

func (m *mailer) client() (*mail.Client, error) {
	host, number, err := net.SplitHostPort(m.cfg.Smarthost)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	_, own, _ := strings.Cut(m.cfg.From, "@")
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(mailTime), mail.WithHELO(own), mail.WithoutNoop()}
	switch tls := m.cfg.TLS; {
	case tls == config.MailTLSImplicit, tls == config.MailTLSByPort && port == 465:
		options = append(options, mail.WithSSL())
	case tls == config.MailTLSNone:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.cfg.User != "" {
		login := mail.SMTPAuthAutoDiscover
		if m.cfg.TLS == config.MailTLSNone {
			login = mail.SMTPAuthPlainNoEnc // the configuration allows it on this host alone
		}
		options = append(options, mail.WithSMTPAuth(login), mail.WithUsername(m.cfg.User), mail.WithPassword(m.password))
	}
	return mail.NewClient(host, options...)
}

// pipe gives the message to a program.
func (m *mailer) pipe(ctx context.Context, msg *mail.Msg) error {
	var text, said bytes.Buffer
	if _, err := msg.WriteTo(&text); err != nil {
		return err
	}
	args := append([]string{"-i", "-f", m.cfg.From, "--"}, m.cfg.To...)
	program := exec.CommandContext(ctx, m.cfg.Sendmail, args...) //nolint:gosec // the operator names it
	program.Stdin, program.Stdout, program.Stderr = bytes.NewReader(bytes.ReplaceAll(text.Bytes(), []byte("\r\n"), []byte("\n"))), &said, &said
	program.WaitDelay = time.Second
	if err := program.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", m.cfg.Sendmail, err, event.Printable(strings.TrimSpace(said.String()), mostSaid))
	}
	return nil
}
