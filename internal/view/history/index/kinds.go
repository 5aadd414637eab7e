package index

import (
	"slices"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Kind is a line's type. Those from Outside on are kept longest, but for Judged.
type Kind = int64

// Kinds that whoever keeps lines tells apart.
const (
	Transactions Kind = iota + 1
	Sessions
	Refusals
	decisions
	waits
	Outside
	heartbeat
	order
	changed
	finding
	Dropped
	sighting
	Judged // of a mail, and not kept longest

	Unknown Kind = 60 // a type that a later kanmon writes
)

var kinds = map[string]Kind{
	"transaction": Transactions, "session": Sessions, "refusal": Refusals, "decision": decisions, "wait": waits,
	AGateway: Outside, "heartbeat": heartbeat, "order": order, "changed": changed, "finding": finding, "dropped": Dropped,
	"sighting": sighting, "judged": Judged,
}

// AGateway is the type of steps of gateways.
const AGateway = "gateway"

// KindOf gives the kind of a type.
func KindOf(name string) Kind {
	if k, ok := kinds[name]; ok {
		return k
	}
	return Unknown
}

// IsLasting reports whether lines of a kind are kept as long as counts are.
func IsLasting(k Kind) bool { return k >= Outside && k != Judged }

// News gives the kinds of lines that are asked for. What happens with every other mail, and each minute, is given by its name alone.
func News(of *history.EventsOf) (all []Kind) {
	for _, name := range of.Types {
		all = append(all, KindOf(name))
	}
	if len(of.Types) == 0 {
		for _, k := range kinds {
			if k > Sessions && of.Session != 0 || IsLasting(k) && k != heartbeat {
				all = append(all, k)
			}
		}
	}
	all = append(all, Unknown) // which it was when it was written
	slices.Sort(all)
	return slices.Compact(all)
}

// IsNews reports whether a line is what is asked for, as far as more than its kind, its tenant, provider and sending IP says it.
func IsNews(of *history.EventsOf, e *event.Entry) bool {
	switch {
	case len(of.Types) > 0 && !slices.Contains(of.Types, e.Type),
		of.Account != "" && !strings.EqualFold(of.Account, e.Account) && (e.Type != AGateway || len(of.Types) == 0),
		of.Session != 0 && of.Session != e.Session,
		of.Reference != "" && (e.Content == nil || of.Reference != e.Content.Reference),
		!of.From.IsZero() && e.At.Before(of.From), !of.To.IsZero() && !e.At.Before(of.To):
		return false
	}
	return true
}
