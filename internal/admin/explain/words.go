package explain

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"kanmon/internal/admin"
)

// participles say what a level does.
var participles = map[string]string{
	admin.LevelNormal: "normal", admin.LevelSlow: "slowed", admin.LevelDivert: "diverted", admin.LevelStop: "stopped",
}

// State is how a sender's mail is treated, in a few words.
func State(s *admin.Sender) string {
	state := cmp.Or(participles[s.InForce], s.InForce)
	switch {
	case s.Blocked:
		state = "blocked"
	case s.Exempt != nil && s.InForce == admin.LevelNormal:
		state = "exempt"
	}
	if s.ByTenant && (s.Blocked || s.InForce != admin.LevelNormal) {
		state += " with its tenant"
	}
	if s.Would != s.InForce {
		state += ", would be " + cmp.Or(participles[s.Would], s.Would)
	}
	if s.Mark != nil {
		state += ", " + kindNames[s.Mark.Kind]
	}
	return state
}

// kindNames are what a sender is said to be.
var kindNames = map[string]string{
	admin.KindList: "a list", admin.KindForwarder: "a forwarder", admin.KindNone: "neither list nor forwarder",
}

// Mark says what a sender is said to be, and by whom.
func Mark(m *admin.Mark) string {
	text := kindNames[m.Kind]
	switch m.Of {
	case "":
	case "tenant":
		text += ", as its tenant"
	default:
		text += ", as all of " + m.Of
	}
	if m.Hand == nil {
		return text + ", by the configuration"
	}
	text += fmt.Sprintf(", by %s since %s", m.Hand.By, When(m.Hand.At))
	if m.Hand.Why != "" {
		text += ": " + m.Hand.Why
	}
	return text
}

// Decided says what was decided, and in which mail that ended: its lines are in the records.
func Decided(last *admin.Decision) string {
	text := fmt.Sprintf("%s from %s to %s by %s: %s", When(last.At), last.From, last.To, last.By, last.Why)
	if last.Session != "" {
		text += fmt.Sprintf("; with transaction %d of session %s", last.Number, last.Session)
	}
	return text
}

// Volume says how many recipients there were, and what of that is compared with what.
func Volume(x *admin.SenderDetail) string {
	text := fmt.Sprintf("about %d distinct recipients in this hour (estimated, ±13 %%), %d allowed", x.Distinct, x.Allowance)
	if x.AllowanceFrom != "" {
		text += ": " + x.AllowanceFrom
	}
	if x.Counting < x.Distinct {
		text += fmt.Sprintf("; about %d of them count, not those of accounts that are contained, exempt or marked, nor of bounces", x.Counting)
	}
	return text
}

// LimitOf says whose a limit is.
func LimitOf(l *admin.LimitUse) string {
	if l.Provider != "" {
		return "tenant at " + l.Provider
	}
	return l.Scope
}

// Amount says how much a limit allows.
func Amount(l *admin.LimitUse) string {
	if l.Per == 0 {
		return fmt.Sprintf("%d %s", l.Amount, l.Measure)
	}
	return fmt.Sprintf("%d %s in %s", l.Amount, l.Measure, Span(l.Per))
}

// LimitNote says what else is to be known of how a limit stands.
func LimitNote(l *admin.LimitUse) string {
	var notes []string
	if !l.Room {
		notes = append(notes, "no room for "+waitText(l.Wait))
	}
	if !l.Enforced {
		notes = append(notes, "not enforced")
	}
	if l.Amount != l.Configured {
		notes = append(notes, fmt.Sprintf("by hand, %d configured", l.Configured))
	}
	return cmp.Or(strings.Join(notes, "; "), "-")
}

// Hand says who has ordered something, since when, until when, and why.
func Hand(h *admin.ByHand) string {
	text := fmt.Sprintf("by %s since %s until ", h.By, When(h.At))
	if h.Until.IsZero() {
		text += "it is ended by hand"
	} else {
		text += When(h.Until)
	}
	if h.Why != "" {
		text += ": " + h.Why
	}
	return text
}

// Percent has a decimal where it matters.
func Percent(share float64) string {
	n := 100 * share
	if n >= 10 {
		return fmt.Sprintf("%.0f %%", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + " %"
}

// Span is a duration without what is 0 at its end, and without seconds where there are hours.
func Span(d time.Duration) string {
	if d > time.Hour {
		d = d.Round(time.Minute)
	}
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// waitText is how long there is no room. Of a limit of many in a time there is some again in a moment, and so for one mail of those that come.
func waitText(d time.Duration) string {
	if d < time.Second {
		return "less than a second"
	}
	return Span(d)
}

// When is a time as an operator reads it, in this host's zone.
func When(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 -07:00")
}
