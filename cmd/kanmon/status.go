package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"kanmon/internal/admin"
)

type statusCommand struct{ adminFlag }

// Run shows how a running kanmon is.
func (k *statusCommand) Run(c *console) error {
	return ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.Status, error) { return a.Status(ctx) }, printStatus)
}

func printStatus(w io.Writer, s admin.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "started\t%s\n", when(s.Started))
	fmt.Fprintf(table, "sessions\t%d\n", s.Sessions)
	if s.Rules != "" {
		fmt.Fprintf(table, "firewall rules\t%s\n", s.Rules)
	}
	for _, ip := range s.Absent {
		fmt.Fprintf(table, "absent\t%s: no mail leaves from it, see \"kanmon ip show %s\"\n", ip, ip)
	}
	if m := s.Timing; m != nil {
		fmt.Fprintf(table, "timing\t%d findings stand, %d since the start, act = %q; %d looked at, %d left out\n", m.Standing, m.Findings, m.Act, m.Seen, m.LeftOut)
	}
	fmt.Fprintf(table, "records dropped\t%d\n", s.RecordsDropped)
	for _, whose := range slices.Sorted(maps.Keys(s.RecordsDroppedOf)) {
		fmt.Fprintf(table, "  of %s\t%d\n", whose, s.RecordsDroppedOf[whose])
	}
	fmt.Fprintf(table, "goroutines\t%d\n", s.Goroutines)
	for _, m := range []struct {
		name   string
		octets uint64
	}{{"heap in use", s.HeapLive}, {"heap free", s.HeapFreed}, {"stacks", s.Stacks}, {"memory in all", s.Mapped}} {
		fmt.Fprintf(table, "%s\t%.1f MiB\n", m.name, float64(m.octets)/(1<<20))
	}
	for _, h := range s.Holders {
		slowed := ""
		if h.Slowed {
			slowed = ", slowed: more than its part of too much work"
		}
		fmt.Fprintf(table, "of %s\t%d sessions, %d refused%s\n", cmp.Or(h.Tenant, h.Source), h.Sessions, h.Refused, slowed)
	}
	return table.Flush()
}
