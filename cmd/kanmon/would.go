package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/tally"
)

type wouldCommand struct {
	pastFlag
	spanFlags
	aboutFlags
}

// Help says what it is for.
func (*wouldCommand) Help() string {
	return `Limits and containment that only observe write what they would have done. This adds it up by rule, with whom most of it would have met, and what came of their mail in those days: so you see what enforcing would change.`
}

// A wouldShown is what is printed of it.
type wouldShown struct {
	From  time.Time     `json:"from"`
	To    time.Time     `json:"to"`
	Rules []tally.Would `json:"rules"`
	All   bool          `json:"all"` // false: there are more than are read
}

// Run shows what would have been done.
func (k *wouldCommand) Run(c *console) error {
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	const usual = 7 * 24 * time.Hour
	from, to, err := k.between(usual)
	if err != nil {
		return err
	}
	s := wouldShown{From: from, To: to}
	of := tally.Subject{Provider: k.Provider, Tenant: k.Tenant, SendingIP: k.IP.Unmap()}
	if s.Rules, s.All, err = tally.WouldHave(ctx, p, of, from, to, tally.MostHit); err != nil {
		return err
	}
	switch {
	case k.JSON:
		if err := printJSON(c.stdout, s); err != nil {
			return err
		}
	case len(s.Rules) == 0:
		return fmt.Errorf("nothing that only observes would have acted from %s to %s: %s", when(from), when(to), p.kept())
	default:
		return s.print(c.stdout)
	}
	if len(s.Rules) == 0 {
		return errNothing
	}
	return nil
}

func (s *wouldShown) print(w io.Writer) error {
	fmt.Fprintf(w, "%s to %s\n", when(s.From), when(s.To))
	if !s.All {
		fmt.Fprintln(w, "There is more than is read: ask for a shorter time.")
	}
	for i := range s.Rules {
		rule := &s.Rules[i]
		fmt.Fprintf(w, "\n%s: %s, %s of %s of %s\n", event.Printable(rule.Rule, mostOfNews), event.Printable(rule.Action, mostOfNews), count(rule.Times, "time"),
			count(rule.Accounts, "account"), count(rule.Tenants, "tenant"))
		table := newTable(w, "TENANT\tACCOUNT\tTIMES\tATTEMPTS\tDELIVERED\tDEFERRED\tREFUSED\tFOUND")
		for j := range rule.Most {
			h := &rule.Most[j]
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", shownName(h.Tenant), shownName(h.Account), h.Times, h.Came.Attempts, h.Came.Delivered, h.Came.Deferred, h.Came.Refused,
				event.Printable(h.Cause, mostOfNews))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}
