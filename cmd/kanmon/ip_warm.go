package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"kanmon/internal/admin"
)

type ipWarmCommand struct {
	adminFlag
	IP     netip.Addr `arg:"" optional:"" help:"The sending IP; default: all with warm_up."`
	Step   int        `help:"Go on at this step, 1 for the first: to warm up again, or to skip steps." placeholder:"NUMBER"`
	Finish bool       `help:"The sending IP is warm: it takes its whole part of the mail from now on."`
	Reason string     `help:"The reason of a change, for whoever reads it later." placeholder:"TEXT"`
}

// Validate says what cannot be meant.
func (k *ipWarmCommand) Validate() error {
	changes := k.Step != 0 || k.Finish
	switch {
	case k.Step != 0 && k.Finish:
		return fmt.Errorf("--step and --finish: want one of them")
	case changes && !k.IP.IsValid():
		return fmt.Errorf("--step and --finish are for one sending IP: name it")
	case changes && k.Reason == "":
		return fmt.Errorf("a change wants its --reason")
	case !changes && k.Reason != "":
		return fmt.Errorf("--reason is for a change: --step or --finish")
	}
	return nil
}

// Run shows how far along sending IPs are, or has one go on elsewhere.
func (k *ipWarmCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) ([]admin.WarmUp, error) {
		if k.Step != 0 || k.Finish {
			return a.OrderWarmUp(ctx, k.IP, admin.WarmUpOrder{Step: k.Step, Finish: k.Finish, Reason: k.Reason})
		}
		return a.WarmUps(ctx, k.IP)
	}, printWarmUps)
}

func printWarmUps(w io.Writer, all []admin.WarmUp) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no sending IP has warm_up")
		return err
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printWarmUp(w, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

func printWarmUp(w io.Writer, u *admin.WarmUp) error {
	switch u.State {
	case admin.Warming:
		fmt.Fprintf(w, "%s  warming: step %d of %d (plan %s), %d of %d mails today, %.3g %% of its senders\n", u.IP, min(u.Step, u.Steps), u.Steps, u.Plan, u.Mails, u.Amount, 100*u.Share)
	default:
		fmt.Fprintf(w, "%s  %s (plan %s)\n", u.IP, u.State, u.Plan)
	}
	fmt.Fprintf(w, "    begun %s; this step since %s; mail last left from it %s\n", orDash(u.Begun, "-"), orDash(u.Since, "-"), orDash(u.Used, "-"))
	if u.Repeats > 0 {
		fmt.Fprintf(w, "    repeated %s: %s\n", count(u.Repeats, "time"), u.Why)
	}
	if u.Repeats == 0 && u.Why != "" {
		fmt.Fprintf(w, "    put at this step: %s\n", u.Why)
	}
	if u.Finding != "" {
		fmt.Fprintf(w, "    today's finding repeats the step: %s\n", u.Finding)
	}
	if u.Ends != "" {
		fmt.Fprintf(w, "    warm on %s, if it goes on like this\n", u.Ends)
	}
	if u.Note != "" {
		fmt.Fprintf(w, "    %s\n", u.Note)
	}
	if len(u.Classes) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 4, 0, 2, ' ', 0)
	fmt.Fprintln(table, "    PROVIDER\tSTEP\tTODAY\tBEYOND\tIN THE STEP\tACCEPTED\tNOTE")
	for _, c := range u.Classes {
		amount := "all"
		if c.Amount > 0 {
			amount = fmt.Sprint(c.Amount)
		}
		fmt.Fprintf(table, "    %s\t%d\t%d of %s\t%d\t%d\t%s\t%s\n", orDash(c.Provider, "all others"), min(c.Step, u.Steps), c.Mails, amount, c.Over, c.Tried, part(c.Accepted, c.Tried), noteOnClass(&c))
	}
	return table.Flush()
}

func noteOnClass(c *admin.WarmUpClass) string {
	switch {
	case !c.Rests.IsZero():
		return "rests until " + when(c.Rests)
	case c.Finding != "":
		return "repeats the step: " + c.Finding
	}
	return "-"
}

func part(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(of))
}
