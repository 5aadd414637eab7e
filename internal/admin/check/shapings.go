package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kanmon/internal/config"
)

// shaping: what is done about what providers take. A configuration that says nothing of it has a page that does.
func (c *checker) shaping() {
	s, own := &c.Config.Shaping, len(c.Config.ShapingLimits) > 0 || len(c.Config.Shaping.Enforce) > 0
	mode, key := s.Mode.String(), "shaping.mode"
	switch {
	case len(c.Config.ShapingLimits) > 0 && !c.said(key):
		key = "shaping_limit[0]"
	case !c.said(key):
		key = "shaping.enforce"
	}
	switch {
	case mode == "off" && own:
		c.find(shapingIdle, key, `nothing is counted of what providers take with mode = "off": `+c.ownShaping()+" holds nothing back", `mode = "observe", or "on"`)
	case mode == "off" || mode == "observe" && !own:
	case len(c.Config.SendingIPs) == 0:
		c.find(shapingIdle, key, "there is no [[sending_ip]]: kanmon only observes, and counts nothing of what providers take", "add a [[sending_ip]]")
	default:
		c.shaped(key, mode)
	}
}

// ownShaping names what the operator has said of it.
func (c *checker) ownShaping() string {
	if len(c.Config.ShapingLimits) == 0 {
		return "enforce"
	}
	return "[[shaping_limit]]"
}

// shaped says what is kept to, and what of that cannot work.
func (c *checker) shaped(key, mode string) {
	var keeps, shows, unshared []string
	for _, p := range c.Config.Shaped() {
		var of []string
		for i := range p.Limits {
			if l := &p.Limits[i]; l.Keep {
				source, _, _ := strings.Cut(l.Source, ": ")
				if of = append(of, fmt.Sprintf("%s (%s)", l, source)); l.Count.IsTogether() && !l.IsShared() {
					unshared = append(unshared, fmt.Sprintf("%s %s", p.Provider, l))
				}
			}
		}
		switch {
		case len(of) > 0:
			keeps = append(keeps, p.Provider+": "+strings.Join(of, ", "))
		case len(p.Limits) > 0:
			shows = append(shows, p.Provider)
		case slices.Contains(c.Config.Shaping.Enforce, p.Provider):
			c.find(shapingIdle, "shaping.enforce", fmt.Sprintf("nothing is known of how much %s takes: there is nothing to enforce", p.Provider), "add a [[shaping_limit]] for it, or takes to its [[provider]]")
		}
		c.shapedWarmUps(&p)
		c.beyondDocumented(&p)
	}
	text := "kept to, from each sending IP: "
	if mode == "observe" {
		text = `only on record with mode = "observe", and nothing is held back: `
	}
	text += strings.Join(keeps, "; ")
	if len(shows) > 0 {
		text += "; only shown: " + strings.Join(shows, ", ")
	}
	c.find(shaping, key, text, "")
	if mode == "on" && len(c.Config.Tenants) > 1 && len(unshared) > 0 {
		c.find(shapingUnshared, key, fmt.Sprintf("one of the %d tenants can have all of it: %s", len(c.Config.Tenants), strings.Join(unshared, ", ")), "")
	}
}

// shapedWarmUps finds a limit that keeps a sending IP which warms up from what its plan has for a day.
func (c *checker) shapedWarmUps(p *config.Shaped) {
	today := c.Host.now().UTC().Truncate(24 * time.Hour)
	for i := range p.Limits {
		l := &p.Limits[i]
		if !l.Keep || l.Count.String() != "messages" {
			continue
		}
		aDay := int64(float64(l.Amount) * float64(24*time.Hour) / float64(l.Per))
		for n := range c.Config.SendingIPs {
			ip := &c.Config.SendingIPs[n]
			if !ip.Warms() || today.After(c.Config.LastWarmUpDay(ip)) {
				continue
			}
			days := c.Config.WarmUpPlan(ip).Days
			if day := slices.IndexFunc(days, func(d config.WarmUpDay) bool { return int64(d.Provider) > aDay }); day >= 0 {
				c.find(shapingBelowWarmUp, fmt.Sprintf("sending_ip[%d].warm_up", n), fmt.Sprintf("%s of %s lets %d mails a day through at %s, and the plan has %d on day %d",
					l, p.Provider, aDay, p.Provider, days[day].Provider, day+1), "")
			}
		}
	}
}

// beyondDocumented finds an own limit that is higher than what its receiver documents.
func (c *checker) beyondDocumented(p *config.Shaped) {
	for i, own := range c.Config.ShapingLimits {
		if own.Provider != p.Provider || own.Limit == 0 {
			continue
		}
		for _, known := range c.Config.Documented(p.Provider) {
			if known.Count == own.Count && known.Every == own.Every && known.Limit < own.Limit {
				c.find(shapingBeyond, fmt.Sprintf("shaping_limit[%d].limit", i), fmt.Sprintf("%d %s, and %s documents %d (%s)", own.Limit, own.Count, p.Provider, known.Limit, known.Source), "")
			}
		}
	}
}
