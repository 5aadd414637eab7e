package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
	"kanmon/internal/view/history"
)

const aDay = 24 * time.Hour

type refusalsCommand struct {
	pastFlag
	spanFlags
	aboutFlags
	Gateway string    `help:"Only what this gateway was told." placeholder:"NAME"`
	New     bool      `help:"Only those whose like was first seen in that time."`
	Most    int       `help:"How many kinds are listed; default: ${default}." default:"30" placeholder:"NUMBER"`
	Lang    find.Lang `help:"Language: en or ja." default:"en" placeholder:"LANG"`
}

// Run shows what receivers refuse, grouped by what it means.
func (k *refusalsCommand) Run(c *console) error {
	ctx := context.Background()
	if k.Most < 1 {
		return fmt.Errorf("--most %d: want a number from 1", k.Most)
	}
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	of := k.filter()
	of.Gateway = k.Gateway
	if of.From, of.To, err = k.between(aDay); err != nil {
		return err
	}
	all, more, err := k.shapes(ctx, p, of)
	if err != nil {
		return err
	}
	switch {
	case k.JSON:
		err = printJSON(c.stdout, all)
	case len(all) == 0:
		return fmt.Errorf("no refusal from %s to %s: %s", when(of.From), when(of.To), p.kept())
	default:
		k.print(c.stdout, all, more)
	}
	if err == nil && len(all) == 0 {
		err = errNothing
	}
	return err
}

// shapes gives those that are wanted, the most frequent first.
func (k *refusalsCommand) shapes(ctx context.Context, p *past, of history.Filter) (all []find.Refused, more bool, err error) {
	f := &find.Finder{Store: p.Store, Rules: p.rules}
	t := find.Teller{Lang: k.Lang, In: time.Local}
	all = []find.Refused{}
	for page := (history.Page{}); ; {
		shapes, next, err := p.Shapes(ctx, of, page)
		if err != nil {
			return nil, false, err
		}
		for i := range shapes {
			told := t.Refused(f, &shapes[i], of.From)
			if k.New && !told.New {
				continue
			}
			if len(all) == k.Most {
				return all, true, nil
			}
			all = append(all, told)
		}
		if page.After = next; next == "" {
			return all, false, nil
		}
	}
}

// print writes a section for each meaning, that with the most refusals first.
func (k *refusalsCommand) print(w io.Writer, all []find.Refused, more bool) {
	counts, order := map[string]int64{}, []string{}
	for i := range all {
		class := cmp.Or(all[i].Class, "kanmon")
		if _, is := counts[class]; !is {
			order = append(order, class)
		}
		counts[class] += all[i].Count
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	for n, class := range order {
		if n > 0 {
			fmt.Fprintln(w)
		}
		first := true
		for i := range all {
			r := &all[i]
			if cmp.Or(r.Class, "kanmon") != class {
				continue
			}
			if first {
				first = false
				fmt.Fprintf(w, "%s: %s (%s)\n", class, r.Meaning, plural(counts[class], "refusal"))
				fmt.Fprintf(w, "%s\n", find.Fold("whose: "+r.WhoseText+". "+event.Printable(r.Advice, find.MaxTerm), columns))
			}
			printRefused(w, r)
		}
	}
	if more {
		fmt.Fprintln(w, "\nthere are more: --most")
	}
}

// columns of a terminal.
const columns = 80

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func printRefused(w io.Writer, r *find.Refused) {
	fresh := ""
	if r.New {
		fresh = ", NEW"
	}
	tenants := r.Tenant
	if tenants == "" {
		tenants = fmt.Sprintf("%d tenants", r.Tenants)
	}
	const most, enough = 300, 5
	fmt.Fprintf(w, "  %6d  since %s%s; %s; %s; %s\n", r.Count, when(r.First), fresh, event.Printable(tenants, most), some(r.Providers, enough), some(namesOf(r.SendingIPs), enough))
	fmt.Fprintf(w, "          %s\n", event.Printable(strings.ReplaceAll(r.Text, "\n", " / "), most))
	for _, l := range r.Lists {
		fmt.Fprintf(w, "          %s %s\n", l.Name, l.Delist)
	}
}

func namesOf(all []netip.Addr) (texts []string) {
	for _, a := range all {
		if a.IsValid() {
			texts = append(texts, a.String())
		}
	}
	return texts
}

// some names a few, and counts the others.
func some(all []string, enough int) string {
	text := event.Printable(strings.Join(all[:min(len(all), enough)], " "), find.MaxTerm)
	if left := len(all) - enough; left > 0 {
		text += fmt.Sprintf(" and %d more", left)
	}
	return orDash(text, "-")
}

type waitingCommand struct {
	pastFlag
	aboutFlags
}

// A waits is how much mail waits for a provider.
type waits struct {
	Provider string           `json:"provider"`
	Tenants  int              `json:"tenants"`
	Mails    int64            `json:"mails"`
	Ages     map[string]int64 `json:"ages"` // by the most that they are old
	ages     []int64
}

// Run shows, by provider and age, which mail waits in the queues of MSAs, as far as its attempts tell.
func (k *waitingCommand) Run(c *console) error {
	ctx := context.Background()
	p, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	counted, err := p.Waiting(ctx, k.filter(), time.Now())
	if err != nil {
		return err
	}
	all := make([]waits, 0, len(counted))
	for i := range counted {
		all = append(all, waitsOf(&counted[i]))
	}
	slices.SortFunc(all, func(a, b waits) int {
		return cmp.Or(cmp.Compare(b.Mails, a.Mails), cmp.Compare(a.Provider, b.Provider))
	})
	switch {
	case k.JSON:
		err = printJSON(c.stdout, all)
	case len(all) == 0:
		return fmt.Errorf("no mail waits: %s", p.kept())
	default:
		err = printWaiting(c.stdout, all)
	}
	if err == nil && len(all) == 0 {
		err = errNothing
	}
	return err
}

func waitsOf(w *history.Waiting) waits {
	one := waits{Provider: w.Provider, Tenants: w.Tenants, Ages: map[string]int64{}, ages: w.Ages[:]}
	for i, n := range w.Ages {
		one.Mails += n
		one.Ages[ageOf(i)] = n
	}
	return one
}

// ageOf names a column of ages.
func ageOf(i int) string {
	if i == len(history.Ages) {
		return "older"
	}
	if d := history.Ages[i]; d < time.Hour {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%dh", history.Ages[i]/time.Hour)
}

func printWaiting(w io.Writer, all []waits) error {
	head := "PROVIDER\tTENANTS\tMAILS"
	for i := range len(history.Ages) + 1 {
		head += "\t" + strings.ToUpper(ageOf(i))
	}
	table := newTable(w, head)
	for i := range all {
		fmt.Fprintf(table, "%s\t%d\t%d", shownName(all[i].Provider), all[i].Tenants, all[i].Mails)
		for _, n := range all[i].ages {
			fmt.Fprintf(table, "\t%d", n)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
