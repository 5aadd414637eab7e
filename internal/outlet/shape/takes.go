package shape

import (
	"fmt"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/word"
	"kanmon/internal/policy/limit"
)

// A Count is what is counted.
type Count = event.Count

// The counts. None is no count.
const (
	None                    = event.Uncounted
	Connections             = event.Connections
	NewConnections          = event.NewConnections
	Messages                = event.Messages
	Recipients              = event.Recipients
	MessagesPerConnection   = event.MessagesPerConnection
	RecipientsPerConnection = event.RecipientsPerConnection
	RecipientsPerMessage    = event.RecipientsPerMessage
	countCount              = event.CountCount
)

// unitOf names what is counted, for people.
func unitOf(c Count) string {
	switch c {
	case Connections:
		return "connections at once"
	case NewConnections:
		return "new connections"
	case MessagesPerConnection:
		return "messages in one connection"
	case RecipientsPerConnection:
		return "recipients in one connection"
	case RecipientsPerMessage:
		return "recipients of one message"
	default:
		return c.String()
	}
}

// A Mode says what is done about what providers take.
type Mode uint8

// The modes.
const (
	Observe Mode = iota // it is told what would be done
	On
	Off
)

var modes = word.List[Mode]("mode", "observe", "on", "off")

// String returns the mode as the configuration has it.
func (m Mode) String() string { return modes.Text(m) }

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error { return modes.Read(text, m) }

// Words returns the modes.
func (Mode) Words() []string { return modes.Words() }

// A Limit is how much a provider takes from one sending IP.
type Limit struct {
	Count  Count
	Amount int64
	Per    time.Duration // of a rate
	Source string        // where that is known from
	Keep   bool          // it is kept to; else it is only shown
}

// String says it for people: "2 connections at once".
func (l *Limit) String() string {
	text := fmt.Sprintf("%d %s", l.Amount, unitOf(l.Count))
	if l.Per > 0 {
		text += " in " + l.Per.String()
	}
	return text
}

// IsShared reports whether it is enough to share among tenants.
func (l *Limit) IsShared() bool { return l.Amount >= leastShared }

// Lower reports whether a limit of the same count lets less through than another: of what is counted in a time, in the same time.
func (l *Limit) Lower(other *Limit) bool {
	if l.Per == 0 || other.Per == 0 {
		return l.Amount < other.Amount
	}
	return float64(l.Amount)*float64(other.Per) < float64(other.Amount)*float64(l.Per)
}

// leastShared is what is enough to share: of less, a tenant that is alone would have to leave too much of it.
const leastShared = 5

// Most is the largest amount that a count may have.
const Most = 1 << 20

// Takes is what one provider takes. It does not change.
type Takes struct {
	provider string
	limits   []Limit
	shared   bool // several tenants do
	kept     [countCount]bound
	resized  sync.Map // resizing → *limit.Limit
}

// A bound is an amount that is kept to.
type bound struct {
	amount int64        // 0: nobody knows one
	limit  *limit.Limit // of what is counted for all connections together
}

type resizing struct {
	count  Count
	amount int64
}

// Compile makes Takes of what is known of a provider. What is not kept to, or of which nothing is known, bounds
// nothing. Where several tenants share it, a part is kept for those who use little, if there is enough to share.
func Compile(provider string, limits []Limit, shared bool) (*Takes, error) {
	t := &Takes{provider: provider, limits: limits, shared: shared}
	for _, l := range limits {
		if l.Keep {
			b := &t.kept[l.Count]
			b.amount = l.Amount
			if l.Count.IsTogether() {
				var err error
				if b.limit, err = t.compile(l.Count, l.Amount, l.Per); err != nil {
					return nil, err
				}
			}
		}
	}
	if open := &t.kept[Connections]; open.limit == nil { // they are counted, for a provider that finds them too many
		open.limit, _ = t.compile(Connections, Most, 0)
	}
	return t, nil
}

func (t *Takes) compile(c Count, amount int64, per time.Duration) (*limit.Limit, error) {
	r := limit.Rule{Name: "shaping of " + t.provider + ": " + c.String(), Scope: limit.PerIPProvider, Amount: amount, Per: per, Brief: true}
	switch c {
	case Connections:
		r.Measure, r.Fair = limit.Sessions, t.shared && amount >= leastShared
	case NewConnections:
		r.Measure = limit.Connections
	case Messages:
		r.Measure = limit.Messages
	case Recipients:
		r.Measure = limit.Recipients
	default:
		return nil, fmt.Errorf("%s are not counted together", c)
	}
	if c.IsRate() {
		r.Fair = t.shared && amount >= leastShared
		r.Burst, r.Amount = window(amount)
	}
	return limit.Compile(r)
}

// window parts what a provider takes in a time into what may come at once, and what comes back meanwhile: both together are the amount, so that no such
// time has more, wherever it begins. What little may come at once has a place for somebody else.
func window(amount int64) (burst, back int64) {
	if burst = max(1, amount/4); amount >= leastShared {
		burst = max(burst, 2)
	}
	return burst, max(1, amount-burst)
}

// Provider names whose it is.
func (t *Takes) Provider() string { return t.provider }

// Keeps reports whether an amount of a count is known that is kept to.
func (t *Takes) Keeps(c Count) bool { return t.kept[c].amount > 0 }

// together are the counts of what all connections have together.
var together = [...]Count{Connections, NewConnections, Messages, Recipients}

// KeepsTogether reports whether any amount is kept to of what is counted for all connections together.
func (t *Takes) KeepsTogether() bool { return t.mostTogether() > 0 }

// mostTogether gives the largest such amount; 0: there is none.
func (t *Takes) mostTogether() (most int64) {
	for _, c := range together {
		most = max(most, t.kept[c].amount)
	}
	return most
}

// Limits gives all that is known, what is only shown included.
func (t *Takes) Limits() []Limit { return t.limits }

// resize gives the limit of a count with another amount.
func (t *Takes) resize(c Count, amount int64) *limit.Limit {
	l := t.kept[c].limit
	if l == nil || c.IsRate() && t.kept[c].amount == amount || !c.IsRate() && l.Rule().Amount == amount {
		return l
	}
	if known, ok := t.resized.Load(resizing{c, amount}); ok {
		return known.(*limit.Limit)
	}
	if other, err := t.compile(c, amount, l.Rule().Per); err == nil {
		l = other
	}
	known, _ := t.resized.LoadOrStore(resizing{c, amount}, l)
	return known.(*limit.Limit)
}
