package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
	"kanmon/internal/view/tally"
)

type providerCommand struct {
	Takes providerTakesCommand `cmd:"" default:"withargs" help:"Show how much each provider takes from one sending IP, as far as that is known, and from where."`
	Show  providerShowCommand  `cmd:"" help:"Show what came of mail to a provider in the last hours: phases, sending IPs, refusals, tenants, who waits, what kanmon did."`
}

type providerShowCommand struct {
	pastFlag
	Name string `arg:"" name:"provider" help:"The provider."`
	spanFlags
	Lang find.Lang `help:"Language of what refusals mean: en or ja." default:"en" placeholder:"LANG"`
}

// A providerShown is what is printed of a provider.
type providerShown struct {
	Provider string         `json:"provider"`
	From     time.Time      `json:"from"`
	To       time.Time      `json:"to"`
	Outcomes tally.Outcomes `json:"outcomes"`
	Unsaid   int64          `json:"deferred_unsaid"`      // by no reply of the provider's
	Slow     string         `json:"slow_phase,omitempty"` // the one that takes much longer than a week before
	SlowTo   []string       `json:"slow_to,omitempty"`    // the sending IPs that wait so long there
	Phases   []phaseShown   `json:"phases"`
	IPs      []ipShown      `json:"sending_ips"`
	Refusals []find.Refused `json:"refusals"`
	Tenants  []tenantShown  `json:"tenants"`
	Waiting  waits          `json:"waiting"`
	Did      []tally.News   `json:"did"` // the newest first
	worst    string
	measured int // sending IPs
}

type phaseShown struct {
	Phase string      `json:"phase"`
	Now   spansShown  `json:"now"`
	Week  *spansShown `json:"a_week_before,omitempty"`
}

// spansShown are seconds; nil: longer than history tells apart.
type spansShown struct {
	Count int64    `json:"count"`
	P50   *float64 `json:"p50_seconds"`
	P90   *float64 `json:"p90_seconds"`
}

type ipShown struct {
	SendingIP string         `json:"sending_ip"`
	Outcomes  tally.Outcomes `json:"outcomes"`
	Worst     spansShown     `json:"worst_phase"`
}

type tenantShown struct {
	Tenant   string         `json:"tenant"`
	Outcomes tally.Outcomes `json:"outcomes"`
}

// Run shows what one asks when mail to a provider is late.
func (k *providerShowCommand) Run(c *console) error {
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	const usual = 6 * time.Hour
	from, to, err := k.between(usual)
	if err != nil {
		return err
	}
	from = from.UTC().Truncate(time.Hour).In(time.Local) // as history has tenants: so all sums are of one time, which is the one that is printed
	found, err := tally.OfProvider(ctx, p, k.Name, from, to)
	if err != nil {
		return err
	}
	f := &find.Finder{Store: p.Store, Rules: p.rules}
	shown := k.shown(f, found)
	if k.JSON {
		err = printJSON(c.stdout, shown)
	}
	switch {
	case err != nil:
		return err
	case shown.Outcomes.Attempts == 0 && shown.Waiting.Mails == 0:
		return fmt.Errorf("no mail to provider %s from %s to %s: %s.\n\"kanmon explain --recipient ADDRESS\" says which provider a recipient is of", event.Printable(k.Name, find.MaxTerm),
			when(from), when(to), p.kept())
	case k.JSON:
		return nil
	default:
		return shown.print(c.stdout)
	}
}

func (k *providerShowCommand) shown(f *find.Finder, p *tally.Provider) *providerShown {
	s := &providerShown{
		Provider: p.Name, From: p.From, To: p.To, Outcomes: p.Over.Sum, Unsaid: p.Unsaid, Phases: []phaseShown{}, IPs: []ipShown{}, Refusals: []find.Refused{}, Tenants: []tenantShown{},
		Waiting: waitsOf(&p.Waiting), Did: tally.AllNews(p.Did), worst: p.Worst,
	}
	for i := range p.Phases {
		ph := &p.Phases[i]
		one := phaseShown{Phase: ph.Name, Now: spansOf(ph.Now)}
		if ph.Before.Known() {
			week := spansOf(ph.Before)
			one.Week = &week
		}
		if ph.Slow() && ph.Name == p.Worst {
			s.Slow = ph.Name
			s.SlowTo, s.measured = p.SlowTo()
		}
		s.Phases = append(s.Phases, one)
	}
	for i := range p.IPs {
		ip := "-"
		if a := p.IPs[i].SendingIP; a.IsValid() {
			ip = a.String()
		}
		s.IPs = append(s.IPs, ipShown{ip, p.IPs[i].Outcomes, spansOf(p.IPs[i].Worst)})
	}
	t := find.Teller{Lang: k.Lang, In: time.Local}
	for i := range p.Refusals {
		s.Refusals = append(s.Refusals, t.Refused(f, &p.Refusals[i], p.From))
	}
	for i := range p.Tenants {
		s.Tenants = append(s.Tenants, tenantShown{p.Tenants[i].Name, p.Tenants[i].Outcomes})
	}
	return s
}

func spansOf(of tally.Spans) spansShown {
	s := spansShown{Count: of.Count}
	if of.Known() {
		s.P50, s.P90 = finite(of.P50), finite(of.P90)
	}
	return s
}

func finite(f float64) *float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}

// print writes what is most asked first: what is slow, from where, for whom.
func (s *providerShown) print(w io.Writer) error {
	o := &s.Outcomes
	fmt.Fprintf(w, "%s, %s to %s\n", shownName(s.Provider), when(s.From), when(s.To))
	fmt.Fprintf(w, "%d attempts: delivered %s, deferred %s, refused %s, unclear %s; new mail at once %.0f %%, rescued %d\n", o.Attempts, share(o, o.Delivered), share(o, o.Deferred),
		share(o, o.Refused), share(o, o.Unclear), 100*o.AtOnce(), o.Rescued)
	if s.Unsaid > 0 {
		fmt.Fprintf(w, "%d of them were deferred by no reply of the provider's: by kanmon (a limit, containment, no sending IP left: kanmon tenant explain NAME,\nkanmon ip list), or since the connection was lost\n", s.Unsaid)
	}
	s.printSlow(w)
	if err := errors.Join(s.printTimes(w), s.printSenders(w)); err != nil {
		return err
	}
	if len(s.Refusals) > 0 {
		fmt.Fprintln(w, "\nRefusals")
		for i := range s.Refusals {
			fmt.Fprintf(w, "%s: %s\n", orDash(s.Refusals[i].Class, "kanmon"), s.Refusals[i].Meaning)
			printRefused(w, &s.Refusals[i])
		}
	}
	if len(s.Did) > 0 {
		fmt.Fprintln(w, "\nWhat was done, the newest first")
		for i := range s.Did {
			fmt.Fprintf(w, "%s  %s: %s\n", when(s.Did[i].At), shownName(s.Did[i].Who), event.Printable(s.Did[i].What, mostOfNews))
		}
	}
	return nil
}

// printSlow says what is slow, and to whom, if anything is.
func (s *providerShown) printSlow(w io.Writer) {
	for i := range s.Phases {
		ph := &s.Phases[i]
		if ph.Phase != s.Slow {
			continue
		}
		before := "nothing is known of a week before"
		if ph.Week != nil {
			before = fmt.Sprintf("a week before %s", longest(ph.Week.Count, ph.Week.P90))
		}
		to := ""
		switch others := s.measured - len(s.SlowTo); {
		case s.measured < 2 || len(s.SlowTo) == 0:
		case others == 0:
			to = "; to all sending IPs"
		default:
			to = fmt.Sprintf("; to %s, not to the other %d", strings.Join(s.SlowTo, ", "), others)
		}
		fmt.Fprintf(w, "SLOW: %s takes %s in the worst tenth, %s%s\n", s.Slow, longest(ph.Now.Count, ph.Now.P90), before, to)
	}
}

func (s *providerShown) printTimes(w io.Writer) (err error) {
	if len(s.Phases) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(w, "Times are coarse: each is counted in one of 15 classes, from 10 ms to 15 minutes. P50 and P90 lie in the class, no more is known.")
		table := newTable(w, "PHASE\tP50\tP90\tMAILS\tA WEEK BEFORE: P50\tP90")
		for i := range s.Phases {
			ph := &s.Phases[i]
			week := spansShown{}
			if ph.Week != nil {
				week = *ph.Week
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", ph.Phase, longest(ph.Now.Count, ph.Now.P50), longest(ph.Now.Count, ph.Now.P90), ph.Now.Count,
				longest(week.Count, week.P50), longest(week.Count, week.P90))
		}
		err = errors.Join(err, table.Flush())
	}
	if len(s.IPs) > 0 {
		fmt.Fprintln(w)
		table := newTable(w, "SENDING IP\tATTEMPTS\tDELIVERED\tDEFERRED\tREFUSED\t"+strings.ToUpper(orDash(s.worst, "phase"))+" P50\tP90")
		for i := range s.IPs {
			ip := &s.IPs[i]
			o := &ip.Outcomes
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", ip.SendingIP, o.Attempts, share(o, o.Delivered), share(o, o.Deferred), share(o, o.Refused),
				longest(ip.Worst.Count, ip.Worst.P50), longest(ip.Worst.Count, ip.Worst.P90))
		}
		err = errors.Join(err, table.Flush())
	}
	return err
}

func (s *providerShown) printSenders(w io.Writer) (err error) {
	if len(s.Tenants) > 0 {
		fmt.Fprintln(w)
		table := newTable(w, "TENANT\tATTEMPTS\tDELIVERED\tDEFERRED\tREFUSED")
		for i := range s.Tenants {
			o := &s.Tenants[i].Outcomes
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", shownName(s.Tenants[i].Tenant), o.Attempts, share(o, o.Delivered), share(o, o.Deferred), share(o, o.Refused))
		}
		err = errors.Join(err, table.Flush())
	}
	if s.Waiting.Mails > 0 {
		fmt.Fprintf(w, "\n%s of %s wait, by age\n", plural(s.Waiting.Mails, "mail"), plural(int64(s.Waiting.Tenants), "tenant"))
		err = errors.Join(err, printWaiting(w, []waits{s.Waiting}))
	}
	return err
}

func share(o *tally.Outcomes, n int64) string {
	return fmt.Sprintf("%.1f %%", 100*o.Part(n))
}

// longest writes seconds; those of which there are some and no number are longer than history tells apart.
func longest(count int64, s *float64) string {
	switch {
	case count == 0:
		return "-"
	case s == nil:
		return fmt.Sprintf("> %.0f s", history.Buckets[len(history.Buckets)-1])
	case *s < 1:
		return fmt.Sprintf("%.0f ms", *s*1000)
	default:
		return fmt.Sprintf("%.1f s", *s)
	}
}
