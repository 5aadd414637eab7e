package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"kanmon/internal/admin"
	"kanmon/test/netlab"
)

//go:embed compromised.md
var compromisedText string

// CompromisedConditions are those of the compromised account.
func (r *results) CompromisedConditions() string {
	c := r.plan.compromised
	return fmt.Sprintf("%d tenants submit a mail every %.0f s each, and so do %d honest accounts of one more tenant, from %.0f s before the start until second %.0f; one of %d mails goes to an unknown recipient. "+
		"At second %.0f another account of that tenant is compromised and submits %d mails, as fast as they are taken; %d of 5 go to unknown recipients. "+
		"Every mail has another recipient; they are spread evenly over three providers with %d domains each, which wait %s before each reply. "+
		"A Postfix for each tenant; %v and %v are shared by all. %s",
		othersTenants, 1/accountRate, honestAccounts, c.warmUp.Seconds(), c.submit.Seconds(), usualUnknown, c.breakIn.Seconds(), c.mails, massUnknown,
		providerDomains, milliseconds(farMX), netlab.SendingIPv4, netlab.OtherSendingIPv4, r.postfixConditions())
}

// Reputation is when a provider lists a sending IP.
func (r *results) Reputation() reputation { return r.plan.compromised.reputation }

// CompromisedRows are the table of the experiment: what each row is about, and a column for each set-up.
func (r *results) CompromisedRows() (rows [][]string) {
	if r.Compromised == nil {
		return nil
	}
	rows = append(rows, []string{""})
	for i, run := range r.Compromised {
		rows[0] = append(rows[0], run.Title)
		column := slices.Concat(run.accountRows(), run.Others.rows("other tenants"), run.Honest.rows("honest accounts of the tenant"), run.ipRows())
		for n, row := range column {
			if i == 0 {
				rows = append(rows, []string{row[0]})
			}
			rows[n+1] = append(rows[n+1], row[1])
		}
	}
	return rows
}

// printRows prints a table.
func printRows(w io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// massUnknown is how many of the compromised account's mails go to unknown recipients.
func (p *plan) massUnknown() int { return p.compromised.mails * massUnknown / 5 }

// participles say what a step does to an account.
var participles = map[string]string{admin.LevelSlow: "slowed", admin.LevelDivert: "diverted", admin.LevelStop: "stopped"}

// accountRows are about the compromised account.
func (r *compromisedRun) accountRows() (rows [][2]string) {
	a, m := &r.Attack, &r.Mass
	const who = "compromised account: "
	rows = [][2]string{
		{who + "mails submitted", fmt.Sprintf("%d within %.1f s", m.Accepted, r.Injection.Seconds())},
		{who + "mails at an MX, of them to unknown recipients", fmt.Sprintf("%d, %d", a.Mails, a.Unknown)},
	}
	for _, s := range a.Steps {
		text := "not in the run"
		if s.Reached {
			text = fmt.Sprintf("%d, %d, after %.1f s", s.Mails, s.Unknown, s.After.Seconds())
			if !r.Contain {
				text += " (would have been)"
			}
		}
		rows = append(rows, [2]string{who + "the same before it was " + participles[s.Level], text})
	}
	return append(rows,
		[2]string{who + "delivered, returned, waiting in the end", fmt.Sprintf("%d, %d, %d", m.Arrived, m.Bounced+m.Returning, m.Waiting)},
		[2]string{who + "lost, twice", fmt.Sprintf("%d, %d", m.Lost, m.Twice)},
		[2]string{who + "acts of kanmon", r.actsText()},
		[2]string{who + "level in the end", r.Told.levelText()},
		[2]string{"others contained in the end; acts of kanmon on them", fmt.Sprintf("%d; %d", r.Told.others(), r.ActsOnOthers)})
}

func (r *compromisedRun) actsText() string {
	var out []string
	for _, name := range []string{"delayed", "deferred", "diverted", "would_delay", "would_defer", "would_divert"} {
		if n := r.Acts[name]; n > 0 {
			out = append(out, fmt.Sprintf("%s %d", name, n))
		}
	}
	return cmp.Or(strings.Join(out, ", "), "none")
}

func (t *told) levelText() string {
	if t.Account.InForce == t.Account.Would {
		return t.Account.InForce
	}
	return fmt.Sprintf("%s; would be %s", t.Account.InForce, t.Account.Would)
}

// others counts the tenants and accounts that are not normal, but for the compromised one.
func (t *told) others() (n int) {
	for _, s := range t.Senders {
		if s.Account != compromisedAddress {
			n++
		}
	}
	return n
}

// Unreached names the steps that were not reached; "" if all were.
func (r *compromisedRun) Unreached() string {
	var out []string
	for _, s := range r.Attack.Steps {
		if !s.Reached {
			out = append(out, participles[s.Level])
		}
	}
	return strings.Join(out, " or ")
}

// rows are about those who did nothing bad.
func (e *experience) rows(who string) [][2]string {
	m := &e.Mails
	return [][2]string{
		{who + ": mails, of them to unknown recipients", fmt.Sprintf("%d, %d", m.Accepted, e.Unknown)},
		{who + ": delay before, median, p95, largest", e.Before.text()},
		{who + ": delay from the break-in on", e.Then.text()},
		{who + ": refused, put off", fmt.Sprintf("%d, %d", e.Refused, e.Deferred)},
		{who + ": lost, twice", fmt.Sprintf("%d, %d", m.Lost, m.Twice)},
	}
}

func (d *delays) text() string {
	text := fmt.Sprintf("%.2f s, %.2f s, %.2f s", d.Median.Seconds(), d.P95.Seconds(), d.Max.Seconds())
	if d.Late > 0 {
		text += fmt.Sprintf("; %d of %d not arrived", d.Late, d.N)
	}
	return text
}

// ipRows are about the sending IPs.
func (r *compromisedRun) ipRows() [][2]string {
	var listed, standing []string
	refused := 0
	for _, l := range r.Listings {
		listed = append(listed, fmt.Sprintf("%s: %v after %.1f s", l.Provider, l.IP, (l.At-r.Attack.First).Seconds()))
		refused += l.Refused
	}
	for _, s := range r.Told.Standings {
		standing = append(standing, fmt.Sprintf("%s: %v %s", s.Provider, s.IP, s.State))
	}
	return [][2]string{
		{"listed by providers", cmp.Or(strings.Join(listed, "; "), "nobody")},
		{"RCPTs refused for that; another IP went on; none did", fmt.Sprintf("%d; %d; %d", refused, r.Done.Rescued, r.Done.Other)},
		{"kanmon ip list in the end", cmp.Or(strings.Join(standing, "; "), "every sending IP is active everywhere")},
	}
}

// compromisedChart has what the MXs saw of the account, and what the other tenants got through.
func (r *results) compromisedChart() chart {
	c := chart{
		title: "Mails of the compromised account at the MXs, and delivered mails of the other tenants",
		x:     "seconds since the start", y: "cumulative mails", conditions: r.CompromisedConditions(), logY: true,
	}
	for _, run := range r.Compromised {
		colour := orange
		if run.Contain {
			colour = blue
		}
		bad := series{
			name:   fmt.Sprintf("%s: the account, %d mails at MXs", run.Title, run.Attack.Mails),
			points: atLeastOne(upToSeconds(run.Attack.times(), run.lasted)), colour: colour,
		}
		delivered := upToSeconds(run.clean, run.lasted)
		clean := series{
			name:   fmt.Sprintf("%s: others, %d delivered, %d put off", run.Title, slices.Max(delivered), run.Others.Deferred),
			points: atLeastOne(delivered), colour: colour, dashes: dashed,
		}
		c.lines = append(c.lines, bad, clean)
	}
	for _, run := range r.Compromised {
		if !run.Contain && len(run.Listings) > 0 {
			first := run.Listings[0]
			c = c.marked(fmt.Sprintf("%s: a provider lists %v", run.Title, first.IP), first.At.Seconds(), dotted)
		}
		for i, s := range run.Attack.Steps {
			if run.Contain && s.Reached {
				name, gap := fmt.Sprintf("%s: the account is %s", run.Title, participles[s.Level]), vg.Points(3*float64(i+1))
				c = c.marked(name, (run.Attack.First + s.After).Seconds(), []vg.Length{vg.Points(6), gap})
			}
		}
	}
	return c
}

// atLeastOne leaves out what an axis that begins at 1 cannot show.
func atLeastOne(counts []int) (points plotter.XYs) {
	for _, point := range countPoints(counts) {
		if point.Y >= 1 {
			points = append(points, point)
		}
	}
	return points
}
