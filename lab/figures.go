package main

import (
	"errors"
	"fmt"
	"image/color"
	"time"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// drawAll draws the figures of all experiments that ran.
func (r *results) drawAll(folder string) error {
	charts := map[string]chart{}
	if r.Fig4 != nil {
		charts["fig4"], charts["fig4-rates"], charts["fig4-delays"] = r.fig4Chart(), r.fig4Rates(), r.fig4Delays()
	}
	if r.Mass != nil {
		charts["mass"], charts["mass-times"] = r.massDelays(), r.massTimes()
	}
	if r.Scale != nil {
		charts["scale"] = r.scaleDelays()
	}
	if r.Memory != nil {
		charts["memory"] = r.memoryChart()
	}
	if r.Listing != nil {
		charts["listing"] = r.listingChart()
	}
	if r.Restricted != nil {
		charts["restricted"] = r.restrictedChart()
	}
	if r.Compromised != nil {
		charts["compromised"] = r.compromisedChart()
	}
	if r.Content != nil {
		charts["content"] = r.contentChart()
	}
	var errs []error
	for name, c := range charts {
		errs = append(errs, c.draw(folder, name))
	}
	return errors.Join(errs...)
}

var fig4Colours = []color.Color{green, orange, blue}

// fig4Chart has the paper's axes: cumulative delivered normal mails over minutes.
func (r *results) fig4Chart() chart {
	c := chart{
		title: "Delivered normal mails of the tenants that send nothing to tarpits",
		x:     "minutes since the start", y: "cumulative delivered mails", conditions: r.Fig4Conditions(),
	}
	for i, run := range r.Fig4 {
		var points plotter.XYs
		for second, count := range cumulative(run.normal, notCulprit, run.lasted) {
			points = append(points, plotter.XY{X: float64(second) / 60, Y: float64(count)})
		}
		s := series{name: run.Title, points: points, colour: fig4Colours[i]}
		if run.Settings == nil { // beneath the others, and still to be seen where they cover it
			s.width = vg.Points(4)
		}
		c.lines = append(c.lines, s)
	}
	return r.fig4Marked(c)
}

// rateWindow is how many seconds a rate in a figure is the mean of.
const rateWindow = 5

func (r *results) fig4Rates() chart {
	c := chart{
		title: "Delivered normal mails a second, each tenant: 50 processes, 80 tarpit domains",
		x:     "minutes since the start", y: fmt.Sprintf("mails a second, mean of %d s", rateWindow), conditions: r.Fig4Conditions(),
	}
	for i, run := range r.Fig4 {
		if run.Settings == nil {
			continue
		}
		for tenant := 1; tenant <= tenants; tenant++ {
			s := series{colour: fig4Colours[i], dashes: [][]vg.Length{dashed, nil, dotted}[tenant-1]}
			s.name = fmt.Sprintf("%s, tenant %d", run.Name, tenant)
			if tenant == culprit {
				s.name += ", which sends to the tarpits"
			}
			counts := cumulative(run.normal, func(m mail) bool { return m.tenant == tenant }, run.lasted)
			for second := rateWindow; second < len(counts); second++ {
				y := float64(counts[second]-counts[second-rateWindow]) / rateWindow
				s.points = append(s.points, plotter.XY{X: (float64(second) - rateWindow/2.0) / 60, Y: y})
			}
			c.lines = append(c.lines, s)
		}
	}
	return r.fig4Marked(c)
}

func (r *results) fig4Delays() chart {
	c := delayChart("Delay of normal mails of the other tenants, due after the tarpit mails", r.Fig4Conditions())
	c.logX = true
	for i, run := range r.Fig4 {
		s := delaySeries(run.Title, run.after, time.Second, fig4Colours[i])
		if run.Settings == nil {
			s.width = vg.Points(4)
		}
		c.lines = append(c.lines, s)
	}
	return c
}

func (r *results) fig4Marked(c chart) chart {
	f := r.plan.fig4
	return c.marked(fmt.Sprintf("%d mails to tarpits", tarpitMails), f.tarpit.Minutes(), dashed).
		marked("no more normal mail is submitted", f.submit.Minutes(), dotted)
}

var massColours = []color.Color{orange, blue}

func (r *results) massDelays() chart {
	c := delayChart("Delay of the other tenants' mails, once one tenant sends en masse", r.MassConditions())
	c.logX = true
	for i, run := range r.Mass {
		c.lines = append(c.lines, delaySeries(run.Title, run.after, time.Second, massColours[i]))
	}
	return c
}

func (r *results) massTimes() chart {
	c := chart{
		title: "Delay of the other tenants' mails by the time they were submitted",
		x:     "seconds since the start", y: "delay in seconds, median of each second's mails", conditions: r.MassConditions(),
	}
	for i, run := range r.Mass {
		var points plotter.XYs
		for _, s := range bySecond(run.others, run.end) {
			points = append(points, plotter.XY{X: float64(s.at), Y: s.delays.Median.Seconds()})
		}
		c.lines = append(c.lines, series{name: run.Title, points: points, colour: massColours[i]})
	}
	return c.marked("the mass of mail begins", r.plan.mass.inject.Seconds(), dashed)
}

func (r *results) scaleDelays() chart {
	c := delayChart(fmt.Sprintf("Delay of %d tenants' normal mail through one kanmon", r.Scale.Tenants), r.ScaleConditions())
	c.x = "milliseconds from submission to receipt at the MX"
	for i, w := range r.Scale.Windows {
		c.lines = append(c.lines, delaySeries(w.Title, w.mails, time.Millisecond, []color.Color{green, orange, blue}[i]))
	}
	return c
}

// delayChart is of distributions of delays in seconds.
func delayChart(title, conditions string) chart {
	return chart{
		title: title, conditions: conditions, yMax: 100,
		x: "seconds from submission to receipt at the MX", y: "per cent of mails that had arrived",
	}
}

func delaySeries(name string, mails []mail, unit time.Duration, colour color.Color) series {
	var points plotter.XYs
	for _, point := range distribution(mails) {
		points = append(points, plotter.XY{X: float64(max(point.delay, time.Millisecond)) / float64(unit), Y: float64(point.percent)})
	}
	return series{name: name, points: points, colour: colour}
}

func (r *results) memoryChart() chart {
	var heap, both plotter.XYs
	for _, m := range r.Memory {
		heap = append(heap, plotter.XY{X: float64(m.Sessions), Y: m.HeapKiB()})
		both = append(both, plotter.XY{X: float64(m.Sessions), Y: m.KiB()})
	}
	return chart{
		title: "Memory of a held session, in-memory connections", x: "held sessions", y: "KiB for each session", logX: true,
		conditions: r.MemoryConditions(),
		lines:      []series{{name: "heap and stack", points: both, colour: blue}, {name: "heap", points: heap, colour: orange}},
	}
}

// listingChart is of the main form alone.
func (r *results) listingChart() chart {
	c := chart{
		title: fmt.Sprintf("Delivered and bounced mails: %v is listed, and refused at RCPT", listedIP),
		x:     "seconds since the start", y: "cumulative mails", conditions: r.ListingConditions(),
	}
	for _, run := range r.Listing {
		if run.Refusal.Verb != mainVerb {
			continue
		}
		m := run.Mails
		delivered := series{
			name:   fmt.Sprintf("%s: %d delivered, %d of them delayed; %d stuck, %d bounced", run.Title, m.Arrived, run.Delayed, m.Waiting, m.Bounced),
			points: countPoints(cumulative(run.mails, allMails, run.lasted)), colour: orange,
		}
		if !run.Shared { // beneath the others, and still to be seen where they cover it
			delivered.colour, delivered.width = blue, vg.Points(4)
			c.lines = append(c.lines, delivered)
			continue
		}
		bounced := countPoints(upToSeconds(returns(run.mails), run.lasted))
		c.lines = append(c.lines, delivered, series{name: run.Title + ", bounced", points: bounced, colour: orange, dashes: dashed})
	}
	return c.marked(fmt.Sprintf("the MX lists %v", listedIP), r.plan.listing.at.Seconds(), dotted)
}

// countPoints are of counts up to each second.
func countPoints(counts []int) (points plotter.XYs) {
	for second, count := range counts {
		points = append(points, plotter.XY{X: float64(second), Y: float64(count)})
	}
	return points
}

// marked adds an upright line at a time, as high as the data.
func (c chart) marked(name string, x float64, dashes []vg.Length) chart {
	top, bottom := 0.0, 0.0
	if c.logY {
		bottom = 1
	}
	for _, s := range c.lines {
		for _, point := range s.points {
			top = max(top, point.Y)
		}
	}
	c.lines = append(c.lines, series{
		name: name, points: plotter.XYs{{X: x, Y: bottom}, {X: x, Y: top}}, colour: grey, dashes: dashes, width: vg.Points(1),
	})
	return c
}
