package chart

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"
)

// Style is the style sheet that charts need.
//
//go:embed chart.css
var Style []byte

//go:embed chart.gohtml
var source string

var templates = template.Must(template.New("chart").Parse(source))

// A Kind is what a part of a chart stands for. It says how it is drawn.
type Kind string

// What parts stand for.
const (
	Good    Kind = "good"
	Wait    Kind = "wait"
	Bad     Kind = "bad"
	Unclear Kind = "unclear"
	Other   Kind = "other"
)

// Kinds are all of them.
var Kinds = [...]Kind{Good, Wait, Bad, Unclear, Other}

// Frame is what all charts over time share.
type Frame struct {
	ID       string // no other chart of the page has it: a word
	Title    string
	Desc     string
	From, To time.Time
	Step     time.Duration
	In       *time.Location // nil: UTC
	Gaps     []Span         // where nothing is known
	Marks    []Mark         // what happened beside the mail
}

// A Span is a part of the time.
type Span struct {
	From, To time.Time
	Text     string
}

// A Mark is a moment.
type Mark struct {
	At    time.Time
	Label string // a few characters, by which a list below the chart names it
	Text  string
}

// steps gives how many there are.
func (f *Frame) steps() int {
	if f.Step <= 0 || !f.To.After(f.From) {
		return 0
	}
	return int((f.To.Sub(f.From) + f.Step - 1) / f.Step)
}

// place gives where a moment stands, as a part of the whole width.
func (f *Frame) place(at time.Time) float64 {
	return min(max(float64(at.Sub(f.From))/float64(f.To.Sub(f.From)), 0), 1)
}

// span gives where a step stands: the last one may be cut.
func (f *Frame) span(i int) (from, to float64) {
	begin := f.From.Add(time.Duration(i) * f.Step)
	return f.place(begin), f.place(begin.Add(f.Step))
}

func (f *Frame) local(at time.Time) time.Time {
	if f.In == nil {
		return at.UTC()
	}
	return at.In(f.In)
}

// said is how a step's time is written where somebody points at it.
func (f *Frame) said(i int) string {
	begin := f.From.Add(time.Duration(i) * f.Step)
	end := begin.Add(f.Step)
	if end.After(f.To) {
		end = f.To
	}
	return f.local(begin).Format("2006-01-02 15:04") + "–" + f.local(end).Format("15:04")
}

// A block is a rectangle, a stroke or a text as the template draws it.
type block struct {
	X, Y, W, H string // of a stroke: from X Y to W H
	Kind       Kind
	Class      string
	Text       string
}

// drawing is what the template needs.
type drawing struct {
	*Frame
	Kinds  []Kind
	Height int
	Base   string // the line on which it stands
	Grid   []block
	Ticks  []block
	Blank  []block
	Blocks []block
	Lines  []block
	Flags  []block
	Hits   []block
}

const (
	top    = 16  // room for marks
	bottom = 118 // the line on which bars stand
	height = 136 // with the ticks' text
)

// percent writes a part of the width, to a hundredth of a per cent.
func percent(part float64) string {
	return strconv.FormatFloat(math.Round(part*1e4)/1e2, 'f', -1, 64) + "%"
}

// pixels writes a height, to a tenth.
func pixels(y float64) string { return strconv.FormatFloat(math.Round(y*10)/10, 'f', -1, 64) }

// canvas draws what all charts over time have.
func (f *Frame) canvas() *drawing {
	d := &drawing{Frame: f, Height: height, Base: pixels(bottom)}
	for _, g := range f.Gaps {
		if g.To.Before(f.From) || g.From.After(f.To) {
			continue
		}
		from, to := f.place(g.From), f.place(g.To)
		const seen = 0.004 // however short it was
		to = max(to, from+seen)
		d.Blank = append(d.Blank, block{X: percent(from), Y: pixels(top), W: percent(to - from), H: pixels(bottom - top), Text: g.Text})
	}
	for _, m := range f.Marks {
		if m.At.Before(f.From) || m.At.After(f.To) {
			continue
		}
		x := percent(f.place(m.At))
		d.Flags = append(d.Flags, block{X: x, Y: pixels(top - 2), W: x, H: pixels(bottom), Class: m.Label, Text: f.local(m.At).Format("15:04:05") + " " + m.Text})
	}
	for _, t := range f.ticks() {
		d.Ticks = append(d.Ticks, block{X: percent(f.place(t.At)), Y: pixels(height - 4), W: pixels(bottom), H: pixels(bottom + 4), Text: t.Label})
	}
	return d
}

// draw writes a chart. The templates are the package's own: that they fail is a fault of it, which the page then shows.
func draw(name string, of any) template.HTML {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, of); err != nil {
		return template.HTML(template.HTMLEscapeString(fmt.Sprintf("chart %s: %v", name, err)))
	}
	return template.HTML(out.String()) //nolint:gosec // what html/template has written is escaped
}
