package config

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"
)

// WarmUp says that a sending IP is new. The zero WarmUp says that it is not.
type WarmUp struct {
	Start time.Time `toml:"start"` // its first day, UTC
	Plan  string    `toml:"plan"`  // StandardPlan, or the path of a file
}

// StandardPlan is the name of the plan that kanmon has.
const StandardPlan = "standard"

// A WarmUpPlan says what a new sending IP may take on each day.
type WarmUpPlan struct {
	Source string      `toml:"source"` // where the figures are from
	Days   []WarmUpDay `toml:"day"`
}

// A WarmUpDay is one day of a plan.
type WarmUpDay struct {
	Share    float64 `toml:"share"`    // of the senders that the IP will have, 0 to 1
	Provider int     `toml:"provider"` // mails to each provider with a name
	Others   int     `toml:"others"`   // mails to all others together
}

//go:embed plans/standard.toml
var standardPlan []byte

// WarmUpPlan gives the plan of a sending IP with a warm_up.
func (c *Config) WarmUpPlan(ip *SendingIP) *WarmUpPlan { return c.plans[ip.WarmUp.Plan] }

// A PlanFile is a plan of the operator's own, and the key that names it.
type PlanFile struct{ Key, Path string }

// PlanFiles gives the files with plans, each once.
func (c *Config) PlanFiles() (list []PlanFile) {
	for i := range c.SendingIPs {
		path := c.SendingIPs[i].WarmUp.Plan
		known := slices.ContainsFunc(list, func(p PlanFile) bool { return p.Path == path })
		if path != "" && path != StandardPlan && !known {
			list = append(list, PlanFile{fmt.Sprintf("sending_ip[%d].warm_up.plan", i), path})
		}
	}
	return list
}

// LastWarmUpDay gives the day behind which a sending IP is through with its plan, if no day of it is repeated.
func (c *Config) LastWarmUpDay(ip *SendingIP) time.Time {
	return ip.WarmUp.Start.AddDate(0, 0, len(c.WarmUpPlan(ip).Days)-1)
}

// Warms reports whether a sending IP has a warm_up.
func (ip *SendingIP) Warms() bool { return !ip.WarmUp.Start.IsZero() }

// loadPlans reads the plans that sending IPs name. The errors are those inside the operator's files.
func (d *decoder) loadPlans(cfg *Config) (wrong Errors) {
	cfg.plans = map[string]*WarmUpPlan{}
	for i := range cfg.SendingIPs {
		w, key := &cfg.SendingIPs[i].WarmUp, fmt.Sprintf("sending_ip[%d].warm_up", i)
		if !d.has(key) || !d.good(key) {
			continue
		}
		if d.must(key+".start", "start = 2026-12-01, the IP's first day (UTC)"); w.Start.IsZero() {
			continue
		}
		if d.judge(rule{key + ".plan", nil, w.Plan != "" || !d.has(key+".plan"), "empty", `want "standard", or the absolute path of a file with [[day]] tables`}); w.Plan == "" {
			w.Plan = StandardPlan
		}
		if cfg.plans[w.Plan] == nil {
			wrong = append(wrong, d.loadPlan(cfg, key+".plan", w.Plan)...)
		}
	}
	return wrong
}

func (d *decoder) loadPlan(cfg *Config, key, name string) Errors {
	doc, file := standardPlan, "standard.toml"
	if name != StandardPlan {
		if file = name; !strings.HasPrefix(name, "/") {
			d.failed = append(d.failed, key)
			d.wrong(key, fmt.Sprintf("%q is no plan", name), `want "standard", or the absolute path of a file with [[day]] tables`)
			return nil
		}
		var err error
		if doc, err = readSmall(name); err != nil {
			d.failed = append(d.failed, key)
			d.wrong(key, CauseOf(err, name), `want a file with [[day]] tables, or "standard"`)
			return nil
		}
	}
	plan, wrong := ParseWarmUpPlan(file, doc)
	cfg.plans[name] = plan
	return wrong
}

// MostWarmUpDays bounds a plan.
const MostWarmUpDays = 366

// ParseWarmUpPlan reads a file with a plan as strictly as the configuration.
func ParseWarmUpPlan(name string, doc []byte) (*WarmUpPlan, Errors) {
	root, syntax := parseTree(name, doc)
	if syntax != nil {
		return nil, Errors{syntax}
	}
	plan := &WarmUpPlan{}
	d := &decoder{file: name, doc: doc, places: map[string]span{}}
	d.decodeInto(root, plan)
	if !d.failedItself("day") && (len(plan.Days) == 0 || len(plan.Days) > MostWarmUpDays) {
		d.wrong("day", fmt.Sprintf("%d days", len(plan.Days)), fmt.Sprintf("want 1 to %d [[day]] tables, each with share, provider and others", MostWarmUpDays))
	}
	for i := range plan.Days {
		d.validateWarmUpDay(plan.Days, i)
	}
	return plan, d.errs.sorted()
}

func (d *decoder) validateWarmUpDay(days []WarmUpDay, i int) {
	key, day, before := fmt.Sprintf("day[%d]", i), &days[i], WarmUpDay{}
	if d.failedItself(key) {
		return
	}
	if i > 0 {
		before = days[i-1]
	}
	const rises = "want no less than the day before has: who has moved to the IP stays, and what receivers saw yesterday is what they expect"
	d.must(key+".share", "share = 0.01, the part of its senders that the IP has on the day")
	d.must(key+".provider", "provider = 50, mails to each provider with a name")
	d.must(key+".others", "others = 100, mails to all other destinations together")
	d.judge(
		rule{key + ".share", day.Share, day.Share > 0 && day.Share <= 1, "%v is no part of the senders", "want more than 0, up to 1"},
		rule{key + ".share", day.Share, day.Share <= 0 || day.Share >= before.Share, fmt.Sprintf("%%v is less than the day before, %v", before.Share), rises},
	)
	for _, amount := range []struct {
		key           string
		value, before int
	}{{key + ".provider", day.Provider, before.Provider}, {key + ".others", day.Others, before.Others}} {
		d.judge(
			within(amount.key, amount.value, 1, 1_000_000_000, "%d is no number of mails that a day can have", "want 1 to 1000000000"),
			rule{amount.key, amount.value, amount.value < 1 || amount.value >= amount.before, fmt.Sprintf("%%d is less than the day before, %d", amount.before), rises},
		)
	}
}

// date stores a day.
func (d *decoder) date(n *node, key string, field *time.Time) {
	day, err := time.Parse(time.DateOnly, n.text)
	if n.kind != dateKind || err != nil {
		d.mismatch(n, key, "a date", "write it without quotes and without a time, such as 2026-12-01")
		return
	}
	if day.Year() < 2000 || day.Year() > 2100 {
		d.failed = append(d.failed, key)
		d.wrong(key, n.text+" is out of range", "want a day from 2000-01-01 to 2100-12-31")
		return
	}
	*field = day
}
