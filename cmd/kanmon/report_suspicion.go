package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/tally"
)

type reportCommands struct {
	Tenant    reportCommand          `cmd:"" default:"withargs" help:"Tell a tenant what has become of its mail in a month, with nothing of anybody else: as HTML, text, CSV or JSON."`
	Suspicion suspicionReportCommand `cmd:"" help:"Show how suspicion has stood the test: how much of the mail of each tenth of the score was bad, as far as that showed later."`
}

type suspicionReportCommand struct {
	pastFlag
	spanFlags
	aboutFlags
}

// Help says what is counted.
func (*suspicionReportCommand) Help() string {
	return `Mail counts as bad if the MX refused it for what is in it, or if its account was contained for outcomes within 24 hours. Bad mail that every receiver accepts is not seen.`
}

// Run adds up what history has.
func (k *suspicionReportCommand) Run(c *console) error {
	from, to, err := k.between(7 * 24 * time.Hour)
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	s, err := tally.OfSuspicion(ctx, p.Store, tally.Subject{Provider: k.Provider, Tenant: k.Tenant, SendingIP: k.IP.Unmap()}, from, to)
	switch {
	case err != nil:
		return err
	case k.JSON:
		return printJSON(c.stdout, s)
	}
	return printSuspicions(c.stdout, s)
}

func printSuspicions(w io.Writer, s *tally.Suspicions) error {
	fmt.Fprintf(w, "%s to %s\n", when(s.From), when(s.To))
	if s.Cut {
		fmt.Fprintln(w, "There is more than is read, and the oldest is left out: ask for a shorter time.")
	}
	if s.Without > 0 {
		fmt.Fprintf(w, "%d mails without a suspicion are not counted: nobody wanted to know it.\n", s.Without)
	}
	fmt.Fprintln(w)
	table := newTable(w, "SUSPICION\tTENANTS\tMAILS\tREFUSED\tCONTAINED\tBAD\tSHARE\tBETWEEN")
	for i := range s.Tenths {
		t := &s.Tenths[i]
		fmt.Fprintf(table, "%.1f to %.1f\t%d\t%s\n", t.Least, t.Least+0.1, t.Tenants, laterText(&t.Later))
	}
	if err := table.Flush(); err != nil || len(s.Grounds) == 0 {
		return err
	}
	fmt.Fprintln(w)
	table = newTable(w, "PART\tMAILS\tREFUSED\tCONTAINED\tBAD\tSHARE\tBETWEEN")
	for i := range s.Grounds {
		g := &s.Grounds[i]
		fmt.Fprintf(table, "%s\t%s\n", event.Printable(g.Ground, mostOfNews), laterText(&g.Later))
	}
	return table.Flush()
}

func laterText(l *tally.Later) string {
	if l.Mails == 0 {
		return "0\t-\t-\t-\t-\t-"
	}
	return fmt.Sprintf("%d\t%d\t%d\t%d\t%.2f %%\t%.2f to %.2f %%", l.Mails, l.Refused, l.Contained, l.Bad,
		100*float64(l.Bad)/float64(l.Mails), 100*l.Low, 100*l.High)
}
