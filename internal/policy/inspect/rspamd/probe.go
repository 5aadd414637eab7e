package rspamd

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// Echo is the file kanmon.lua, which Rspamd must have for most of [Engine.Probe] to be told.
//
//go:embed kanmon.lua
var Echo string

// echo is the symbol of kanmon.lua, and the header field that asks for it.
const (
	echo      = "KANMON_ECHO"
	echoField = "X-Kanmon-Probe: 1\r\n"
)

// Errors of proofs.
var (
	errNoEcho = errors.New("it has no kanmon.lua in lua.local.d, so that nobody can tell")
	errGTUBE  = errors.New("it takes it for no spam")
)

// Probe has it refuse the text that every spam scanner knows, let an ordinary message pass, and say which settings and envelope it sees.
func (e *Engine) Probe(ctx context.Context) []inspect.Proof {
	at := e.address.String()
	if err := e.Ping(ctx); err != nil {
		return []inspect.Proof{{Address: at, What: "answers", Err: err}}
	}
	proofs := []inspect.Proof{{Address: at, What: "answers"}, {Address: at, What: "refuses GTUBE", Err: e.refuses(ctx)}}
	mail := inspect.ProbeMail(inspect.Ordinary(echoField))
	r, said := e.ask(ctx, mail)
	if r == nil {
		return append(proofs, inspect.Proof{Address: at, What: "judges an ordinary message", Err: errors.New(said.Why)})
	}
	said = r.scan(e.s.TaskTimeout)
	proofs = append(proofs, inspect.Proof{Address: at, What: "does not refuse an ordinary message", Err: mayPass(said)})
	seen, is := r.Symbols[echo]
	for _, p := range e.expected(mail) {
		proof := inspect.Proof{Address: at, What: p.what, Err: errNoEcho}
		if is {
			proof.Err = p.in(seen.Options)
		}
		proofs = append(proofs, proof)
	}
	return proofs
}

func (e *Engine) refuses(ctx context.Context) error {
	said := e.Scan(ctx, inspect.ProbeMail(inspect.GTUBE()))
	switch {
	case said.State != event.Scanned:
		return errors.New(said.Why)
	case said.Action != inspect.ActionReject:
		return errGTUBE
	}
	return nil
}

func mayPass(said event.Scan) error {
	switch {
	case said.State != event.Scanned:
		return errors.New(said.Why)
	case said.Action == inspect.ActionReject, said.Action == inspect.ActionDiscard, said.Action == inspect.ActionSoftReject:
		return fmt.Errorf("its action is %q, with %.2f of %.2f points", said.Action, said.Score, said.Threshold)
	}
	return nil
}

// An expectation is one of what Rspamd should see.
type expectation struct {
	what, key, value string
}

func (e *Engine) expected(m *inspect.Mail) []expectation {
	list := []expectation{
		{"sees the account (User)", "user", m.User()},
		{"sees the MSA's address (IP)", "ip", m.Source.String()},
		{"sees the sender (From)", "from", m.Sender},
		{"sees all recipients (Rcpt)", "rcpts", fmt.Sprint(len(m.Recipients))},
	}
	if e.s.SettingsID != "" {
		list = append(list, expectation{"has the settings " + e.s.SettingsID + " in force (Settings-ID)", "settings", e.s.SettingsID})
	}
	return list
}

// in looks for what is expected in what was seen.
func (x expectation) in(options []string) error {
	for _, o := range options {
		if value, is := strings.CutPrefix(o, x.key+"="); is {
			if value == x.value {
				return nil
			}
			return fmt.Errorf("it sees %.100q, not %q", value, x.value)
		}
	}
	return errNoEcho
}
