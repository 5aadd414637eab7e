package policy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
	"kanmon/test/handclock"
)

// A rig is a Policy whose clock the test turns, between sessions that the test plays.
type rig struct {
	*Policy
	*handclock.Clock
	t   testing.TB
	out strings.Builder // what is said to kanmon's log; to be read behind Close
}

var (
	mx    = netip.MustParseAddrPort("192.0.2.25:25")
	other = netip.MustParseAddrPort("198.51.100.25:25")
	ours  = netip.MustParseAddr("203.0.113.10")
)

// tenants are found by the third octet of the source: acme has 1, blue 2; behind 3 the sender's domain tells.
func ownerOf(origin session.Origin, sender *string) *whose.Owner {
	domain := ""
	if sender != nil {
		domain = (*sender)[strings.IndexByte(*sender, '@')+1:]
	}
	byDomain := map[string]string{"acme.example": "acme", "blue.example": "blue"}[domain]
	switch origin.Source.Addr().As4()[2] {
	case 1:
		id := &whose.Owner{Tenant: "acme"}
		if byDomain == "blue" {
			id.Spoofed = "blue"
		}
		return id
	case 2:
		return &whose.Owner{Tenant: "blue"}
	case 3:
		return &whose.Owner{Tenant: byDomain, Later: sender == nil}
	}
	return &whose.Owner{}
}

// behind gives the tenants that ownerOf may name.
func behind(origin session.Origin) []string {
	return [][]string{1: {"acme"}, 2: {"blue"}, 3: {"acme", "blue"}, 9: nil}[origin.Source.Addr().As4()[2]]
}

func settingsWith(limits ...*Limit) Settings {
	return Settings{
		Identify: ownerOf, Behind: behind, Tenants: []string{"acme", "blue"}, Limits: limits,
		Provider: func(a netip.Addr) string { return "mx:" + a.String() },
	}
}

func newRig(t testing.TB, s Settings, store Store) *rig {
	t.Helper()
	return newRigAt(t, s, store, time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC))
}

func newRigAt(t testing.TB, s Settings, store Store, at time.Time) *rig {
	t.Helper()
	r := &rig{t: t, Clock: handclock.At(at)}
	var err error
	if r.Policy, err = New(Options{Settings: s, Clock: r.Now, Store: store, Log: slog.New(slog.NewTextHandler(&r.out, nil))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// rigOf is a rig around a Policy that has a clock of its own.
func rigOf(t testing.TB, p *Policy) *rig {
	return &rig{Policy: p, t: t, Clock: handclock.At(time.Now())}
}

// rule gives a limit of messages an hour; change it for others.
func rule(name string, scope limit.Scope, amount int64, change ...func(*limit.Rule)) *Limit {
	def := limit.Rule{Name: name, Scope: scope, Amount: amount, Per: time.Hour, Burst: amount}
	for _, c := range change {
		c(&def)
	}
	compiled, err := limit.Compile(def)
	if err != nil {
		panic(err)
	}
	return &Limit{Limit: compiled, Enforce: true}
}

// A visit is a session of an MSA.
type visit struct {
	session.Pass
	r     *rig
	notes []event.Note
}

func (r *rig) enter(source string, to netip.AddrPort) (*visit, session.Decision) {
	v := &visit{Pass: r.Gate().Enter(session.Origin{Source: netip.AddrPortFrom(netip.MustParseAddr(source), 40000), Destination: to}), r: r}
	return v, v.ask(session.Question{Step: event.StepConnect})
}

// ask asks as a session does: held back, it asks again.
func (v *visit) ask(q session.Question) session.Decision {
	q.Sender = mailbox.Form([]byte(q.Sender)) // as a session gives it
	for {
		d := v.Ask(q)
		v.notes = append(v.notes, d.Notes...)
		if !d.Again {
			return d
		}
		v.r.Pass(d.Delay)
	}
}

// A sent is what became of a mail.
type sent struct {
	refused session.Decision // the first refusal at MAIL, if there was one
	pool    string
	rcpts   int // let pass
}

// send plays a mail. The reply to a RCPT, or to the dot where its key is "", is by the recipient's name: a class, or "now" and a class
// where it is temporary; without one it is accepted.
func (v *visit) send(from string, to []string, replies map[string]string) (s sent) {
	d := v.ask(session.Question{Step: event.StepMail, Sender: from})
	s.pool = d.Pool
	if d.Refuse != session.RefuseNot {
		s.refused = d
		return s
	}
	if d = v.ask(session.Question{Step: event.StepLeave, SendingIP: ours}); d.Refuse != session.RefuseNot {
		s.refused = d
		return s
	}
	v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
	accepted := 0
	for _, rcpt := range to {
		if d := v.ask(session.Question{Step: event.StepRecipient, Recipient: rcpt}); d.Refuse != session.RefuseNot {
			continue
		}
		s.rcpts++
		n := news(event.StepRecipient, replies[rcpt])
		if n.Code == 250 {
			accepted++
		}
		v.Tell(n)
	}
	if accepted > 0 {
		n := news(event.StepMessage, replies[""])
		n.Octets, n.Recipients = 1000, accepted
		v.Tell(n)
	}
	v.Tell(session.News{Step: event.StepOver})
	return s
}

func news(step event.Step, class string) session.News {
	n := session.News{Step: step, Code: 250, SendingIP: ours}
	if class != "" {
		n.Code = 550
		class, now := strings.CutPrefix(class, "now ")
		if now { // put off
			n.Code = 450
		}
		if err := n.Class.UnmarshalText([]byte(class)); err != nil {
			panic(err)
		}
		n.Text = fmt.Appendf(nil, "%d %d.0.0 %s", n.Code, n.Code/100, n.Class)
	}
	return n
}

// memory is a Store.
type memory struct {
	mu      sync.Mutex
	state   *State
	changes []Change
}

func (m *memory) Load() (State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == nil {
		return State{}, false, nil
	}
	return *m.state, true, nil
}

func (m *memory) Keep(_ context.Context, changes []Change, part *Part) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes = append(m.changes, changes...)
	if m.state == nil {
		m.state = &State{}
	}
	m.state.follow(part)
	return nil
}

// clone gives a state that may change by itself.
func (s State) clone() State {
	s.Containment.Subjects, s.Limits.Debts = slices.Clone(s.Containment.Subjects), slices.Clone(s.Limits.Debts)
	s.Given, s.Marks = slices.Clone(s.Given), slices.Clone(s.Marks)
	return s
}

// follow brings a state up to date with a part of it.
func (s *State) follow(part *Part) {
	if c := part.Senders; c.Version != 0 {
		all := slices.DeleteFunc(slices.Clone(s.Containment.Subjects), func(old contain.Saved) bool { return slices.Contains(c.Gone, old.Subject) })
		for _, one := range c.Subjects {
			all = append(slices.DeleteFunc(all, func(old contain.Saved) bool { return old.Subject == one.Subject }), one)
		}
		s.Containment = c.Snapshot
		s.Containment.Subjects = all
	}
	s.Limits.Version = limit.SnapshotVersion
	for _, d := range part.Debts {
		s.Limits.Debts = slices.DeleteFunc(s.Limits.Debts, func(old limit.Debt) bool {
			return old.Limit == d.Limit && old.Measure == d.Measure && old.Of == d.Of && old.To == d.To
		})
		if d.Owes > 0 {
			s.Limits.Debts = append(s.Limits.Debts, d)
		}
	}
	for _, g := range part.Given {
		s.Given = slices.DeleteFunc(s.Given, func(old Given) bool { return old.Subject == g.Subject && old.Limit == g.Limit })
		if g.Amount != 0 {
			s.Given = append(s.Given, g)
		}
	}
	unmarked := part.Unmarked
	for _, m := range part.Marks {
		unmarked = append(unmarked, m.Subject)
	}
	s.Marks = append(slices.DeleteFunc(s.Marks, func(old Mark) bool { return slices.Contains(unmarked, old.Subject) }), part.Marks...)
}

func (m *memory) Misread(err error) error { return err }

func (m *memory) Changes(_ context.Context, s contain.Subject, ip netip.Addr, most int) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(m.changes), func(c Change) bool { return s.Tenant != "" && c.Subject != s || ip.IsValid() && c.IP != ip })
	return list[max(0, len(list)-most):], nil
}

func (*memory) Close() error { return nil }

// did lists what the notes say.
func did(notes []event.Note) string {
	var list []string
	for _, n := range notes {
		list = append(list, fmt.Sprintf("%s by %s", n.Did, n.Rule))
	}
	return strings.Join(list, ", ")
}

func addrPort(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 40000) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// saying gives the fields of a message that name its account; "!" at the end stands for one that is cut.
func saying(texts ...string) (fields []smtp.HeaderField) {
	for _, text := range texts {
		said, cut := strings.CutSuffix(text, "!")
		fields = append(fields, smtp.HeaderField{Text: said, Cut: cut})
	}
	return fields
}
