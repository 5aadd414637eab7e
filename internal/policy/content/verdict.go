package content

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"kanmon/internal/event"
)

// A Verdict is what the scanners' words about one message come to.
type Verdict struct {
	Handle event.Handling // HandleNot: nobody has said anything, and it passes
	Rule   string         // of the configuration, that decided: "on_virus", "unavailable of clamd"; "": none
	Why    string
	Virus  string       // that was found, where the verdict rests on it
	Code   int          // that the deciding scanner wants the reply to have; 0: any
	Kind   event.Lack   // of a verdict that rests on a lack of one
	Seen   bool         // a scanner has given a verdict
	P      float64      // how much speaks against the message by what it holds, 0 to 1; with Seen
	Found  []event.Scan // of those that have a virus
}

// Of says what follows for a tenant's message. Mild is why it is not refused; "": it may be.
func (s *Settings) Of(t *Tenant, scans []event.Scan, suspicion float64, mild string) (v Verdict) {
	for i := range scans {
		one := &scans[i]
		if one.State == event.Scanned {
			v.Seen = true
			v.P = math.Max(v.P, points(one))
			if one.Virus != "" {
				v.Found = append(v.Found, *one)
			}
			v.take(s.ofVerdict(t, one, mild))
			continue
		}
		v.take(s.ofLack(t, one, suspicion))
	}
	if v.Handle == event.HandleNot && v.Seen {
		v.Handle = event.HandleAccept
	}
	if v.Handle == event.HandleDivert && s.Pool == "" {
		v.Handle, v.Why = event.HandleAccept, v.Why+"; there is no pool for doubtful mail"
	}
	return v
}

// allowed is a verdict of the scans of a message where a person has allowed what its sender writes: but for viruses, and for what was made so
// that a scanner cannot be asked about it.
func (s *Settings) allowed(t *Tenant, scans []event.Scan, v Verdict, mild string) Verdict {
	held := slices.DeleteFunc(slices.Clone(scans), func(one event.Scan) bool { return one.Virus == "" && one.Lack != event.LackUnfit })
	if strict := s.Of(t, held, 0, mild); strict.Handle > event.HandleAccept {
		strict.Seen, strict.P = v.Seen, v.P
		return strict
	}
	v.Handle, v.Why = event.HandleAccept, v.Why+"; allowed by hand"
	return v
}

// take takes another verdict over where it is stricter.
func (v *Verdict) take(other Verdict) {
	if other.Handle > v.Handle {
		other.Seen, other.P, other.Found = v.Seen, v.P, v.Found
		*v = other
	}
}

// ofVerdict says what follows from what one scanner has said.
func (s *Settings) ofVerdict(t *Tenant, one *event.Scan, mild string) (v Verdict) {
	v.Handle, v.Rule = t.follows(one)
	v.Why, v.Code = said(one), one.Code
	if one.Virus != "" && v.Rule == "on_virus" {
		v.Virus = one.Virus
	}
	if mild != "" && v.Handle > event.HandleDivert {
		v.Handle, v.Why = event.HandleDivert, v.Why+"; not refused: "+mild
	}
	return v
}

// follows says what the tenant's rules have for a verdict, and which of them it is. An action that nobody knows is no reason to refuse.
func (t *Tenant) follows(one *event.Scan) (event.Handling, string) {
	if one.Virus != "" {
		return t.OnVirus, "on_virus"
	}
	switch strings.ToLower(one.Action) {
	case "reject", "discard":
		return t.OnReject, "on_reject"
	case "soft reject":
		return t.OnSoftReject, "on_soft_reject"
	case "add header", "rewrite subject", "quarantine":
		return t.OnSpam, "on_spam"
	}
	return event.HandleAccept, ""
}

// ofLack says what follows from a scanner's silence.
func (s *Settings) ofLack(t *Tenant, one *event.Scan, suspicion float64) (v Verdict) {
	v.Kind, v.Why = one.Lack, one.Scanner+": "+one.Why
	rule, of := "unavailable", s.lacks(t, one.Scanner)
	lack := of.Unavailable
	switch one.Lack {
	case event.LackUnfit:
		v.Handle, v.Rule = event.HandleDefer, "unfit"
		return v
	case event.LackTooLarge:
		rule, lack = "too_large", of.TooLarge
	case event.LackBusy:
		rule, lack = "busy", of.Busy
	}
	if lack.defers(suspicion) {
		v.Handle, v.Rule = event.HandleDefer, rule+" of "+one.Scanner
	}
	return v
}

// defers reports whether a message of which nothing is known waits.
func (l Lack) defers(suspicion float64) bool {
	return l == DeferAll || l == BySuspicion && suspicion >= Doubtful
}

// said is what a scanner has said, for people.
func said(one *event.Scan) string {
	text := one.Scanner + ": "
	switch {
	case one.Virus != "":
		return text + one.Virus
	case one.Threshold != 0:
		return text + fmt.Sprintf("%s, %.4g of %.4g", one.Action, one.Score, one.Threshold)
	}
	return text + one.Action
}

// What a scanner's points are worth, from 0 to 1: nothing at no points, markedAt where it would mark a message as spam, 1 where it would
// refuse it, and between them as much as lies between. Rspamd does not say at what it marks: by its defaults that is at 6 of 15 points.
const (
	markedAt = 0.6
	markedOf = 6. / 15
)

// points say how much speaks against a message by what one scanner has said of it.
func points(one *event.Scan) float64 {
	if one.Virus != "" {
		return 1
	}
	p := 0.
	if one.Threshold > 0 && one.Score > 0 {
		part := math.Min(1, one.Score/one.Threshold)
		if part < markedOf {
			p = part / markedOf * markedAt
		} else {
			p = markedAt + (part-markedOf)/(1-markedOf)*(1-markedAt)
		}
	}
	switch strings.ToLower(one.Action) {
	case "reject", "discard":
		return 1
	case "add header", "rewrite subject", "quarantine":
		return math.Max(p, markedAt)
	}
	return math.Min(p, markedAt)
}

// Posterior is what speaks against a mail by its suspicion and by what it holds. Neither makes the other smaller.
func Posterior(suspicion, content float64) float64 { return 1 - (1-suspicion)*(1-content) }
