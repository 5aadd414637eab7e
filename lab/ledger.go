package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"kanmon/test/netlab"
)

// A kind is what a mail is there for.
type kind string

const (
	normal kind = "normal"
	tarpit kind = "tarpit"
	mass   kind = "mass"
	honest kind = "honest" // of those who share a tenant with the culprit
)

// A mail is one message of an experiment and what became of it. Times are counted from the start of the experiment, and are negative
// before it.
type mail struct {
	id       string
	tenant   int
	account  string
	kind     kind
	to       string
	spam     bool          // its content is
	due      time.Duration // when it was to be submitted
	accepted bool          // its MSA has taken it
	arrivals []time.Duration
	client   netip.Addr      // who brought it to the MX first
	returned []time.Duration // notices of non-delivery that its sender got
}

// delay is the time from when it was due to its first arrival at the MX.
func (m *mail) delay() time.Duration { return m.arrivals[0] - m.due }

const idField = "X-Lab-Id: "

func (m *mail) from() string { return fmt.Sprintf("%s@msa%d.example", m.account, m.tenant) }

func (m *mail) message() []byte {
	text := strings.Repeat("All mail passes the gate.\r\n", 20)
	if m.spam {
		text += gtube + "\r\n"
	}
	return fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: Experiment\r\n%s%s\r\n\r\n%s", m.from(), m.to, idField, m.id, text)
}

// gtube is the line that scanners take for spam when they are tested.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// A ledger has every mail of an experiment: what was submitted, and what the MXs have received.
type ledger struct {
	start time.Time // set before the first mail

	mu       sync.Mutex
	mails    map[string]*mail
	unknown  int            // received, but never submitted
	refusals map[string]int // by what was said
}

func newLedger() *ledger {
	return &ledger{start: time.Now(), mails: map[string]*mail{}, refusals: map[string]int{}}
}

func (l *ledger) now() time.Duration { return time.Since(l.start) }

// enter notes a sender's mail n, which is about to be submitted.
func (l *ledger) enter(s sender, n int, due time.Duration) *mail {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := fmt.Sprintf("%s-%d-%d", s.kind, s.tenant, len(l.mails))
	m := &mail{id: id, tenant: s.tenant, account: s.account, kind: s.kind, spam: s.spam, to: s.address(n), due: due}
	l.mails[m.id] = m
	return m
}

// submitted notes what the MSA said to a mail.
func (l *ledger) submitted(m *mail, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.accepted = err == nil
	if err != nil {
		l.refusals[err.Error()]++
	}
}

// receive is a receipt of an MX.
func (l *ledger) receive(client net.Addr, message []byte) {
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.find(message)
	if m == nil {
		l.unknown++
		return
	}
	if len(m.arrivals) == 0 {
		m.client = addressOf(client)
	}
	m.arrivals = append(m.arrivals, at)
}

// takeBack is a receipt of the tenants' mailboxes, which get nothing but notices of non-delivery.
func (l *ledger) takeBack(_ net.Addr, notice []byte) {
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.find(notice)
	if m == nil || !isNotice(notice) {
		l.unknown++
		return
	}
	m.returned = append(m.returned, at)
}

// find gives the mail whose id is in the message; nil if there is none. The ledger is locked.
func (l *ledger) find(message []byte) *mail {
	_, rest, _ := bytes.Cut(message, []byte("\n"+idField))
	id, _, _ := bytes.Cut(rest, []byte("\n"))
	return l.mails[strings.TrimSpace(string(id))]
}

// addressOf is the zero one for a client that has none.
func addressOf(client net.Addr) netip.Addr {
	if address, ok := client.(*net.TCPAddr); ok {
		return address.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// selected gives the mails that fit, in the order in which they were due.
func (l *ledger) selected(fits func(*mail) bool) []mail {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []mail
	for _, m := range l.mails {
		if fits(m) {
			out = append(out, *m)
		}
	}
	slices.SortFunc(out, func(a, b mail) int { return cmp.Or(cmp.Compare(a.due, b.due), strings.Compare(a.id, b.id)) })
	return out
}

// An audit is the account of some mails. Of those accepted, each has arrived, waits, was returned to its sender or is about to be, or is
// lost.
type audit struct {
	Submitted, Accepted    int
	Arrived, Waiting, Lost int
	Twice                  int                // of those that have arrived
	Bounced                int                // whose sender got a notice of non-delivery, whatever else became of them
	Returning              int                // whose notice of non-delivery is still in a queue
	Clients                map[netip.Addr]int // who brought them first
}

// audit counts the mails that fit. Queued is what was found in queues before: a mail on its way is then seen in its queue or
// at the MX or in both, never in neither. With none all that has neither arrived nor was returned counts as lost.
func (l *ledger) audit(fits func(*mail) bool, found queued) audit {
	a := audit{Clients: map[netip.Addr]int{}}
	for _, m := range l.selected(fits) {
		a.Submitted++
		if m.accepted {
			a.Accepted++
		}
		if len(m.returned) > 0 {
			a.Bounced++
		}
		switch {
		case len(m.arrivals) > 0:
			a.Arrived++
			a.Clients[m.client]++
			if len(m.arrivals) > 1 {
				a.Twice++
			}
		case len(m.returned) > 0: // and it may not have left the queue yet
		case m.accepted && found.mails[m.id]:
			a.Waiting++
		case m.accepted && found.notices[m.id]:
			a.Returning++
		case m.accepted:
			a.Lost++
		}
	}
	return a
}

// faults says what must not be in the account of an experiment: mail that is lost, doubled, unknown, refused, or from a strange address.
// Nil if there is nothing of it.
func (l *ledger) faults(audits ...audit) error {
	if err := l.losses(audits...); err != nil {
		return err
	}
	return sendingIPs(audits)
}

// losses are the faults but for strange addresses.
func (l *ledger) losses(audits ...audit) error {
	var lost, twice, refused int
	for _, a := range audits {
		lost, twice, refused = lost+a.Lost, twice+a.Twice, refused+a.Submitted-a.Accepted
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost+twice+refused+l.unknown > 0 {
		return fmt.Errorf("%d mails are lost, %d arrived twice, %d unknown ones arrived, %d were refused: %v",
			lost, twice, l.unknown, refused, l.refusals)
	}
	return nil
}

// sendingIPs says whether mail arrived from the two sending IPs and from nowhere else.
func sendingIPs(audits []audit) error {
	seen := map[netip.Addr]bool{}
	for _, a := range audits {
		for address := range a.Clients {
			seen[address] = true
		}
	}
	if len(seen) != 2 || !seen[netlab.SendingIPv4] || !seen[netlab.OtherSendingIPv4] {
		return fmt.Errorf("mail came from %v, not from %v and %v", slices.Collect(maps.Keys(seen)), netlab.SendingIPv4, netlab.OtherSendingIPv4)
	}
	return nil
}

func ofKind(k kind) func(*mail) bool { return func(m *mail) bool { return m.kind == k } }
