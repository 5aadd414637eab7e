package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/outlet/shape"
	"kanmon/internal/policy/limit"
)

// Shaping is what is done about what providers take from one sending IP.
type Shaping struct {
	Mode    shape.Mode `toml:"mode"`
	Enforce Names      `toml:"enforce"` // providers whose limits are kept to, whoever they are known from
}

// ShapingLimit is what the operator says that a provider takes, in place of what is known.
type ShapingLimit struct {
	Provider string `toml:"provider"`
	Take
}

// Take is how much of something a provider takes from one sending IP.
type Take struct {
	Count shape.Count   `toml:"count"`
	Limit int           `toml:"limit"`
	Every time.Duration `toml:"every"` // of a rate
}

// KnownTake is one that stands with its provider.
type KnownTake struct {
	Take
	Source     string `toml:"source"`     // where it is known from
	Documented bool   `toml:"documented"` // its receiver says so; else it is how a queueing MTA is configured
}

// Shaped is what is known, and kept to, of one provider.
type Shaped struct {
	Provider string
	Limits   []shape.Limit
}

// Shaped gives what all providers take: what a receiver documents is kept to, and what the operator says; all else is
// only shown. Of two limits of a count that are both kept to, the lower one is.
func (c *Config) Shaped() (all []Shaped) {
	for i := range c.providers {
		p := &c.providers[i]
		of := Shaped{Provider: p.Name}
		for _, k := range p.Takes {
			keep := k.Documented || slices.Contains(c.Shaping.Enforce, p.Name)
			of.Limits = append(of.Limits, shape.Limit{Count: k.Count, Amount: int64(k.Limit), Per: k.Every, Source: k.Source, Keep: keep})
		}
		for i := range of.Limits {
			l := &of.Limits[i]
			l.Keep = l.Keep && !slices.ContainsFunc(of.Limits, func(other shape.Limit) bool {
				return other.Keep && other.Count == l.Count && other.Lower(l)
			})
		}
		for n, own := range c.ShapingLimits {
			if own.Provider != p.Name {
				continue
			}
			for i := range of.Limits {
				of.Limits[i].Keep = of.Limits[i].Keep && of.Limits[i].Count != own.Count
			}
			if own.Limit > 0 {
				source := c.Where(fmt.Sprintf("shaping_limit[%d]", n))
				of.Limits = append(of.Limits, shape.Limit{Count: own.Count, Amount: int64(own.Limit), Per: own.Every, Source: source, Keep: true})
			}
		}
		all = append(all, of)
	}
	return all
}

// Documented gives what a provider's receiver documents.
func (c *Config) Documented(provider string) (all []KnownTake) {
	for i := range c.providers {
		if c.providers[i].Name != provider {
			continue
		}
		for _, k := range c.providers[i].Takes {
			if k.Documented {
				all = append(all, k)
			}
		}
	}
	return all
}

func (d *decoder) validateShaping(cfg *Config) {
	var providers []string
	for _, p := range cfg.providers {
		providers = append(providers, p.Name)
	}
	const add = "`kanmon explain` shows a recipient's provider; add your own in providers_file"
	if d.good("providers_file") {
		d.known("shaping.enforce", "provider", cfg.Shaping.Enforce, providers, add)
	}
	seen := map[string]string{}
	for i := range cfg.ShapingLimits {
		l, key := &cfg.ShapingLimits[i], fmt.Sprintf("shaping_limit[%d]", i)
		if d.failedItself(key) {
			continue
		}
		d.must(key+".provider", `provider = "orange"`)
		if d.good("providers_file") {
			d.judge(refers(key+".provider", "provider", l.Provider, providers, add))
		}
		d.validateTake(key, &l.Take, 0)
		same := l.Provider + " " + l.Count.String()
		if first, twice := seen[same]; twice && d.has(key+".count") && d.good(key) {
			d.wrong(key+".count", fmt.Sprintf("there is a limit of %s at %s already, in line %d", l.Count, l.Provider, d.line(first)), "remove one of them")
		}
		seen[same] = key
	}
}

// validateTake judges how much a provider takes.
func (d *decoder) validateTake(key string, t *Take, least int) {
	d.must(key+".count", `count = "connections"`)
	d.must(key+".limit", "limit = 2")
	d.judge(rule{key + ".count", nil, t.Count != shape.None, "nothing is counted", `want count = "connections", or another count of docs/why/shaping.md`})
	d.judge(within(key+".limit", t.Limit, least, shape.Most, "%d is not a limit", fmt.Sprintf("want %d to %d", least, shape.Most)))
	switch every := key + ".every"; {
	case !d.has(key+".count") || !d.good(key+".count") || !d.good(every):
	case t.Count.IsRate() && t.Limit > 0:
		d.must(every, `every = "1m"`)
		d.judge(lasting(every, t.Every, time.Second, limit.Longest))
	case d.has(every) && !t.Count.IsRate():
		d.wrong(every, fmt.Sprintf("%s are not counted in a time", t.Count), "remove it")
	}
}

// validateTakes judges what stands with a provider.
func (d *decoder) validateTakes(key string, takes []KnownTake) {
	for i := range takes {
		item := fmt.Sprintf("%s[%d]", key, i)
		if d.failedItself(item) {
			continue
		}
		d.validateTake(item, &takes[i].Take, 1)
		d.must(item+".source", `source = "postmaster.example.jp"`)
		d.judge(rule{item + ".source", nil, strings.TrimSpace(takes[i].Source) != "", "empty", "want where the figure is from, such as \"postmaster.example.jp\""})
		for j := range i {
			if takes[j].Count == takes[i].Count && takes[j].Documented && takes[i].Documented && d.has(item+".count") {
				d.wrong(item+".count", fmt.Sprintf("its receiver documents a limit of %s already, in line %d", takes[i].Count, d.line(fmt.Sprintf("%s[%d]", key, j))), "remove one of them")
			}
		}
	}
}
