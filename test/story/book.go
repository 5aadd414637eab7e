package story

import (
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// The books are kept from the plan: what was written is not looked at.

// which of the mail's recipients is the nth that is named.
func (t *try) which(n int) int {
	if t.to == nil {
		return n
	}
	return t.to[n]
}

// recipients are those that are named.
func (t *try) recipients() []string {
	if t.to == nil {
		return t.Recipients
	}
	list := make([]string, len(t.to))
	for n, which := range t.to {
		list[n] = t.Recipients[which]
	}
	return list
}

func (t *try) answerTo(which int) answer {
	if a, apart := t.apart[which]; apart {
		return a
	}
	return t.each
}

// decides is the reply that a recipient's fate rests on, and which phase it is of.
func (t *try) decides(which int) (a answer, p event.Phase) {
	switch own := t.answerTo(which); {
	case t.mail.code() >= 400:
		return t.mail, event.PhaseMail
	case own.code() >= 400:
		return own, event.PhaseRcpt
	case t.dot.code() > 0 && own.code() > 0:
		return t.dot, event.PhaseDot
	case t.data.code() >= 400 && own.code() > 0:
		return t.data, event.PhaseData
	}
	return answer{}, event.PhaseIdle
}

// fate is what becomes of a recipient by this try.
func (t *try) fate(which int) string {
	a, _ := t.decides(which)
	own := t.answerTo(which)
	switch {
	case t.outcome == event.OutcomeAmbiguous && own.code()/100 == 2:
		return fateUnknown
	case a.counts()/100 == 4:
		return fateDeferred
	case a.counts()/100 == 5:
		return fateRefused
	case a.counts()/100 == 2 && (t.outcome == event.OutcomeNone || t.outcome == event.OutcomeOrphanAck):
		return fateDelivered
	}
	return fateNotSent
}

// result is how a try ends.
func (t *try) result(fates []string) string {
	if t.outcome != event.OutcomeNone {
		return t.outcome.String()
	}
	n := make(map[string]int)
	for _, f := range fates {
		n[f]++
	}
	switch {
	case n[fateDelivered] > 0:
		return "delivered"
	case n[fateDeferred] > 0:
		return "deferred"
	case n[fateRefused] == len(fates):
		return "refused"
	}
	return "reset"
}

// book keeps account of a try that is on record.
func (w *world) book(s *session, t *try, end time.Time, key history.Key) {
	a := Attempt{Key: key, At: end, Start: t.at, Session: s.ID, Number: s.tries, SendingIP: t.ip, MX: s.Destination, Rescued: t.rescued}
	a.To = t.recipients()
	a.Fates = t.fates()
	decided, taken := false, slices.Contains(a.Fates, fateDelivered) // then it is the reply to the dot
	for n := range a.To {
		which := t.which(n)
		if reply, p := t.decides(which); !decided && reply.text != "" && (a.Fates[n] == fateDelivered) == taken {
			decided = true
			a.Text, a.Code = reply.text, reply.code()
			if a.Code >= 400 && !reply.local {
				a.Class = w.verdict(t, p, reply.text, t.ip, a.To[n]).Class.String()
			}
		}
	}
	a.Outcome, a.MXQueueID = t.result(a.Fates), t.queue
	if a.Outcome != "delivered" && a.Outcome != "orphan_ack" {
		a.MXQueueID = ""
	}
	w.count(s, t, &a)
	m := t.Mail
	if t.gateway.identify && t.data.code() == 354 {
		m.MessageID, m.QueueID = t.msgID, t.queueID
	}
	if m.Story == "" {
		m.Attempts = append(m.Attempts[:0], a) // the last of them tells whether it waits
		if a.Outcome == "deferred" {
			w.ledger.waits[m] = true
		} else {
			delete(w.ledger.waits, m)
		}
		return
	}
	m.Attempts = append(m.Attempts, a)
}

func (w *world) count(s *session, t *try, a *Attempt) {
	w.ledger.Attempts++
	k := CountKey{
		Day: a.At.UTC().Truncate(24 * time.Hour), Gateway: t.gateway.name, Tenant: t.Tenant, Account: t.Account, Provider: t.site.provider,
		Outcome: a.Outcome, SendingIP: t.ip,
	}
	n := w.ledger.Counts[k]
	if n == nil {
		n = new(Count)
		w.ledger.Counts[k] = n
	}
	n.Attempts++
	if len(t.Attempts) == 0 {
		n.First++
	}
	n.Recipients += int64(len(a.To))
	if t.data.code() == 354 {
		n.Octets += t.Octets
	}
	if t.rescued {
		n.Rescued++
	}
	if s.MX.State == event.TLSOn {
		n.TLS++
	}
}
