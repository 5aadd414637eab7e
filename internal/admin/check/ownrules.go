package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/intercept"
)

// A Fault is something wrong with kanmon's own rules in the kernel.
type Fault struct{ What, Cure string }

// ownTable is the name of the table that kanmon's rules are in.
const ownTable = "kanmon"

// ownRules: those in force against those that the configuration asks for.
func (c *checker) ownRules(all *ruleset) {
	if c.Rules.Validate() != nil {
		return // nothing to intercept: told elsewhere
	}
	const where = "table inet " + ownTable
	c.remembered()
	if c.unguarded = !slices.Contains(all.tables, "inet "+ownTable); c.unguarded {
		switch at := c.removed(); {
		case !at.IsZero():
			c.findAt(rulesRemoved, where, "a person has removed it at "+at.UTC().Format(time.RFC3339)+": mail leaves directly", "")
		case c.serving() || c.service != nil && c.service.RulesOn:
			c.findAt(rulesGone, where, "it is not in the kernel, and kanmon runs: mail leaves directly", "")
		default:
			c.findAt(rulesNotApplied, where, "it is not in the kernel yet: mail leaves directly", "")
		}
		return
	}
	differ := c.Host.InForce
	if differ == nil {
		differ = func(ctx context.Context) ([]Fault, error) { return compareRules(ctx, c.Rules.Text(), ownTable) }
	}
	faults, err := differ(c.ctx)
	if err != nil {
		c.unchecked("whether the rules in force are those of the configuration", err.Error())
	}
	for _, f := range faults {
		c.findAt(rulesDiffer, where, f.What, f.Cure)
	}
	c.guarded(where)
}

// remembered: what a boot with a broken configuration would put in force, and what a guard goes by.
func (c *checker) remembered() {
	keeper, _ := c.Host.kept()
	if _, err := keeper.Last(); errors.Is(err, intercept.ErrDamaged) {
		c.findAt(rulesMemoryDamaged, "table inet "+ownTable, err.Error(), "")
	} else if err != nil && !errors.Is(err, intercept.ErrNothingKept) {
		c.unchecked("what is remembered of the rules", err.Error())
	}
}

// removed returns when a person has removed the rules; zero: nobody has.
func (c *checker) removed() time.Time {
	keeper, _ := c.Host.kept()
	kept, err := keeper.Last()
	if err != nil || kept.Removed == nil {
		return time.Time{}
	}
	return kept.Removed.At
}

// guarded: whether somebody puts the rules back where another program takes them away, and how often that was so.
func (c *checker) guarded(where string) {
	_, report := c.Host.kept()
	guarding, err := report.Read()
	switch {
	case errors.Is(err, intercept.ErrNoGuard):
		if c.service != nil { // without systemd there may be other ways to guard them
			c.findAt(rulesUnguarded, where, "no guard runs", "")
		}
		return
	case err != nil:
		c.unchecked("the guard of the rules", err.Error())
		return
	case guarding.Unguarded != "":
		c.findAt(rulesUnguarded, where, "the guard does nothing: "+guarding.Unguarded, "kanmon rules apply")
	}
	if guarding.Episodes > 0 && guarding.Last != nil {
		what := fmt.Sprintf("since %s other programs have taken the rules away or changed them %s, and mail could leave directly for %s in all; last at %s (%s)", guarding.Since.UTC().Format(time.RFC3339),
			times(guarding.Episodes), guarding.Open.Round(time.Millisecond), guarding.Last.At.UTC().Format(time.RFC3339), strings.Join(guarding.Last.Lost, "; "))
		if guarding.Last.By != "" {
			what += ", by " + guarding.Last.By
		}
		c.findAt(rulesTaken, where, what, "")
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// guardsWord: who may not list the rules can hear of the guard, who may, that they are gone.
func (c *checker) guardsWord() {
	const where = "table inet " + ownTable
	_, report := c.Host.kept()
	c.remembered()
	switch guarding, err := report.Read(); {
	case c.Rules.Validate() != nil:
	case err == nil && len(guarding.Lost) > 0:
		c.findAt(rulesGone, where, "its guard says: "+strings.Join(guarding.Lost, "; "), "")
	case err == nil || c.service != nil && c.service.RulesOn:
		c.guarded(where)
	}
}
