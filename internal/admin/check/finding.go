package check

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"kanmon/internal/config"
)

// Severity says how much a finding hurts.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // worth knowing, or not checked
	Warning                 // kanmon runs, and not as the configuration promises
	Error                   // kanmon does not start, or mail takes another way, or none
)

var severities = [...]string{Note: "note", Warning: "warning", Error: "error"}

// String returns the severity as it stands in front of a finding.
func (s Severity) String() string { return severities[s] }

// MarshalText implements [encoding.TextMarshaler].
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Kind is what can be found. Its ID never changes its meaning: scripts and monitoring go by it.
type Kind struct {
	ID       string
	Severity Severity
	Refuses  bool   // kanmon does not start with it
	Meaning  string // what is so, in general
	Why      string // why it hurts
	Cure     string // in general; a finding can have one of its own
}

// A Finding is one thing that is so here.
type Finding struct {
	*Kind
	Where string // "kanmon.toml:12: sending_ip[0].address", or a setting of the host
	What  string
	Cure  string // a command, or a line of the configuration
}

// String shows the finding as a compiler would show an error.
func (f Finding) String() string {
	text := fmt.Sprintf("%s: %s: %s [%s]", f.Severity, f.Where, f.What, f.ID)
	if f.Why != "" {
		text += "\n      why: " + f.Why
	}
	if f.Cure != "" {
		text += "\n      = " + f.Cure
	}
	return text
}

// MarshalJSON implements [json.Marshaler]. Cures are to be copied: their "&&" stays as it is.
func (f Finding) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	err := out.Encode(struct {
		ID       string   `json:"id"`
		Severity Severity `json:"severity"`
		Refuses  bool     `json:"refuses_start"`
		Where    string   `json:"where"`
		What     string   `json:"what"`
		Why      string   `json:"why"`
		Cure     string   `json:"cure"`
	}{f.ID, f.Severity, f.Refuses, f.Where, f.What, f.Why, f.Cure})
	return text.Bytes(), err
}

// Count says how many findings have a severity. Of the notes, [Unchecked] counts those that say that something was not checked.
func Count(findings []Finding, s Severity) (n int) {
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Unchecked says how much was not checked.
func Unchecked(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Kind == notChecked {
			n++
		}
	}
	return n
}

// Sort puts the worst first, and keeps the order of the checks otherwise.
func Sort(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
}

var kinds []*Kind

func declare(k Kind) *Kind {
	kinds = append(kinds, &k)
	return &k
}

// Wrong returns the errors of a file as findings.
func Wrong(errs config.Errors) (list []Finding) {
	for _, e := range errs {
		where := fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
		if e.Key != "" {
			where += ": " + e.Key
		}
		list = append(list, Finding{configurationWrong, where, e.Problem, e.Want})
	}
	return list
}
