package traffic

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// A Ledger has what is known of each mail. It is safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex
	mails map[string]*entry
	odd   []string // copies and records that no mail is known of
}

type entry struct {
	group   string
	message string // what attempts have in common
	sum     [sha256.Size]byte
	ended   bool
	gaveUp  bool // the MSA has left on purpose behind the dot: it knows nothing
	outcome Outcome
	copies  []Copy
	records int // of deliveries
}

// NewLedger makes an empty one.
func NewLedger() *Ledger { return &Ledger{mails: make(map[string]*entry)} }

// Enter notes a mail that is about to be sent, as one of a group. Attempts at one message name the same message; "": it has only this one.
func (l *Ledger) Enter(group, message string, m Mail) {
	if message == "" {
		message = m.Token
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mails[m.Token] = &entry{group: group, message: message, sum: m.Sum()}
}

// Ended notes what the MSA was told.
func (l *Ledger) Ended(m Mail, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mails[m.Token]
	e.ended, e.outcome = true, o
}

// GaveUp notes that the MSA has left behind the dot, and will not know.
func (l *Ledger) GaveUp(m Mail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mails[m.Token].gaveUp = true
}

// Took notes what an MX has read to its end; it is the Took of an [MX].
func (l *Ledger) Took(c Copy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mails[c.Token]
	if e == nil {
		l.odd = append(l.odd, fmt.Sprintf("%v has taken a message %q that nobody has sent", c.Server, c.Token))
		return
	}
	e.copies = append(e.copies, c)
}

// Recorded notes that a delivery is on record.
func (l *Ledger) Recorded(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.mails[token]; e != nil {
		e.records++
	}
}

// An Audit is what is wrong, and how much there was in all.
type Audit struct {
	Mails, Accepted, Unaccepted int // what the MSAs were told

	Lost       int // accepted, and at no MX
	False      int // accepted, and the MX has refused what it has read
	Doubled    int // accepted by MXs more than once, or although the MSA was told otherwise and tries again
	Changed    int // arrived with other octets
	Odd        int // arrived and were never sent
	Unrecorded int // taken by an MX, and not on record
	Repeated   int // on record more than once

	Examples []string // of all that, the first few
}

const maxExamples = 8

// Wrong is how much is wrong with the mail itself.
func (a Audit) Wrong() int { return a.Lost + a.False + a.Doubled + a.Changed + a.Odd }

// Audit looks at the mails of a group; with "" at all. Mails that are under way are not counted.
func (l *Ledger) Audit(group string) Audit {
	l.mu.Lock()
	defer l.mu.Unlock()
	var a Audit
	taken := make(map[string]int) // copies of a message
	for token, e := range l.mails {
		if e.ended && (group == "" || e.group == group) {
			a.count(token, e, taken)
		}
	}
	if group == "" {
		a.Odd = len(l.odd)
		for _, what := range l.odd {
			a.example("%s", what)
		}
	}
	return a
}

func (a *Audit) count(token string, e *entry, taken map[string]int) {
	a.Mails++
	accepted := 0
	for _, c := range e.copies {
		if c.Sum != e.sum {
			a.Changed++
			a.example("%s: %v has other octets than were sent", token, c.Server)
		}
		if c.Accepted {
			accepted++
		}
	}
	again := accepted > 1
	if accepted > 0 && !e.gaveUp {
		again = again || taken[e.message] > 0
		taken[e.message] += accepted
	}
	switch {
	case e.outcome.Accepted():
		a.Accepted++
		if len(e.copies) == 0 {
			a.Lost++
			a.example("%s: acknowledged with %q, and at no MX", token, e.outcome.Text)
		} else if accepted == 0 {
			a.False++
			a.example("%s: acknowledged with %q, and the MX has not taken it", token, e.outcome.Text)
		}
	default:
		a.Unaccepted++
		if accepted > 0 && !e.gaveUp {
			a.Doubled++
			a.example("%s: the MX has taken it, and the MSA was told %s %d %q", token, e.outcome.Step, e.outcome.Code, e.outcome.Text)
		}
	}
	if again {
		a.Doubled++
		a.example("%s: taken more than once", token)
	}
	if accepted > 0 && e.records == 0 {
		a.Unrecorded++
		a.example("%s: taken, not on record; the MSA was told %s %d %q, left behind the dot: %v", token, e.outcome.Step, e.outcome.Code, e.outcome.Text, e.gaveUp)
	}
	if e.records > max(accepted, 1) {
		a.Repeated++
		a.example("%s: %d times on record", token, e.records)
	}
}

func (a *Audit) example(format string, args ...any) {
	if len(a.Examples) < maxExamples {
		a.Examples = append(a.Examples, fmt.Sprintf(format, args...))
	}
}

// Times of the accepted mails of a group.
type Times struct {
	Whole []time.Duration // due → reply to the dot
	Dot   []time.Duration // dot → its reply
}

// Times gives those of mails that were due between two times.
func (l *Ledger) Times(group string, from, until time.Time) Times {
	l.mu.Lock()
	defer l.mu.Unlock()
	var t Times
	for _, e := range l.mails {
		if e.group != group || !e.outcome.Accepted() || e.outcome.Began.Before(from) || e.outcome.Began.After(until) {
			continue
		}
		t.Whole = append(t.Whole, e.outcome.Ended.Sub(e.outcome.Began))
		t.Dot = append(t.Dot, e.outcome.Ended.Sub(e.outcome.DotSent))
	}
	return t
}

// Refusals gives what the unaccepted mails of a group were told, and how often.
func (l *Ledger) Refusals(group string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := make(map[string]int)
	for _, e := range l.mails {
		if e.ended && (group == "" || e.group == group) && !e.outcome.Accepted() {
			told[fmt.Sprintf("%s: %d %.100s", e.outcome.Step, e.outcome.Code, e.outcome.Text)]++
		}
	}
	return told
}

// Underway is how many mails of a group have not ended; with "" of all.
func (l *Ledger) Underway(group string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.mails {
		if !e.ended && (group == "" || e.group == group) {
			n++
		}
	}
	return n
}
