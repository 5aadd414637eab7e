package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"

	"kanmon/internal/config"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/slow"
)

type providerTakesCommand struct {
	configFlag
	Name string `arg:"" optional:"" name:"provider" help:"The provider; default: all of which something is known."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// A takes is one limit of a provider, as it is printed.
type takes struct {
	Provider string `json:"provider"`
	Count    string `json:"count"`
	Amount   int64  `json:"amount"`
	Every    string `json:"every,omitempty"`
	Kept     bool   `json:"kept"`
	Source   string `json:"source"`

	words    string
	together bool // it is counted for all connections together
}

// Run prints what is known of how much providers take from one sending IP, and from where.
func (k *providerTakesCommand) Run(c *console) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	all, known := takesOf(cfg, k.Name)
	switch {
	case !known:
		return fmt.Errorf("there is no provider %q; `kanmon explain --recipient ADDRESS` shows a recipient's", k.Name)
	case k.JSON:
		out := json.NewEncoder(c.stdout)
		out.SetIndent("", "  ")
		return out.Encode(all)
	case len(all) == 0:
		_, err := fmt.Fprintf(c.stdout, "nothing is known of how much %s takes\n", k.Name)
		return err
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROVIDER\tTAKES FROM ONE SENDING IP\tKEPT TO\tSOURCE")
	for i := range all {
		kept := "no"
		if all[i].Kept {
			kept = "yes"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", all[i].Provider, all[i].words, kept, all[i].Source)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if text := tightensByTime(cfg, all); text != "" {
		_, err = fmt.Fprintf(c.stdout, "\ntiming: %s (kanmon ip shaping)\n", text)
	}
	return err
}

// tightensByTime says what is left of that where a provider is slow to answer a sending IP; "": all of it.
func tightensByTime(cfg *config.Config, all []takes) string {
	if act := cfg.Timing.Act; act != slow.Slow && act != slow.Move || cfg.Shaping.Mode == shape.Off {
		return ""
	}
	if !slices.ContainsFunc(all, func(t takes) bool { return t.Kept && t.together }) {
		return "nothing is tightened where the provider is slow to answer a sending IP: nobody knows how much it takes at once, or in a time"
	}
	text := "a sending IP that the provider is slow to answer has half of what is kept to of connections at once, and of anything in a time"
	if cfg.Timing.Act == slow.Move {
		text += "; a quarter while mail waits there for more than 30 s"
	}
	if cfg.Shaping.Mode == shape.Observe {
		text += "; observed, and not enforced"
	}
	return text
}

// takesOf gives what is known of one provider, or of all; known is false where there is none of that name.
func takesOf(cfg *config.Config, name string) (all []takes, known bool) {
	all, known = []takes{}, name == ""
	for _, p := range cfg.Shaped() {
		if name != "" && p.Provider != name {
			continue
		}
		known = true
		for i := range p.Limits {
			l := &p.Limits[i]
			t := takes{Provider: p.Provider, Count: l.Count.String(), Amount: l.Amount, Kept: l.Keep, Source: l.Source, words: l.String(), together: l.Count.IsTogether()}
			if l.Per > 0 {
				t.Every = l.Per.String()
			}
			all = append(all, t)
		}
	}
	return all, known
}
