package main

import (
	_ "embed"
	"fmt"
	"image/color"
	"strconv"
	"strings"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"kanmon/internal/event"
)

//go:embed restricted.md
var restrictedText string

// What must hold of the tenants that share the restricted IP, in per cent of their rate.
const (
	restrictedLoss = 50 // with act = "tell", at least: else nothing was restricted, and nothing is compared
	restrictedKept = 90 // with act = "move", at least: 1 in 20 sessions stays, and is held
)

// RestrictedVerdicts judges the experiment with the restricted sending IP.
func (r *results) RestrictedVerdicts() (all []verdict) {
	for _, run := range r.Restricted {
		n, o := &run.Neighbours, &run.Others
		all = append(all, verdict{
			run.Title + ": it is told that the IP is restricted by the provider, and nothing else is told",
			fmt.Sprintf("%.0f s after the restriction, %d false", run.Told.Seconds(), len(run.Untrue)), run.Finding != nil && len(run.Untrue) == 0,
		}, verdict{
			fmt.Sprintf("%s: tenants of other IPs keep %d %% of their rate", run.Title, restrictedKept),
			fmt.Sprintf("%+.1f %%", o.Change()), o.Change() >= restrictedKept-100,
		})
		if run.moves() {
			all = append(all, verdict{
				fmt.Sprintf("%s: tenants that share the restricted IP keep %d %% of their rate", run.Title, restrictedKept),
				fmt.Sprintf("%+.1f %%", n.Change()), n.Change() >= restrictedKept-100,
			})
			continue
		}
		all = append(all, verdict{
			fmt.Sprintf("%s: tenants that share the restricted IP lose %d %% of their rate or more", run.Title, restrictedLoss),
			fmt.Sprintf("%+.1f %%", n.Change()), n.Change() <= -restrictedLoss,
		})
	}
	return all
}

// moves reports whether the set-up does anything but to tell.
func (r *restrictedRun) moves() bool { return r.Name != restrictedSetups()[0].Name }

// RestrictedConditions are those of the restricted sending IP.
func (r *results) RestrictedConditions() string {
	p := r.plan.restricted
	return fmt.Sprintf("%d tenants, each with a Postfix of its own, submit %d normal mails a second each through a kanmon with %d sending IPs: half of them to %d domains of a provider, half to %d domains of %d others. "+
		"Their MXs wait %s before each reply. At %.0f s tenant %d submits %d mails to the provider at once, which from then on answers the sending IP that they come from one octet in %.0f s. %s",
		restrictedTenants, restrictedRate, len(poolIPs), tarpitMails, normalDomains, otherProviders, milliseconds(farMX), p.at.Seconds(), culprit, tarpitMails, restrictedPace.Seconds(), r.postfixConditions())
}

func (r *results) restrictedChart() chart {
	c := chart{
		title: "Delivered normal mails of a tenant, when its sending IP is restricted for another tenant's mail",
		x:     "seconds since the start", y: "cumulative delivered mails, mean of the tenants", conditions: r.RestrictedConditions(),
	}
	line := func(run *restrictedRun, g *group, name string, colour color.Color) series {
		s := series{name: run.Title + ": " + name, colour: colour}
		for second, count := range cumulative(run.normal, g.has, run.lasted) {
			s.points = append(s.points, plotter.XY{X: float64(second), Y: float64(count) / float64(len(g.Tenants))})
		}
		return s
	}
	for _, run := range r.Restricted {
		colour := orange
		if run.moves() {
			colour = blue
			others := line(run, &run.Others, "tenants of the other IPs", green)
			others.width = vg.Points(4) // beneath the others, and still to be seen where they cover it
			c.lines = append([]series{others}, c.lines...)
		}
		c.lines = append(c.lines, line(run, &run.Neighbours, "tenants that share the IP", colour))
	}
	c = c.marked("the provider restricts the IP", r.plan.restricted.at.Seconds(), dashed)
	for _, run := range r.Restricted {
		if run.moves() {
			c = c.marked("kanmon tells it", (r.plan.restricted.at + run.Told).Seconds(), dotted)
		}
	}
	return c
}

// restrictedTable has a line for each set-up and second: delivered normal mails up to then, of all tenants of a group.
func restrictedTable(runs []*restrictedRun) [][]string {
	rows := [][]string{{"setup", "second", "sharing_the_ip", "other_ips", "culprit"}}
	for _, run := range runs {
		others, culprits := cumulative(run.normal, run.Others.has, run.lasted), cumulative(run.normal, run.Culprit.has, run.lasted)
		for second, count := range cumulative(run.normal, run.Neighbours.has, run.lasted) {
			rows = append(rows, []string{run.Name, strconv.Itoa(second), strconv.Itoa(count), strconv.Itoa(others[second]), strconv.Itoa(culprits[second])})
		}
	}
	return rows
}

// Groups are those of the tenants, with what they are.
func (r *restrictedRun) Groups() []namedGroup {
	return []namedGroup{{"share the restricted IP", &r.Neighbours}, {"have other IPs", &r.Others}, {"is the culprit", &r.Culprit}}
}

type namedGroup struct {
	Name string
	*group
}

// Numbers are the tenants' numbers.
func (g *group) Numbers() string {
	var text []string
	for _, tenant := range g.Tenants {
		text = append(text, strconv.Itoa(tenant))
	}
	return strings.Join(text, ", ")
}

// Done is what kanmon did, and when.
func (r *restrictedRun) Done() string {
	var text []string
	for _, a := range r.Acts {
		text = append(text, fmt.Sprintf("%s after %.0f s", a.What, a.At.Seconds()))
	}
	return strings.Join(text, ", ")
}

// Times are what the finding says of its phase.
func (r *restrictedRun) Times() string { return timesOf(r.Finding) }

func timesOf(f *event.Entry) string {
	if f.Phase == "drip" {
		return "replies come octet by octet"
	}
	return fmt.Sprintf("%s %.1f s; other IPs %.1f s, before %.1f s", f.Phase, f.Here.Duration().Seconds(), f.Others.Duration().Seconds(), f.BeforeIt.Duration().Seconds())
}
