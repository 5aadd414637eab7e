package rspamd

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
)

// A reply is what is read of one.
type reply struct {
	Action   *string           `json:"action"`
	Score    float64           `json:"score"`
	Required float64           `json:"required_score"` // at which it rejects
	TimeReal float64           `json:"time_real"`      // seconds
	Symbols  map[string]symbol `json:"symbols"`
	Milter   struct {
		Add    map[string]any `json:"add_headers"`
		Remove map[string]any `json:"remove_headers"`
	} `json:"milter"`
	Signature any `json:"dkim-signature"`
}

// changes is how many changes of the message it asks for.
func (r *reply) changes() int {
	n := len(r.Milter.Add) + len(r.Milter.Remove)
	if r.Signature != nil {
		n++
	}
	return n
}

type symbol struct {
	Score   float64  `json:"score"`
	Options []string `json:"options"` // read for proofs alone: they quote the message
}

// parse reads a reply. Without an action it is none.
func parse(text []byte) (*reply, error) {
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if r.Action == nil || *r.Action == "" || len(*r.Action) > mostName {
		return nil, errors.New("there is no action in it")
	}
	return &r, nil
}

// mostName is how long a name of an action or a symbol may be.
const mostName = 128

// scan is what a reply says. Where Rspamd has not seen all, only a refusal is a verdict: what it has not seen can only add to that.
func (r *reply) scan(taskTimeout time.Duration) event.Scan {
	said := event.Scan{State: event.Scanned, Action: *r.Action, Score: r.Score, Threshold: r.Required, Symbols: r.symbols(), Changes: r.changes()}
	if why := r.incomplete(taskTimeout); why != "" && said.Action != inspect.ActionReject && said.Action != inspect.ActionDiscard {
		failed := inspect.Failed(event.LackUnavailable, "incomplete: %s", why)
		said.State, said.Lack, said.Why = failed.State, failed.Lack, failed.Why
	}
	return said
}

// timeNear is how much of task_timeout a task takes at most that has surely ended by itself.
const timeNear = 0.95

// incomplete says what of a message Rspamd has not looked at; "": nothing is known.
func (r *reply) incomplete(taskTimeout time.Duration) string {
	if r.TimeReal >= timeNear*taskTimeout.Seconds() {
		return "it has taken its whole time"
	}
	var failed []string
	for name := range r.Symbols {
		// That SPF fails is a verdict.
		if strings.HasSuffix(name, "_FAIL") && name != "R_SPF_FAIL" {
			failed = append(failed, name)
		}
	}
	if len(failed) == 0 {
		return ""
	}
	return slices.Min(failed)
}

// symbols are those with the most points, either way.
func (r *reply) symbols() []event.Symbol {
	if len(r.Symbols) == 0 {
		return nil
	}
	all := make([]event.Symbol, 0, len(r.Symbols))
	for name, s := range r.Symbols {
		all = append(all, event.Symbol{Name: name[:min(len(name), mostName)], Points: s.Score})
	}
	slices.SortFunc(all, func(a, b event.Symbol) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Points), math.Abs(a.Points)), strings.Compare(a.Name, b.Name))
	})
	return slices.Clone(all[:min(len(all), event.MaxSymbols)])
}
