package chart

import (
	"html/template"
	"math"
	"time"
)

// A Spark is a row of small bars in a line of a table. The figure beside it says what it comes to.
type Spark struct {
	Title  string
	Values []float64 // parts of one; not a number: nothing is known
	Kind   Kind
}

const sparkHeight = 20

// SVG draws it.
func (s *Spark) SVG() template.HTML {
	d := &drawing{Frame: &Frame{Title: s.Title}, Height: sparkHeight, Base: pixels(sparkHeight)}
	wide := 1 / float64(max(len(s.Values), 1))
	for i, v := range s.Values {
		x := percent(float64(i) * wide)
		switch {
		case math.IsNaN(v):
			d.Blank = append(d.Blank, block{X: x, Y: "0", W: percent(wide), H: pixels(sparkHeight)})
		case v > 0:
			const seen = 1.5
			h := max(min(v, 1)*sparkHeight, seen)
			d.Blocks = append(d.Blocks, block{X: x, Y: pixels(sparkHeight - h), W: percent(wide), H: pixels(h), Kind: s.Kind})
		}
	}
	return draw("spark", d)
}

// A Bar is when a part of something was, and how long, in a line of a table that has both as figures.
type Bar struct {
	Begin, Took, Of time.Duration
	Kind            Kind
}

// SVG draws it.
func (b *Bar) SVG() template.HTML {
	whole := float64(max(b.Of, 1))
	from := min(max(float64(b.Begin)/whole, 0), 1)
	wide := min(max(float64(b.Took)/whole, 0), 1-from)
	const seen = 0.004 // however short it was
	wide = max(wide, seen)
	from = min(from, 1-wide)
	return draw("bar", block{X: percent(from), W: percent(wide), Kind: b.Kind})
}
