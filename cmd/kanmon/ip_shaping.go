package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"kanmon/internal/admin"
)

type ipShapingCommand struct {
	adminFlag
	IP netip.Addr `arg:"" optional:"" help:"The sending IP; default: all of them."`
}

// Run shows what of providers' limits sending IPs use.
func (k *ipShapingCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.Shaping, error) {
		return a.Shaping(ctx, k.IP)
	}, printShaping)
}

func printShaping(w io.Writer, s admin.Shaping) error {
	if len(s.Takes) == 0 {
		_, err := fmt.Fprintf(w, "mode %q: no MX of a provider with a known limit has been met yet\n", s.Mode)
		return err
	}
	if _, err := fmt.Fprintf(w, "mode %q\n", s.Mode); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SENDING IP\tPROVIDER\tCOUNT\tUSED\tNOW\tKNOWN\tTIGHTENED\tSOURCE")
	for i := range s.Takes {
		t := &s.Takes[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.IP, t.Provider, t.Count, usedOf(t), anyIfNone(t.Now), knownOf(t), tightenedOf(t), orDash(t.Source, "-"))
	}
	return table.Flush()
}

// usedOf says how much is used: of what one connection, or one message, may have there is no one number.
func usedOf(t *admin.Takes) string {
	if strings.Contains(t.Count, "_per_") || !t.Kept {
		return "-"
	}
	return fmt.Sprint(t.Used)
}

// tightenedOf says since when less is left than is known, and by what, where that is no reply.
func tightenedOf(t *admin.Takes) string {
	text := when(t.Since)
	if t.ByTime {
		text += ", by timing"
	}
	return text
}

func anyIfNone(n int64) string {
	if n == 0 {
		return "any"
	}
	return fmt.Sprint(n)
}

func knownOf(t *admin.Takes) string {
	if t.Amount == 0 {
		return "-"
	}
	known := fmt.Sprint(t.Amount)
	if t.Every != "" {
		known += " in " + t.Every
	}
	if !t.Kept {
		known += ", only shown"
	}
	return known
}
