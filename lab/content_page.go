package main

import (
	"fmt"
	"image/color"
	"slices"
)

// ContentConditions are those of the compromised account with scanners.
func (r *results) ContentConditions() string {
	c := r.plan.content
	return fmt.Sprintf("As above, but for these: the compromised account submits %d mails, all to recipients that exist and all with the test line of spam; the others submit until second %.0f.",
		c.mails, c.submit.Seconds())
}

// ContentRows are the table of the runs with scanners: what each row is about, and a column for each set-up.
func (r *results) ContentRows() (rows [][]string) {
	if r.Content == nil {
		return nil
	}
	rows = append(rows, []string{""})
	for i, run := range r.Content {
		rows[0] = append(rows[0], run.Title)
		for n, row := range run.rows() {
			if i == 0 {
				rows = append(rows, []string{row[0]})
			}
			rows[n+1] = append(rows[n+1], row[1])
		}
	}
	return rows
}

func (r *contentRun) rows() [][2]string {
	const who = "compromised account: "
	m := &r.Spam
	before := fmt.Sprintf("%d; none was", r.Before)
	if r.Stopped > 0 {
		before = fmt.Sprintf("%d, at second %.1f", r.Before, r.Stopped.Seconds())
	}
	scanned := "–"
	if t := &r.ScanTime; t.N > 0 {
		scanned = fmt.Sprintf("%d, %s, %s", t.N, milliseconds(t.Median), milliseconds(t.P99))
	}
	return [][2]string{
		{who + "spams submitted", fmt.Sprintf("%d within %.1f s", m.Accepted, r.Injection.Seconds())},
		{who + "spams delivered before one was refused for its content", before},
		{who + "spams delivered in all, returned, waiting in the end", fmt.Sprintf("%d, %d, %d", m.Arrived, m.Bounced+m.Returning, m.Waiting)},
		{who + "lost, twice", fmt.Sprintf("%d, %d", m.Lost, m.Twice)},
		{who + "scanned, refused for their content", fmt.Sprintf("%d, %d", r.Scanned, r.Refused)},
		{"mails that waited for a verdict: of the other tenants, of the tenant's honest accounts", fmt.Sprintf("%d, %d%s", r.HeldOthers, r.HeldHonest, r.HeldFor)},
		{"other tenants: mails; refused, put off, lost, twice", fmt.Sprintf("%d; %s", r.Others.Mails.Accepted, r.Others.harm())},
		{"other tenants: delay before, p50, p95, p99", r.Others.Before.quantiles()},
		{"other tenants: delay from the break-in on", r.Others.Then.quantiles()},
		{"honest accounts of the tenant: mails; refused, put off, lost, twice", fmt.Sprintf("%d; %s", r.Honest.Mails.Accepted, r.Honest.harm())},
		{"honest accounts of the tenant: delay from the break-in on", r.Honest.Then.quantiles()},
		{"scans by Rspamd; p50, p99 of their time", scanned},
	}
}

func (e *experience) harm() string {
	return fmt.Sprintf("%d, %d, %d, %d", e.Refused, e.Deferred, e.Mails.Lost, e.Mails.Twice)
}

func (d *delays) quantiles() string {
	text := fmt.Sprintf("%.2f s, %.2f s, %.2f s", d.Median.Seconds(), d.P95.Seconds(), d.P99.Seconds())
	if d.Late > 0 {
		text += fmt.Sprintf("; %d of %d not arrived", d.Late, d.N)
	}
	return text
}

// ContentVerdicts judges the runs with scanners, each beside that without one.
func (r *results) ContentVerdicts() (all []verdict) {
	if len(r.Content) == 0 {
		return nil
	}
	off := r.Content[0]
	allowed := off.Others.Then.P99*slowerPercent/100 + slowerBy
	for _, run := range r.Content[1:] {
		o := &run.Others
		all = append(all, verdict{
			run.Title + ": the spam is found, and fewer are delivered than without a scanner",
			fmt.Sprintf("%d of %d, %d without", run.Spam.Arrived, run.Spam.Accepted, off.Spam.Arrived), run.Refused > 0 && run.Spam.Arrived < off.Spam.Arrived,
		}, verdict{
			run.Title + ": no mail of the other tenants waits for a verdict, is refused, put off, lost or doubled",
			fmt.Sprintf("%d; %s of %d", run.HeldOthers, o.harm(), o.Mails.Accepted), run.HeldOthers+o.Refused+o.Deferred+o.Mails.Lost+o.Mails.Twice+o.Then.Late == 0,
		}, verdict{
			fmt.Sprintf("%s: the other tenants' delay (p99) from the break-in on is at most %d %% of that without a scanner and %s", run.Title, slowerPercent, milliseconds(slowerBy)),
			fmt.Sprintf("%.2f s, %.2f s without", o.Then.P99.Seconds(), off.Others.Then.P99.Seconds()), o.Then.P99 <= allowed,
		})
	}
	return all
}

// contentChart has what of the account's mail was delivered, and what of the other tenants'.
func (r *results) contentChart() chart {
	c := chart{
		title: "Delivered mails of the compromised account and of the other tenants, with and without scanners",
		x:     "seconds since the start", y: "cumulative mails", conditions: r.ContentConditions(), logY: true,
	}
	colours := []color.Color{orange, green, blue}
	for i, run := range r.Content {
		delivered := upToSeconds(run.clean, run.lasted)
		c.lines = append(c.lines,
			series{name: fmt.Sprintf("%s: the account, %d delivered", run.Title, run.Spam.Arrived), points: atLeastOne(upToSeconds(run.spam, run.lasted)), colour: colours[i]},
			series{name: fmt.Sprintf("%s: others, %d delivered", run.Title, slices.Max(delivered)), points: atLeastOne(delivered), colour: colours[i], dashes: dashed})
	}
	return c
}
