package intercept

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"
)

// A Problem is something about the rules that an operator should know.
type Problem struct {
	What    string
	Cure    string // a command, or where to look
	Open    bool   // mail leaves directly, or may
	Unknown bool   // this could not be looked at
}

// String tells it in a line.
func (p Problem) String() string {
	if p.Cure == "" {
		return p.What
	}
	return p.What + ": " + p.Cure
}

// Problems compares what was put in force with what the kernel has, and with what a configuration wants (nil: nobody asks). Where the
// kernel does not show a process the table, the guard's word counts.
func (k *Keeper) Problems(ctx context.Context, want *Rules, report *Report) (list []Problem) {
	kept, err := k.read()
	switch {
	case errors.Is(err, ErrNothingKept):
		return []Problem{k.Unremembered(ctx)}
	case errors.Is(err, ErrDamaged):
		return append(guardsWord(report), Problem{What: err.Error() + "; a boot with a broken configuration opens the way", Cure: "kanmon rules apply"})
	case err != nil:
		return []Problem{{What: err.Error(), Cure: "ask as root", Unknown: true}}
	case kept.Removed != nil:
		return []Problem{{What: "a person has removed the rules at " + kept.Removed.At.UTC().Format(time.RFC3339) + ", mail leaves directly", Cure: "kanmon rules apply", Open: true}}
	}
	guarding, noGuard := report.Read()
	losses, err := kept.Losses()
	for _, l := range losses {
		list = append(list, Problem{What: l.What, Cure: "kanmon rules apply --last", Open: l.Open})
	}
	switch {
	case errors.Is(err, ErrTableUnseen) && noGuard == nil:
		for _, what := range guarding.Lost {
			list = append(list, Problem{What: what, Cure: "see the guard's log: journalctl -u kanmon-rules-guard", Open: true})
		}
	case err != nil:
		list = append(list, Problem{What: "whether the rules are in force was not looked at: " + err.Error(), Cure: "ask as root", Unknown: true})
	}
	if want != nil && !same(*want, kept.Rules) {
		list = append(list, Problem{What: "the rules in force are not those of the configuration", Cure: "systemctl reload kanmon-rules, or kanmon rules apply"})
	}
	for _, name := range kept.Rules.MissingInterfaces() {
		list = append(list, Problem{What: "there is no interface " + name + ": no mail comes in by it", Cure: "ip link show"})
	}
	if k.isAside() {
		list = append(list, Problem{What: "the rules in force are not kept on the disk: after the next boot those of before count, if the configuration is broken then", Cure: "make " + k.dir() + " writable"})
	}
	return append(list, guardsRest(guarding, noGuard)...)
}

// guardsRest says what is wrong with the guard itself.
func guardsRest(guarding Guarding, noGuard error) []Problem {
	switch {
	case noGuard == nil && guarding.Unguarded != "":
		return []Problem{{What: "the guard does nothing: " + guarding.Unguarded, Cure: "kanmon rules apply"}}
	case noGuard == nil:
		return nil
	case errors.Is(noGuard, ErrNoGuard):
		return []Problem{{What: noGuard.Error(), Cure: "systemctl start kanmon-rules-guard"}}
	default:
		return []Problem{{What: "whether a guard runs is not known: " + noGuard.Error(), Cure: "ask as root", Unknown: true}}
	}
}

// guardsWord is all that is known where what is remembered is damaged.
func guardsWord(report *Report) (list []Problem) {
	guarding, noGuard := report.Read()
	if noGuard == nil {
		for _, what := range guarding.Lost {
			list = append(list, Problem{What: what, Cure: "see the guard's log: journalctl -u kanmon-rules-guard", Open: true})
		}
	}
	return append(list, guardsRest(guarding, noGuard)...)
}

// Unremembered says how a host is where nothing is kept: it has no rules, or those that an earlier version has made.
func (*Keeper) Unremembered(ctx context.Context) Problem {
	now, err := imprint(Rules{}.table())
	switch {
	case err != nil:
		return Problem{What: "whether rules are in force was not looked at: " + err.Error(), Cure: "ask as root", Unknown: true}
	case now != "":
		return Problem{What: "rules are in force that nobody remembers: an earlier version has made them, or another program", Cure: "kanmon rules apply"}
	default:
		return Problem{What: "no rules are in force: port 25 is not intercepted", Cure: "systemctl start kanmon-rules, or kanmon rules apply", Open: true}
	}
}

// same compares rules as they are kept.
func same(a, b Rules) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
