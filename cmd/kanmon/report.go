package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/event/journal"
	"kanmon/internal/view/find"
	"kanmon/internal/view/report"
)

type reportCommand struct {
	pastFlag
	Tenant string    `required:"" help:"Whose mail it is about." placeholder:"NAME"`
	Month  string    `help:"The month, as 2026-11; default: the last whole one." placeholder:"MONTH"`
	From   string    `help:"In place of a month: from this day, or full hour, on." placeholder:"TIME"`
	To     string    `help:"To this day, or full hour, which is not of it any more." placeholder:"TIME"`
	As     string    `help:"Form: html, text, csv or json." enum:"html,text,csv,json" default:"text" placeholder:"FORM"`
	Lang   find.Lang `help:"Language: en or ja." default:"en" placeholder:"LANG"`
}

// Help says for whom it is.
func (*reportCommand) Help() string {
	return `The report is for the tenant: nothing of other tenants, of your sending IPs or of your operators is in it. As html it is one file that needs nothing else, to be sent or printed:

kanmon report --tenant acme --month 2026-11 --as html > acme-2026-11.html`
}

// Run writes a report about the mail of a tenant.
func (k *reportCommand) Run(c *console) error {
	now := time.Now()
	from, to, err := k.span(now)
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	p.searched(ctx, c, "", fmt.Sprintf("report about tenant %s, %s to %s", k.Tenant, from.Format(time.DateOnly), to.Format(time.DateOnly)))
	r, err := report.Make(ctx, p.Store, report.Options{Tenant: k.Tenant, From: from, To: to, In: time.Local, Clear: p.shown.Mode == journal.AddressesClear, Now: now})
	if err != nil {
		return err
	}
	if r.Total.Attempts == 0 {
		if err := noTenant(p.cfg, k.Tenant); err != nil {
			return err
		}
	}
	d := r.Document(k.Lang)
	switch {
	case k.JSON || k.As == "json":
		return printJSON(c.stdout, r)
	case k.As == "html":
		return d.HTML(c.stdout)
	case k.As == "csv":
		return d.CSV(c.stdout)
	}
	return d.Text(c.stdout)
}

// span is the time that the report is about.
func (k *reportCommand) span(now time.Time) (from, to time.Time, err error) {
	if k.Month != "" && k.From+k.To != "" {
		return from, to, errors.New("both --month and --from or --to are given: want one of them")
	}
	if k.From+k.To == "" {
		from = time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.Local)
		if k.Month != "" {
			if from, err = time.ParseInLocation("2006-01", k.Month, time.Local); err != nil {
				return from, to, fmt.Errorf("--month %q: want a month such as 2026-11", k.Month)
			}
		}
		return from, from.AddDate(0, 1, 0), nil
	}
	if k.From == "" || k.To == "" {
		return from, to, errors.New("want both --from and --to, or --month")
	}
	if from, err = find.Time(k.From, now, time.Local); err != nil {
		return from, to, fmt.Errorf("--from: %w", err)
	}
	if to, err = find.Time(k.To, now, time.Local); err != nil {
		return from, to, fmt.Errorf("--to: %w", err)
	}
	if !from.Before(to) {
		return from, to, fmt.Errorf("the time ends before it begins: from %s to %s", when(from), when(to))
	}
	return from, to, nil
}

// noTenant says that nobody has a name.
func noTenant(cfg *config.Config, name string) error {
	var names []string
	for i := range cfg.Tenants {
		names = append(names, cfg.Tenants[i].Name)
	}
	if slices.Contains(names, name) {
		return nil
	}
	if len(names) == 0 {
		return fmt.Errorf("no mail of a tenant %q is kept of that time, and the configuration has no [[tenant]]", name)
	}
	return fmt.Errorf("no mail of a tenant %q is kept of that time, and the configuration has none of that name: it has %s", name, strings.Join(names, ", "))
}
