package chart

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// Lines are durations over time, on a logarithmic scale: how long a phase took in the middle, and how long at its worst.
type Lines struct {
	Frame
	Of []Line
}

// A Line is one of them.
type Line struct {
	Name    string
	Stroke  Stroke
	Seconds []float64 // one for each step from Frame.From; not a number, or none: nothing is known
}

// A Stroke is how a line is drawn.
type Stroke string

// Strokes of lines.
const (
	Thin   Stroke = "thin"
	Thick  Stroke = "thick"
	Dashed Stroke = "dashed"
	Dotted Stroke = "dotted"
)

func (l *Line) value(i int) (seconds float64, known bool) {
	if i >= len(l.Seconds) || math.IsNaN(l.Seconds[i]) {
		return 0, false
	}
	return max(l.Seconds[i], least), true
}

// least is the bottom of the scale, in seconds: less is of no interest.
const least = 0.01

// grids are the durations at which a line goes through the chart.
var grids = [...]float64{0.01, 0.1, 1, 10, 60, 300, 900, 3600}

// SVG draws them.
func (l *Lines) SVG() template.HTML {
	d := l.canvas()
	most := 1.0
	for i := range l.Of {
		for step := range l.steps() {
			if v, known := l.Of[i].value(step); known && !math.IsInf(v, 0) {
				most = max(most, v)
			}
		}
	}
	for _, g := range grids {
		if g >= most {
			most = g
			break
		}
	}
	height := func(v float64) float64 {
		return bottom - (bottom-top)*min(math.Log(v/least)/math.Log(most/least), 1)
	}
	for _, g := range grids[1:] {
		if g <= most {
			d.Grid = append(d.Grid, block{Y: pixels(height(g)), Text: Seconds(g)})
		}
	}
	for i := range l.Of {
		l.line(d, &l.Of[i], height)
	}
	for step := range l.steps() {
		l.point(d, step)
	}
	return draw("lines", d)
}

// line draws steps: each lasts as long as what it sums up, and is tied to the one before it where nothing is missing between.
func (l *Lines) line(d *drawing, of *Line, height func(float64) float64) {
	before := ""
	for step := range l.steps() {
		v, known := of.value(step)
		if !known {
			before = ""
			continue
		}
		from, to := l.span(step)
		y := pixels(height(v))
		if before != "" && before != y {
			d.Lines = append(d.Lines, block{X: percent(from), Y: before, W: percent(from), H: y, Class: string(of.Stroke)})
		}
		d.Lines = append(d.Lines, block{X: percent(from), Y: y, W: percent(to), H: y, Class: string(of.Stroke)})
		before = y
	}
}

// point says what the lines are at a step.
func (l *Lines) point(d *drawing, step int) {
	var said []string
	for i := range l.Of {
		if v, known := l.Of[i].value(step); known {
			said = append(said, l.Of[i].Name+" "+Seconds(v))
		}
	}
	if said != nil {
		from, to := l.span(step)
		d.Hits = append(d.Hits, block{X: percent(from), Y: pixels(top), W: percent(to - from), H: pixels(bottom - top), Text: l.said(step) + ": " + strings.Join(said, ", ")})
	}
}

// Legend says which stroke is what.
func (l *Lines) Legend() template.HTML {
	return draw("strokes", l)
}

// Seconds writes a duration as a scale has it: in one unit.
func Seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case math.IsInf(s, 1):
		return "> 15 min"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", s)
	case d < time.Hour:
		return fmt.Sprintf("%.3g min", s/60)
	default:
		return fmt.Sprintf("%.3g h", s/3600)
	}
}
