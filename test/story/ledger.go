package story

import (
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Ledger has the right answers.
type Ledger struct {
	From, To time.Time // the two weeks
	Files    []string  // that Write has written, in order of their beginning
	Lines    int
	Attempts int
	Sessions int
	Gaps     int64 // records that "dropped" lines speak of
	Counts   map[CountKey]*Count
	Stories  []*Story

	waits map[*Mail]bool // mails of the many whose last attempt was deferred
}

// A CountKey is what attempts are counted by.
type CountKey struct {
	Day                                         time.Time // of UTC
	Gateway, Tenant, Account, Provider, Outcome string
	SendingIP                                   netip.Addr
}

// A Count is how many there were.
type Count struct {
	Attempts, First, Recipients, Octets, Rescued, TLS int64
}

// A Story is one of those that go on at once.
type Story struct {
	Name  string
	What  string // in a sentence
	Begin time.Time
	End   time.Time
	Mails []*Mail // in order of their first attempt that is on record

	// Who and what it is about, where it is about one.
	Tenant, Account, Provider string
	SendingIP                 netip.Addr
	Class                     string // of its refusals
	Text                      string // one of them

	Numbers map[string]int // what else there is to count, by name
	Bounce  []byte         // that the MSA has sent to the sender, where the story has one
}

// A Mail is one, over all its attempts.
type Mail struct {
	Story      string
	Tenant     string
	Account    string
	Sender     string
	Recipients []string
	MessageID  string // "": not on record
	QueueID    string // of the MSA, likewise
	Octets     int64
	Provider   string
	Attempts   []Attempt // that are on record
	State      history.MailState
}

// First and Last are when its attempts ended.
func (m *Mail) First() time.Time { return m.Attempts[0].At }

// Last is the end of the last one.
func (m *Mail) Last() time.Time { return m.Attempts[len(m.Attempts)-1].At }

// An Attempt is one.
type Attempt struct {
	history.Key
	At, Start time.Time
	Session   event.ID
	Number    int
	SendingIP netip.Addr
	MX        netip.AddrPort
	Outcome   string
	Text      string // of the reply that decided, as it was said; "": none
	Code      int
	Class     string // of it
	MXQueueID string
	Rescued   bool
	To        []string // recipients
	Fates     []string // what became of them
}

// Story gives one by its name.
func (l *Ledger) Story(name string) *Story {
	for _, s := range l.Stories {
		if s.Name == name {
			return s
		}
	}
	mistaken("story", name)
	return nil
}

// CountsBy adds up the counts, under what is asked for.
func (l *Ledger) CountsBy(by func(CountKey) (CountKey, bool)) map[CountKey]Count {
	sum := make(map[CountKey]Count)
	for k, n := range l.Counts {
		k, wanted := by(k)
		if !wanted {
			continue
		}
		all := sum[k]
		all.Attempts += n.Attempts
		all.First += n.First
		all.Recipients += n.Recipients
		all.Octets += n.Octets
		all.Rescued += n.Rescued
		all.TLS += n.TLS
		sum[k] = all
	}
	return sum
}

// Waiting gives all mails whose last attempt was deferred no longer ago than MSAs try.
func (l *Ledger) Waiting(now time.Time) (all []*Mail) {
	for m := range l.waits {
		if now.Sub(m.Last()) <= GivesUp {
			all = append(all, m)
		}
	}
	return all
}

// GivesUp is how long an MSA tries.
const GivesUp = 5 * 24 * time.Hour

// state says what has become of a mail by then.
func (m *Mail) state(now time.Time) history.MailState {
	last := make(map[string]string)
	for _, a := range m.Attempts {
		for i, to := range a.To {
			if last[to] != fateDelivered {
				last[to] = a.Fates[i]
			}
		}
	}
	n := make(map[string]int)
	for _, to := range m.Recipients {
		n[last[to]]++
	}
	all := len(m.Recipients)
	switch {
	case n[fateDelivered] == all:
		return history.Delivered
	case n[fateDelivered] > 0:
		return history.Partly
	case n[fateRefused] == all:
		return history.Refused
	case n[fateUnknown] > 0:
		return history.Unclear
	case now.Sub(m.Last()) > GivesUp:
		return history.GivenUp
	default:
		return history.Waits
	}
}

const (
	fateDelivered = "delivered"
	fateRefused   = "refused"
	fateDeferred  = "deferred"
	fateUnknown   = "unknown"
	fateNotSent   = "not_sent"
)
