package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kanmon/internal/admin"
	"kanmon/internal/admin/explain"
)

// What an operator can have done about the session that is chosen in "kanmon top": each change only behind a question, and with a reason that was typed.

// orders is who carries them out.
type orders interface {
	Carry(ctx context.Context, of admin.Subject, o admin.Order) (admin.SenderDetail, error)
	Suspend(ctx context.Context, ip netip.Addr, provider string, d time.Duration, reason string) ([]admin.Standing, error)
	Sender(ctx context.Context, of admin.Subject) (admin.SenderDetail, error)
}

// orderedFor is how long what is ordered here lasts: whoever wants another time types the command, which is named behind it.
const orderedFor = 2 * time.Hour

// A question stands before an order.
type question struct {
	text   string
	reason string // as far as it is typed
	do     func(ctx context.Context, reason string) (said string, err error)
}

// An answered is what has come of an order, or of asking why.
type answered struct {
	said  string
	lines []string // of why
	title string
	err   error
}

// orderPatience is for kanmon to answer.
const orderPatience = 10 * time.Second

// keyOfOrder is a key that asks for something to be done about the chosen session.
func (m *topModel) keyOfOrder(name string) tea.Cmd {
	if m.orders == nil {
		return nil
	}
	s := m.shown
	if s == nil {
		s = m.chosenSession()
	}
	if s == nil {
		m.said = "choose a held session first: up, down"
		return nil
	}
	one := *s
	switch of := (admin.Subject{Tenant: one.Tenant, Account: one.Account}); name {
	case "b":
		m.asked = blockOf(m.orders, of)
	case "i":
		m.asked = suspensionOf(m.orders, &one)
	case "e":
		return m.why(of)
	}
	if m.asked == nil {
		m.said = "kanmon does not know whose it is yet"
	}
	return nil
}

// blockOf asks whether all mail of a sender is to wait; nil: it is not known whose it is.
func blockOf(to orders, of admin.Subject) *question {
	if of.Tenant == "" {
		return nil
	}
	whose := "tenant " + of.Tenant
	undo := "kanmon tenant unblock " + of.Tenant
	if of.Account != "" {
		whose = "account " + of.Account + " of " + of.Tenant
		undo = "kanmon account unblock " + of.Account + " --tenant " + of.Tenant
	}
	return &question{
		text: fmt.Sprintf("block %s for %s: all of its mail waits. Why?", whose, span(orderedFor)),
		do: func(ctx context.Context, reason string) (string, error) {
			_, err := to.Carry(ctx, of, admin.Order{Do: "block", Until: time.Now().Add(orderedFor), Reason: reason})
			return "blocked; undo: " + undo + " --reason …", err
		},
	}
}

// suspensionOf asks whether a sending IP is not to be used at a provider; nil: the session leaves from none that is configured.
func suspensionOf(to orders, s *admin.Session) *question {
	if !s.SendingIP.IsValid() {
		return nil
	}
	ip, provider := s.SendingIP, s.Provider
	at, flag := " at "+provider, " --provider "+provider
	if provider == "" {
		at, flag = " everywhere", ""
	}
	return &question{
		text: fmt.Sprintf("suspend %s%s for %s. Why?", ip, at, span(orderedFor)),
		do: func(ctx context.Context, reason string) (string, error) {
			_, err := to.Suspend(ctx, ip, provider, orderedFor, reason)
			return fmt.Sprintf("suspended; undo: kanmon ip resume %s%s", ip, flag), err
		},
	}
}

// why asks how a sender is treated, and why.
func (m *topModel) why(of admin.Subject) tea.Cmd {
	if of.Tenant == "" {
		m.said = "kanmon does not know whose it is yet"
		return nil
	}
	from := m.orders
	return func() tea.Msg {
		ctx, end := context.WithTimeout(context.Background(), orderPatience)
		defer end()
		x, err := from.Sender(ctx, of)
		if err != nil {
			return answered{err: err}
		}
		return answered{title: "WHY " + cmp.Or(of.Account, of.Tenant) + " is treated so", lines: explain.Sender(&x)}
	}
}

// answers takes a key while a question stands: a reason is typed, Enter carries the order out, Esc does not.
func (m *topModel) answers(name, text string) tea.Cmd {
	const most = 200
	q := m.asked
	switch name {
	case "esc":
		m.asked, m.said = nil, "nothing was done"
	case "enter":
		if strings.TrimSpace(q.reason) == "" {
			return nil // without a reason nothing is done
		}
		m.asked = nil
		return func() tea.Msg {
			ctx, end := context.WithTimeout(context.Background(), orderPatience)
			defer end()
			said, err := q.do(ctx, strings.TrimSpace(q.reason))
			return answered{said: said, err: err}
		}
	case "backspace":
		if runes := []rune(q.reason); len(runes) > 0 {
			q.reason = string(runes[:len(runes)-1])
		}
	default:
		if len(q.reason)+len(text) <= most {
			q.reason += text
		}
	}
	return nil
}

// came takes what has come of it.
func (m *topModel) came(of answered) {
	switch {
	case of.err != nil:
		m.said = "not done: " + of.err.Error()
	case of.lines != nil:
		m.reasons = &of
	default:
		m.said = of.said
	}
}

// asking is the last line while a question stands. What is typed is seen, whatever the width.
func (m *topModel) asking() string {
	tail := " " + printable(m.asked.reason) + "_  (Enter does it, Esc does not)"
	return ansi.Truncate(printable(m.asked.text), max(10, m.width-ansi.StringWidth(tail)), "…") + tail
}

// drawReasons draws why a sender is treated as it is.
func (m *topModel) drawReasons(s *screen) string {
	s.title(printable(m.reasons.title))
	for _, sentence := range m.reasons.lines {
		for line := range strings.SplitSeq(ansi.Wordwrap(printable(sentence), max(20, m.width-2), ""), "\n") {
			s.line("  " + line)
		}
	}
	s.line("")
	s.line("Any key goes back.")
	return strings.Join(s.lines[:min(len(s.lines), s.height)], "\n")
}
