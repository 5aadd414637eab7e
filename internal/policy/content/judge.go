package content

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// A Scanners is what puts messages to scanners: [inspect.Room].
type Scanners interface {
	Inspect(ctx context.Context, m inspect.Mail) []event.Scan
	Forget(tenant, account string)
}

// Options make a [Judge].
type Options struct {
	Settings
	Scanners Scanners
	Budget   *inspect.Budget
	Memory   *Memory          // what is learnt, beyond the configuration
	Clock    func() time.Time // nil: time.Now

	// Heard gets what each message came to, when its verdict is there. It is called beside sessions, and must not block.
	Heard func(*Outcome)
}

// An Outcome is what the content of one message came to.
type Outcome struct {
	At              time.Time
	Session         event.ID
	Transaction     int
	Tenant, Account string
	Enforced        bool           // what follows is done
	Mild            bool           // the message is of those that are not refused: forwarded, a bounce, a report
	Allowed         bool           // a person has said that it is not to be held against the account
	Seen            bool           // a scanner has given a verdict
	P               float64        // how much speaks against it by what it holds
	Virus           bool           //
	Content         *event.Content // of a message whose record has gone already; else nil
}

// A Judge decides about the content of messages, by one configuration. It is safe for concurrent use.
type Judge struct {
	o       Options
	running sync.WaitGroup // messages that are being scanned
}

// New makes a Judge.
func New(o Options) *Judge {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Heard == nil {
		o.Heard = func(*Outcome) {}
	}
	return &Judge{o: o}
}

// Close waits for what is being scanned. No inspection may begin any more.
func (j *Judge) Close() { j.running.Wait() }

// Scans reports whether a tenant's mail is scanned at all. The nil Judge scans nothing.
func (j *Judge) Scans(tenant string) bool {
	if j == nil {
		return false
	}
	t := j.o.Tenants[tenant]
	return t != nil && t.Mode != Off
}

// Begin says how the content of a mail is judged; nil: it is not. Is by what the mail's MX is known.
func (j *Judge) Begin(m Mail, mx netip.Addr) *Inspection {
	t := j.o.Tenants[m.Tenant]
	if t == nil {
		return nil
	}
	m.WasSlow = j.o.Memory.wasSlow(mx, m.Size, m.Tenant, j.o.Clock())
	c := j.o.choose(t, &m, func() bool { return j.o.Memory.sampled(&m, j.o.Sample) })
	if c.lane == event.LaneOff {
		return nil
	}
	return &Inspection{judge: j, tenant: t, mail: m, mx: mx, choice: c}
}

// Forget forgets what scanners have said of an account's messages: the next try is scanned anew.
func (j *Judge) Forget(tenant, account string) {
	if j != nil {
		j.o.Scanners.Forget(tenant, account)
	}
}

// Late hears a verdict that nobody waited for any more: it counts for the account.
func (j *Judge) Late(m inspect.Mail, said event.Scan) {
	o := &Outcome{
		At: j.o.Clock(), Tenant: m.Tenant, Account: m.Account, Enforced: j.o.Enforce, Seen: true, P: points(&said), Virus: said.Virus != "",
		Mild: exemption(m.Sender, m.Recipients, 0, false, nil) != "",
	}
	j.o.Heard(o)
}
