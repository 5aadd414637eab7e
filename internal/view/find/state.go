package find

import (
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// givesUp is for how long most MSAs try (RFC 5321 §4.5.4.1: at least 4 to 5 days).
const givesUp = 5 * 24 * time.Hour

// latest is the last attempt of a mail; an empty one where there is none.
func latest(m *Mail) *history.Attempt {
	if len(m.Attempts) == 0 {
		return &history.Attempt{At: m.Last}
	}
	return &m.Attempts[len(m.Attempts)-1]
}

// Sentence says the state of a mail in one sentence.
func (t Teller) Sentence(m *Mail) string {
	l, last := t.Lang, latest(m)
	switch m.State {
	case history.Delivered:
		took := last
		for i := range m.Attempts {
			if a := &m.Attempts[i]; m.asks(a) && taken(a.Outcome) {
				took = a
			}
		}
		how := t.nth(m, took)
		if delay := took.At.Sub(took.Received); !took.Received.IsZero() && delay >= time.Minute {
			how += saysDelayed.in(l, t.span(delay))
		}
		return saysDelivered.in(l, ip(took.Destination.Addr()), t.stamp(took.At), t.as(took), how)
	case history.Partly:
		return saysPartly.in(l, t.shares(m), t.stamp(last.At), t.nth(m, last))
	case history.Refused:
		last = m.lastAsked()
		return saysRefused.in(l, t.stamp(last.At), t.nth(m, last), t.why(last))
	case history.Waits:
		last = m.lastAsked()
		if !decided(last) {
			return saysEnded.in(l, t.stamp(last.At), t.nth(m, last))
		}
		return saysWaits.in(l, t.attempts(m.tries()), t.stamp(last.At), t.why(last), t.day(began(m).Add(givesUp)))
	case history.GivenUp:
		last = m.lastAsked()
		return saysGivenUp.in(l, t.attempts(m.tries()), t.stamp(last.At), t.why(last))
	default:
		last = m.lastAsked()
		return saysUnclear.in(l, t.stamp(last.At), t.nth(m, last))
	}
}

// asks reports whether an attempt is about whom was looked for: any is where nobody was, or where none that is kept names him.
func (m *Mail) asks(a *history.Attempt) bool {
	return m.fateOfAsked() == "" || fateIn(a, m.Asked) != ""
}

// lastAsked is the last attempt that is about whom was looked for: what another receiver said of others of its recipients is no answer.
func (m *Mail) lastAsked() *history.Attempt {
	for i := len(m.Attempts) - 1; i >= 0; i-- {
		if m.asks(&m.Attempts[i]) {
			return &m.Attempts[i]
		}
	}
	return latest(m)
}

// tries is how many attempts were made for whom was looked for, as far as all are at hand.
func (m *Mail) tries() int {
	if m.Tries > len(m.Attempts) {
		return m.Tries
	}
	n := 0
	for i := range m.Attempts {
		if m.asks(&m.Attempts[i]) {
			n++
		}
	}
	return n
}

// decided reports whether a reply has decided about an attempt.
func decided(a *history.Attempt) bool {
	return a.Reply.Code >= 400 || a.Outcome == "deferred" || a.Outcome == "refused"
}

// began is when an MSA began to count a mail's days: when it took it, where that is known.
func began(m *Mail) time.Time {
	for i := range m.Attempts {
		if r := m.Attempts[i].Received; !r.IsZero() {
			return r
		}
	}
	return m.First
}

// why is what the reply that decided means.
func (t Teller) why(a *history.Attempt) string {
	s := (&Finder{}).Sense(&a.Reply, a)
	return strings.TrimSuffix(strings.TrimSuffix(s.Meaning(t.Lang), "。"), ".")
}

func (t Teller) attempts(n int) string {
	if n == 1 {
		return saysAttempt.in(t.Lang)
	}
	return saysAttempts.in(t.Lang, n)
}

// nth says which attempt of its mail one is: of those for whom was looked for, if it is one of them.
func (t Teller) nth(m *Mail, a *history.Attempt) string {
	n, first, his := m.Tries-len(m.Attempts), m.First, m.asks(a)
	for i := range m.Attempts {
		one := &m.Attempts[i]
		if his && !m.asks(one) {
			continue
		}
		if n++; n == 1 {
			first = one.At
		}
		if one == a {
			break
		}
	}
	if n <= 1 {
		return saysFirst.in(t.Lang)
	}
	return saysNth.in(t.Lang, n, t.span(a.At.Sub(first)))
}

// as says under which id an MX has taken a mail: what its postmaster is to be asked for.
func (t Teller) as(a *history.Attempt) string {
	if a.MXQueueID == "" {
		return ""
	}
	return saysAsID.in(t.Lang, a.MXQueueID)
}

// shares says how many recipients have a mail, and what is with the others.
func (t Teller) shares(m *Mail) string {
	n := map[string]int{}
	for _, r := range fates(m) {
		n[r.Fate]++
	}
	var said []string
	for _, s := range [...]struct {
		text text
		n    int
	}{{saysHave, n["delivered"]}, {saysNot, n["refused"]}, {saysStill, n["deferred"] + n["not_sent"]}, {saysMaybe, n["unknown"]}} {
		if s.n > 0 {
			said = append(said, s.text.in(t.Lang, s.n))
		}
	}
	return strings.Join(said, saysListComma.in(t.Lang))
}

// fates is what has become of each recipient of a mail: who has it, has it, whatever came later.
func fates(m *Mail) []ToldRecipient {
	all, at := []ToldRecipient{}, map[string]int{}
	for i := range m.Attempts {
		for _, r := range m.Attempts[i].Recipients {
			key := strings.ToLower(r.Address)
			if _, is := at[key]; !is {
				at[key] = len(all)
				all = append(all, ToldRecipient{Address: r.Address, Fate: r.Fate})
			}
			have := &all[at[key]]
			switch r.Fate {
			case "delivered":
				have.Times++
			case "unknown":
				have.perhaps++
			}
			if have.Times == 0 || r.Fate == "delivered" {
				have.Fate = r.Fate
			}
		}
	}
	return all
}

// fateOfAsked is what became of the mail for whom was looked for; "": nobody was.
func (m *Mail) fateOfAsked() string {
	if all := fates(m); m.Asked != "" && len(all) > 0 {
		return ordered(all, m.Asked)[0].Fate
	}
	return ""
}

// twice says which recipients have a mail twice, or may have.
func (t Teller) twice(m *Mail) (notes []string) {
	for _, r := range fates(m) {
		if r.Times+r.perhaps < 2 {
			continue
		}
		var took, perhaps []*history.Attempt
		for i := range m.Attempts {
			a := &m.Attempts[i]
			switch fateIn(a, r.Address) {
			case "delivered":
				took = append(took, a)
			case "unknown":
				perhaps = append(perhaps, a)
			}
		}
		switch {
		case len(took) > 1:
			why := notesAgain
			if took[0].Outcome == "orphan_ack" {
				why = notesOrphan
			}
			notes = append(notes, notesTwice.in(t.Lang, r.Address, t.stamp(took[0].At), t.as(took[0]), t.stamp(took[1].At), t.as(took[1]), why.in(t.Lang)))
		case len(took) == 1 && len(perhaps) > 0:
			notes = append(notes, notesPerhapsTwice.in(t.Lang, r.Address, t.stamp(perhaps[0].At), t.stamp(took[0].At), t.as(took[0])))
		}
		if len(notes) == maxNotes {
			break
		}
	}
	return notes
}

// maxNotes bounds what is said of single recipients: a list's mail has a thousand.
const maxNotes = 5

func fateIn(a *history.Attempt, address string) string {
	for _, r := range a.Recipients {
		if strings.EqualFold(r.Address, address) {
			return r.Fate
		}
	}
	return ""
}
