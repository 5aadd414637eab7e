package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

type statusCommand struct{ adminFlag }

// Run shows how a running kanmon is. The exit code says whether all is normal.
func (k *statusCommand) Run(c *console) error {
	problems := 0
	err := ask(&k.adminFlag, c.stdout, func(ctx context.Context, a *admin.Client) (admin.Status, error) {
		s, err := a.Status(ctx)
		problems = len(s.Problems)
		return s, err
	}, printStatus)
	if err == nil && problems > 0 {
		err = exitStatus(exitError)
	}
	return err
}

func printStatus(w io.Writer, s admin.Status) error {
	printProblems(w, s.Problems)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	version := ""
	if s.Version != "" {
		version = ", version " + s.Version
	}
	fmt.Fprintf(table, "started\t%s%s\n", when(s.Started), version)
	fmt.Fprintf(table, "sessions\t%d of at most %d; held %d, for a minute or longer %d\n", s.Sessions, s.SessionsMost, s.Held.All, s.Held.Minute)
	if s.Rules != "" {
		fmt.Fprintf(table, "firewall rules\t%s\n", s.Rules)
	}
	fmt.Fprintf(table, "sending IPs\t%s\n", counts(s.IPs.Configured, "", s.IPs.Absent, "absent", s.IPs.Standby, "standing by", s.IPs.CutOff, "cut off", s.IPs.Suspended, "suspended", s.IPs.Probing, "probing",
		s.IPs.Slowed, "slowed", s.IPs.Stopped, "stopped", s.IPs.Warming, "warming"))
	for _, ip := range s.Absent {
		fmt.Fprintf(table, "absent\t%s: no mail leaves from it, see \"kanmon ip show %s\"\n", ip, ip)
	}
	for _, ip := range s.Standby {
		fmt.Fprintf(table, "standing by\t%s: it floats, and another gateway has it\n", ip)
	}
	fmt.Fprintf(table, "senders\t%s\n", counts(-1, "none is treated otherwise than others", s.Senders.Slowed, "slowed", s.Senders.Diverted, "diverted",
		s.Senders.Stopped, "stopped", s.Senders.Blocked, "blocked", s.Senders.Exempt, "exempt"))
	if m := s.Timing; m != nil {
		fmt.Fprintf(table, "timing\t%d findings stand, %d since the start, act = %q; %d looked at, %d left out\n", m.Standing, m.Findings, m.Act, m.Seen, m.LeftOut)
	}
	fmt.Fprintf(table, "records dropped\t%s\n", dropped(&s))
	const mega = 1 << 20
	fmt.Fprintf(table, "memory\t%.1f MiB: heap in use %.1f, free %.1f, stacks %.1f; %d goroutines\n", float64(s.Mapped)/mega, float64(s.HeapLive)/mega,
		float64(s.HeapFreed)/mega, float64(s.Stacks)/mega, s.Goroutines)
	for _, h := range s.Holders {
		slowed := ""
		if h.Slowed {
			slowed = ", slowed: more than its part of too much work"
		}
		fmt.Fprintf(table, "of %s\t%d sessions, %d refused%s\n", cmp.Or(h.Tenant, h.Source), h.Sessions, h.Refused, slowed)
	}
	return table.Flush()
}

// printProblems begins with the line that a monitor shows.
func printProblems(w io.Writer, all []admin.Problem) {
	if len(all) == 0 {
		fmt.Fprintln(w, "normal")
		fmt.Fprintln(w)
		return
	}
	const shown, most = 8, 160
	fmt.Fprintf(w, "NOT normal: %s", event.Printable(all[0].What, most))
	if len(all) > 1 {
		fmt.Fprintf(w, "; and %s", count(len(all)-1, "other thing"))
	}
	fmt.Fprintln(w)
	for _, p := range all[:min(shown, len(all))] {
		fmt.Fprintf(w, "  %s: %s", p.ID, event.Printable(p.What, most))
		if p.Do != "" {
			fmt.Fprintf(w, "\n    %s", p.Do)
		}
		fmt.Fprintln(w)
	}
	if left := len(all) - shown; left > 0 {
		fmt.Fprintf(w, "  and %d more: --json\n", left)
	}
	fmt.Fprintln(w)
}

// counts says a number, and what is to be told of some; else is said where none is. Pairs are a count and a word.
func counts(all int, none string, pairs ...any) string {
	var told []string
	for i := 0; i < len(pairs); i += 2 {
		if n, _ := pairs[i].(int); n > 0 {
			told = append(told, fmt.Sprintf("%d %s", n, pairs[i+1]))
		}
	}
	switch text := strings.Join(told, ", "); {
	case all < 0:
		return cmp.Or(text, none)
	case text == "":
		return fmt.Sprint(all)
	default:
		return fmt.Sprintf("%d; %s", all, text)
	}
}

// dropped says how many records were, and whose.
func dropped(s *admin.Status) string {
	text := fmt.Sprint(s.RecordsDropped)
	var of []string
	for _, whose := range slices.Sorted(maps.Keys(s.RecordsDroppedOf)) {
		of = append(of, fmt.Sprintf("%s %d", whose, s.RecordsDroppedOf[whose]))
	}
	if len(of) > 0 {
		text += ": of " + strings.Join(of, ", ")
	}
	if s.RecordsDropped > 0 {
		text += fmt.Sprintf("; %d in the last ten minutes", s.Lately.Dropped)
	}
	return text
}
