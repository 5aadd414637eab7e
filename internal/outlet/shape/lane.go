package shape

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/policy/limit"
)

// mostCounters bounds the counters: a sending IP has four at a provider.
const mostCounters = 1 << 14

// A Memory counts what each sending IP has at each provider. It is safe for concurrent use.
type Memory struct {
	clock   func() time.Time
	counter *limit.Memory
	texts   sync.Map // netip.Addr → string, of the sending IPs

	tightened atomic.Int32 // nothing is, nearly always
	changed   func(Tightening)
	mu        sync.Mutex
	tight     map[tightKey]Tightening
}

// Options make a [Memory].
type Options struct {
	Clock func() time.Time // nil: time.Now
	// Changed hears of each tightening, to keep it, while others wait: it must not. Nil: nobody does.
	Changed func(Tightening)
}

// New makes a Memory in which there is room for all.
func New(o Options) *Memory {
	m := &Memory{clock: o.Clock, changed: o.Changed, counter: limit.New(limit.Options{Clock: o.Clock, MaxKeys: mostCounters}), tight: map[tightKey]Tightening{}}
	if m.clock == nil {
		m.clock = time.Now
	}
	if m.changed == nil {
		m.changed = func(Tightening) {}
	}
	return m
}

// A Lane is a connection from a sending IP to a provider, or a dial of one. One goroutine at a time uses it.
type Lane struct {
	m     *Memory
	takes *Takes
	ip    netip.Addr
	text  string
	whose string       // the tenant's
	place limit.Ticket // among the connections at once

	mails, recipients, ofMail int32
	largest                   int32 // recipients of a mail
}

// Full says what there is no room for. The zero Full is that there is.
type Full struct {
	Count     Count
	Used, Max int64
	Per       time.Duration // of a rate
	// Wait is when there will be room if nobody else takes it. Guess: nobody can know. Of what one connection, or one
	// message, may have it is 0: no wait helps.
	Wait   time.Duration
	Guess  bool
	ByTime bool // the times of mail have tightened it
}

// Is reports whether there is no room.
func (f *Full) Is() bool { return f.Count != None }

// String says it for people: "2 of 2 connections at once", "60 messages in 1m0s".
func (f *Full) String() string {
	text := fmt.Sprintf("%d of %d %s", f.Used, f.Max, unitOf(f.Count))
	if f.Count.IsRate() {
		text = fmt.Sprintf("%d %s in %s", f.Max, unitOf(f.Count), f.Per)
	}
	if f.ByTime {
		text += ", tightened by timing"
	}
	return text
}

// Connect takes what a connection needs, and with mail what a message on it needs: all or nothing. Where there is no
// room for it the Lane is nil, or with observe one that has taken what there was.
func (m *Memory) Connect(t *Takes, ip netip.Addr, tenant string, mail, observe bool) (*Lane, Full) {
	l := &Lane{m: m, takes: t, ip: ip, text: m.textOf(ip), whose: tenant}
	full := l.connect(mail, observe)
	if full.Is() && !observe {
		return nil, full
	}
	return l, full
}

// Again is Connect for the connection that takes the place of this one, which is over: what it has among the
// connections is kept. Where there is no room for a new one, that is given up.
func (l *Lane) Again(mail bool) (full Full) {
	var room [2]limit.Want
	wants := l.want(room[:0], NewConnections)
	if mail {
		wants = l.want(wants, Messages)
	}
	if v := l.m.counter.Take(wants, &l.place); !v.OK {
		l.Close()
		return l.fullOf(&v)
	}
	l.recipients = 0
	l.begins(mail)
	return full
}

// connect takes what a dial needs.
func (l *Lane) connect(mail, observe bool) (full Full) {
	var room [3]limit.Want
	wants := l.want(l.want(room[:0], Connections), NewConnections)
	if mail {
		wants = l.want(wants, Messages)
	}
	l.begins(mail)
	v := l.m.counter.Take(wants, &l.place)
	if v.OK {
		return Full{}
	}
	full = l.fullOf(&v)
	if observe {
		for i := range wants {
			l.m.counter.Take(wants[i:i+1], &l.place)
		}
	}
	return full
}

func (l *Lane) begins(mail bool) {
	if l.mails, l.ofMail = 0, 0; mail {
		l.mails = 1
	}
}

// want adds what is asked of a count that is bounded. But for the place, it is spent with the asking: each dial and each MAIL counts.
func (l *Lane) want(to []limit.Want, c Count) []limit.Want {
	if l.takes.kept[c].limit == nil {
		return to
	}
	return append(to, limit.Want{
		Limit: l.m.limitOf(l.takes, c, l.ip), Subject: limit.Subject{Of: l.text, To: l.takes.provider}, Member: l.whose, N: 1, Spent: c != Connections,
	})
}

func (l *Lane) fullOf(v *limit.Verdict) Full {
	r := v.Limit.Rule()
	full := Full{Used: v.Used, Max: r.Amount, Per: r.Per, Wait: v.Wait}
	switch r.Measure {
	case limit.Sessions:
		full.Count, full.Guess = Connections, true
	case limit.Connections:
		full.Count = NewConnections
	case limit.Recipients:
		full.Count = Recipients
	default:
		full.Count = Messages
	}
	_, by, tight := l.m.left(l.takes, full.Count, l.ip)
	full.ByTime = tight && by.ByTime()
	if full.Count.IsRate() {
		full.Max = l.m.Amount(l.takes, full.Count, l.ip) // the limit has it in two parts
	}
	return full
}

// Mail takes what one more message needs. Where the connection has had all that one may have, the Full says so, and
// nothing is taken. Of recipients that is where there may not be room for all of the message: for half of what a
// connection may have, or for as many as the largest one so far had.
func (l *Lane) Mail(observe bool) (full Full) {
	if most := l.m.Amount(l.takes, MessagesPerConnection, l.ip); most > 0 && int64(l.mails) >= most {
		full = Full{Count: MessagesPerConnection, Used: int64(l.mails), Max: most}
	}
	most := l.m.Amount(l.takes, RecipientsPerConnection, l.ip)
	if had := int64(l.recipients); most > 0 && had > 0 && had+max(most/2, int64(l.largest)) > most {
		full = Full{Count: RecipientsPerConnection, Used: had, Max: most}
	}
	if full.Is() && !observe {
		return full
	}
	var room [1]limit.Want
	if wants := l.want(room[:0], Messages); len(wants) > 0 {
		if v := l.m.counter.Take(wants, &l.place); !v.OK && !full.Is() {
			full = l.fullOf(&v)
		}
	}
	if !full.Is() || observe {
		l.mails++
		l.ofMail = 0
	}
	return full
}

// Recipient takes what one more recipient of the mail at hand needs.
func (l *Lane) Recipient(observe bool) (full Full) {
	for _, of := range [...]struct {
		count Count
		had   int32
	}{{RecipientsPerMessage, l.ofMail}, {RecipientsPerConnection, l.recipients}} {
		if most := l.m.Amount(l.takes, of.count, l.ip); most > 0 && int64(of.had) >= most {
			full = Full{Count: of.count, Used: int64(of.had), Max: most}
		}
	}
	if full.Is() && !observe {
		return full
	}
	var room [1]limit.Want
	if wants := l.want(room[:0], Recipients); len(wants) > 0 {
		if v := l.m.counter.Take(wants, &l.place); !v.OK && !full.Is() {
			full = l.fullOf(&v)
		}
	}
	if !full.Is() || observe {
		l.Said(1)
	}
	return full
}

// Said counts recipients of the mail at hand that were said on the connection without being asked about: they were, for the one before it.
func (l *Lane) Said(n int) {
	l.recipients += int32(n) //nolint:gosec // a session bounds them
	l.ofMail += int32(n)     //nolint:gosec // likewise
	l.largest = max(l.largest, l.ofMail)
}

// OfMail gives how many recipients the mail at hand has on the connection.
func (l *Lane) OfMail() int { return int(l.ofMail) }

// Close gives the connection's place back.
func (l *Lane) Close() { l.m.counter.Settle(&l.place, true, 0) }

// Room says what Connect would, and takes nothing.
func (m *Memory) Room(t *Takes, ip netip.Addr, tenant string, mail bool) (full Full) {
	l := Lane{m: m, takes: t, ip: ip, text: m.textOf(ip), whose: tenant}
	wants := l.want(l.want(nil, Connections), NewConnections)
	if mail {
		wants = l.want(wants, Messages)
	}
	for _, c := range m.counter.Explain(wants) {
		if !c.Now.OK {
			return l.fullOf(&c.Now)
		}
	}
	return full
}

// textOf gives a sending IP as counters are found under it.
func (m *Memory) textOf(ip netip.Addr) string {
	if known, ok := m.texts.Load(ip); ok {
		return known.(string)
	}
	known, _ := m.texts.LoadOrStore(ip, ip.String())
	return known.(string)
}
