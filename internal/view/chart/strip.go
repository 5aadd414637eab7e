package chart

import (
	"fmt"
	"html/template"
	"strings"
)

// A Strip is what came of mail over time: bars that are stacked.
type Strip struct {
	Frame
	Parts []Part // from below
}

// A Part is one of what is stacked.
type Part struct {
	Name   string
	Kind   Kind
	Values []int64 // one for each step from Frame.From
}

// value is that of a step, however many there are.
func (p *Part) value(i int) int64 {
	if i < len(p.Values) {
		return max(p.Values[i], 0)
	}
	return 0
}

// SVG draws it.
func (s *Strip) SVG() template.HTML {
	d := s.canvas()
	for i := range s.Parts {
		d.Kinds = append(d.Kinds, s.Parts[i].Kind)
	}
	most := int64(1)
	for i := range s.steps() {
		most = max(most, s.sum(i))
	}
	d.Grid = append(d.Grid, block{Y: pixels(top), Text: fmt.Sprint(most)})
	for i := range s.steps() {
		s.bar(d, i, float64(bottom-top)/float64(most))
	}
	return draw("strip", d)
}

func (s *Strip) sum(i int) (sum int64) {
	for p := range s.Parts {
		sum += s.Parts[p].value(i)
	}
	return sum
}

// bar stacks a step's parts. One that is not nothing is seen, however small it is.
func (s *Strip) bar(d *drawing, i int, scale float64) {
	from, to := s.span(i)
	y := float64(bottom)
	var said []string
	for p := range s.Parts {
		v := s.Parts[p].value(i)
		if v == 0 {
			continue
		}
		const seen = 1.5
		h := max(float64(v)*scale, seen)
		y = max(y-h, 0)
		d.Blocks = append(d.Blocks, block{X: percent(from), Y: pixels(y), W: percent(to - from), H: pixels(h), Kind: s.Parts[p].Kind})
		said = append(said, fmt.Sprintf("%s %d", s.Parts[p].Name, v))
	}
	if said != nil {
		d.Hits = append(d.Hits, block{X: percent(from), Y: pixels(top), W: percent(to - from), H: pixels(bottom - top), Text: s.said(i) + ": " + strings.Join(said, ", ")})
	}
}

// Legend says which pattern is what.
func (s *Strip) Legend() template.HTML {
	return draw("legend", s)
}
