package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"

	"kanmon/internal/admin"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/slow"
)

// askAll asks for standings, and for what else is shown with them, and says behind that what timing cannot do with so few sending IPs.
func askAll(flags *adminFlag, w io.Writer, ip netip.Addr, also func(context.Context, *admin.Client) error, shown func(io.Writer, []admin.Standing) error) error {
	var status admin.Status
	return ask(flags, w, func(ctx context.Context, a *admin.Client) (all []admin.Standing, err error) {
		if all, err = a.Standings(ctx, ip); err == nil {
			status, err = a.Status(ctx)
		}
		if err == nil && also != nil {
			err = also(ctx, a)
		}
		return all, err
	}, func(w io.Writer, all []admin.Standing) error {
		if err := shown(w, all); err != nil || status.Timing == nil {
			return err
		}
		_, err := io.WriteString(w, withFew(status.Timing.SendingIPs))
		return err
	})
}

// withFew says what timing cannot do with one sending IP, or two.
func withFew(ips int) string {
	switch ips {
	case 1:
		return "\ntiming: with one sending IP only drip is reported: there is nobody to compare with\n"
	case 2:
		return "\ntiming: with two sending IPs findings are reported and never acted on: nobody can say which is the odd one\n"
	}
	return ""
}

// ipOf names the sending IP; a finding that is about all of them has none.
func ipOf(s *admin.Standing) string {
	if !s.IP.IsValid() {
		return "all"
	}
	return s.IP.String()
}

// standsAs marks what is answered slowly.
func standsAs(s *admin.Standing) string {
	switch t := s.Timing; {
	case t == nil:
		return s.State
	case t.Suspected:
		return s.State + ", suspected"
	default:
		return s.State + ", slow there"
	}
}

// inShort says in a few words what is slow.
func inShort(t *admin.Timing) string {
	scope, _, _ := strings.Cut(t.Scope, ":")
	text := "answered slowly: " + t.Phase
	if t.Suspected {
		text = "may be " + text
	}
	if t.Here > 0 {
		text += fmt.Sprintf(" %.1f s", t.Here)
	}
	if t.Others > 0 {
		text += fmt.Sprintf(", other IPs %.1f s", t.Others)
	}
	return text + " (" + scope + ")"
}

// printTimings shows all that is known of what is answered slowly.
func printTimings(w io.Writer, all []admin.Standing) {
	for i := range all {
		t := all[i].Timing
		if t == nil {
			continue
		}
		fmt.Fprintf(w, "\n%s at %s, by its times:\n", ipOf(&all[i]), orDash(all[i].Provider, "several providers"))
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		line := func(what, text string) { fmt.Fprintf(table, "  %s\t%s\n", what, text) }
		line("scope", whom(t))
		line("phase", t.Phase)
		line("time", times(t))
		rests := fmt.Sprintf("%d mails", t.Mails)
		if t.Tenants > 0 { // of connections that were refused nobody knows whose mail it was to be
			rests += fmt.Sprintf(", of %d tenants that were slow", t.Tenants)
		}
		line("rests on", rests+", since "+when(t.Since))
		if t.Waits > 0 {
			line("a mail waits", fmt.Sprintf("%.1f s in all, of the last ones", t.Waits))
		}
		line("done", done(t))
		if t.Shaping != "" {
			line("shaping", t.Shaping)
		}
		_ = table.Flush() // of w, whose next error counts
	}
}

func whom(t *admin.Timing) string {
	text := t.Scope
	for _, who := range []string{t.Host, t.Tenant} {
		if who != "" {
			text += ": " + who
		}
	}
	if t.Suspected {
		text += " (suspected: nothing is sure yet)"
	}
	return text
}

func times(t *admin.Timing) string {
	if t.Refuses > 0 {
		return fmt.Sprintf("connections are refused; usually %.1f %% of them are", 100*t.Refuses)
	}
	var parts []string
	for _, part := range []struct {
		what string
		s    float64
	}{{"here", t.Here}, {"other IPs", t.Others}, {"before", t.Before}} {
		if part.s > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f s", part.what, part.s))
		}
	}
	if len(parts) == 0 {
		return "replies come in pieces"
	}
	return strings.Join(parts, ", ")
}

// done says what is done about it, and why not more.
func done(t *admin.Timing) string {
	text := map[string]string{
		"told":   "nothing but this report",
		"split":  "half of its new sessions leave from other sending IPs, to compare with",
		"slowed": "half of its new sessions leave from other sending IPs",
		"moved":  "its new sessions leave from other sending IPs; 1 in 20 stays, to find out when it ends",
	}[t.Done]
	if t.Why != "" {
		text += ": " + t.Why
	}
	return text
}

// timing says what becomes of a mail whose sending IP the provider is slow to answer, where anything does.
func (p *explanation) timing(choice route.Choice, h route.Handling) {
	part := map[slow.Act]string{slow.Slow: "half of its new sessions there", slow.Move: "half of its new sessions there, and 1 in 20 while mail waits for more than 30 s"}[p.cfg.Timing.Act]
	if part == "" || choice.Pool == "" || len(choice.IPs()) < 2 || !h.Heeds() {
		return
	}
	p.line("timing", "a sending IP that the provider is slow to answer keeps "+part+" (kanmon ip list); the others begin at the next one")
}
