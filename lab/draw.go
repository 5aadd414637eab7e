package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A series is a line of a figure.
type series struct {
	name   string
	points plotter.XYs
	colour color.Color
	dashes []vg.Length
	width  vg.Length // 0: the usual one
}

// A chart is a figure before it is drawn.
type chart struct {
	title, x, y string
	conditions  string
	logX, logY  bool    // with logY the axis begins at 1
	yMax        float64 // 0: a little more than the data
	lines       []series
}

// Colours that the colour-blind can tell apart.
var (
	orange = color.RGBA{R: 0xd5, G: 0x5e, A: 0xff}
	blue   = color.RGBA{G: 0x72, B: 0xb2, A: 0xff}
	green  = color.RGBA{G: 0x9e, B: 0x73, A: 0xff}
	grey   = color.RGBA{R: 0x80, G: 0x80, B: 0x80, A: 0xff}
)

var (
	dashed = []vg.Length{vg.Points(6), vg.Points(3)}
	dotted = []vg.Length{vg.Points(1.5), vg.Points(3)}
)

// draw writes the chart as SVG and PNG: title, legend, plot and conditions, one below the other.
func (c chart) draw(folder, name string) error {
	p, err := c.plot()
	if err != nil {
		return fmt.Errorf("figure %s: %w", name, err)
	}
	var errs []error
	for _, kind := range []string{"svg", "png"} {
		errs = append(errs, c.save(p, filepath.Join(folder, name+"."+kind), kind))
	}
	return errors.Join(errs...)
}

// plot has the axes and lines alone.
func (c chart) plot() (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = c.x, c.y
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font = sans(10)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = roundTicks{}, roundTicks{}
	p.Add(plotter.NewGrid())
	for _, s := range c.lines {
		line, err := s.line()
		if err != nil {
			return nil, err
		}
		p.Add(line)
	}
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.05
	if c.yMax > 0 {
		p.Y.Max = c.yMax
	}
	if c.logY {
		p.Y.Scale, p.Y.Tick.Marker, p.Y.Min = plot.LogScale{}, logTicks{}, 1
	}
	if c.logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{}
		p.X.Min, p.X.Max = p.X.Min*0.8, p.X.Max*1.25
	}
	return p, nil
}

func (s series) line() (*plotter.Line, error) {
	if len(s.points) == 0 {
		return nil, fmt.Errorf("line %q has no points", s.name)
	}
	line, err := plotter.NewLine(s.points)
	if err != nil {
		return nil, fmt.Errorf("line %q: %w", s.name, err)
	}
	line.Color, line.Dashes, line.Width = s.colour, s.dashes, vg.Points(1.5)
	if s.width > 0 {
		line.Width = s.width
	}
	return line, nil
}

// Sizes of a figure.
const (
	figureWidth  = 20 * vg.Centimeter
	plotHeight   = 10 * vg.Centimeter
	margin       = 0.4 * vg.Centimeter
	titleSize    = 13
	noteSize     = 8.5
	noteLetters  = 132 // of a line of the conditions
	legendSize   = 10
	legendColumn = 4 // lines in a column of the legend
)

func (c chart) save(p *plot.Plot, path, kind string) error {
	notes := wrap(c.conditions, noteLetters)
	titleHeight := vg.Points(titleSize * 1.6)
	legendHeight := vg.Points(legendSize * 1.35 * float64(min(legendColumn, len(c.lines))))
	notesHeight := vg.Points(noteSize * 1.3 * float64(len(notes)+1))
	height := titleHeight + legendHeight + plotHeight + notesHeight + 2*margin
	file, err := draw.NewFormattedCanvas(figureWidth, height, kind)
	if err != nil {
		return err
	}
	all := draw.New(file)
	all.SetColor(color.White)
	all.Fill(all.Path())
	inner := draw.Crop(all, margin, -2*margin, margin, -margin)
	inner.FillText(style(titleSize), vg.Point{X: inner.Min.X, Y: inner.Max.Y}, c.title)
	if err := c.legend(draw.Crop(inner, 0, 0, 0, -titleHeight)); err != nil {
		return err
	}
	p.Draw(draw.Crop(inner, 0, 0, notesHeight, -titleHeight-legendHeight))
	for i, line := range notes {
		y := inner.Min.Y + notesHeight - vg.Points(noteSize*1.3*float64(i+1))
		inner.FillText(style(noteSize), vg.Point{X: inner.Min.X, Y: y}, line)
	}
	return write(file, path)
}

// legend names the lines, in columns from the left.
func (c chart) legend(area draw.Canvas) error {
	for i := 0; i < len(c.lines); i += legendColumn {
		column := plot.NewLegend()
		column.TextStyle.Font, column.Top, column.Left, column.Padding = sans(legendSize), true, true, vg.Points(1)
		for _, s := range c.lines[i:min(i+legendColumn, len(c.lines))] {
			line, err := s.line()
			if err != nil {
				return err
			}
			column.Add(s.name, line)
		}
		left := area.Size().X / 2 * vg.Length(i/legendColumn)
		column.Draw(draw.Crop(area, left, 0, 0, 0))
	}
	return nil
}

func sans(size float64) font.Font {
	return font.Font{Typeface: plot.DefaultFont.Typeface, Variant: "Sans", Size: vg.Points(size)}
}

// style is that of text whose upper left corner is given.
func style(size float64) text.Style {
	return text.Style{Color: color.Black, Font: sans(size), YAlign: draw.YTop, Handler: plot.DefaultTextHandler}
}

// wrap breaks a text between words into lines of at most so many letters.
func wrap(text string, letters int) (lines []string) {
	for _, word := range strings.Fields(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= letters {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

func write(from vg.CanvasWriterTo, path string) error {
	var content bytes.Buffer
	if _, err := from.WriteTo(&content); err != nil {
		return err
	}
	// An SVG names the font, and not every reader has it. These have letters of the same widths, or nearly.
	named, instead := []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	return os.WriteFile(path, bytes.ReplaceAll(content.Bytes(), named, instead), 0o644)
}

// roundTicks are 4 to 8 round numbers along an axis.
type roundTicks struct{}

// Ticks implements [plot.Ticker].
func (roundTicks) Ticks(from, to float64) (ticks []plot.Tick) {
	power := math.Pow10(int(math.Floor(math.Log10((to - from) / 4))))
	step := 10 * power
	for _, factor := range []float64{5, 2, 1} {
		if (to-from)/(factor*power) <= 8 {
			step = factor * power
		}
	}
	for n := math.Ceil(from / step); n*step <= to; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return ticks
}

// logTicks are 1, 2, 5, 10, 20 … with numbers, and the others between without.
type logTicks struct{}

// Ticks implements [plot.Ticker].
func (logTicks) Ticks(from, to float64) (ticks []plot.Tick) {
	for power := int(math.Floor(math.Log10(from))); math.Pow10(power) <= to; power++ {
		for factor := 1.0; factor <= 9; factor++ {
			tick := plot.Tick{Value: factor * math.Pow10(power)}
			if factor == 1 || factor == 2 || factor == 5 {
				tick.Label = strconv.FormatFloat(tick.Value, 'g', 6, 64)
			}
			if tick.Value >= from && tick.Value <= to {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}
