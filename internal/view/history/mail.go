package history

import (
	"slices"
	"strings"
	"time"
)

// Keeps is how long an MSA is taken to try a mail again: five days are usual, and RFC 5321's (section 4.5.4.1).
const Keeps = 5 * 24 * time.Hour

// StateOf says what attempts tell of a mail, the oldest first: which of its recipients have it, are refused, are waited for.
func StateOf(attempts []Attempt, now time.Time) MailState {
	has, refused, unclear, waits := count(attempts)
	switch {
	case has > 0 && refused+unclear+waits == 0:
		return Delivered
	case has > 0:
		return Partly
	case unclear > 0:
		return Unclear
	case waits > 0 && len(attempts) > 0 && now.Sub(attempts[len(attempts)-1].At) > Keeps:
		return GivenUp
	case waits > 0 || refused == 0:
		return Waits
	}
	return Refused
}

// Waited reports whether one of the recipients is waited for, whatever became of the others: of a mail that is delivered to a part, the rest may be refused.
func Waited(attempts []Attempt) bool {
	_, _, unclear, waits := count(attempts)
	return unclear+waits > 0
}

// count says how many recipients have a mail, are refused, nobody knows of, are waited for.
func count(attempts []Attempt) (has, refused, unclear, waits int) {
	fates := map[string]string{}
	for i := range attempts {
		for name, fate := range fatesOf(&attempts[i]) {
			if fates[name] != "delivered" {
				fates[name] = fate
			}
		}
	}
	for _, fate := range fates {
		switch fate {
		case "delivered":
			has++
		case "refused":
			refused++
		case "unknown":
			unclear++
		default:
			waits++
		}
	}
	return has, refused, unclear, waits
}

// beyond stands for the recipients that are not on record.
const beyond = "\x00"

// fatesOf gives what an attempt tells of its recipients. Where none is known, of it as a whole.
func fatesOf(a *Attempt) map[string]string {
	fates := make(map[string]string, len(a.Recipients))
	for _, r := range a.Recipients {
		fates[strings.ToLower(r.Address)] = r.Fate // an MSA that spells it in another way means the same
	}
	if a.More > 0 || len(fates) == 0 {
		fates[beyond] = map[string]string{
			"delivered": "delivered", "orphan_ack": "delivered", "refused": "refused", "deferred": "deferred", "ambiguous": "unknown",
		}[a.Outcome]
	}
	return fates
}

// MailOf makes a mail of its attempts.
func MailOf(id string, probably bool, attempts []Attempt, now time.Time) Mail {
	slices.SortStableFunc(attempts, func(a, b Attempt) int { return a.At.Compare(b.At) })
	m := Mail{ID: id, Probably: probably, State: StateOf(attempts, now), Tries: len(attempts)}
	m.Attempts = attempts[max(0, len(attempts)-MaxAttempts):]
	if len(attempts) > 0 {
		m.First, m.Last = attempts[0].At, attempts[len(attempts)-1].At
	}
	return m
}
