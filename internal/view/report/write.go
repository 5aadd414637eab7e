package report

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"html/template"
	"io"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
)

//go:embed report.html
var page string

var htmlPage = template.Must(template.New("report").Parse(page))

// HTML writes a page that stands by itself: it needs nothing else, runs nothing, and is made to be printed.
func (d *Document) HTML(w io.Writer) error { return htmlPage.Execute(w, d) }

// Cells of a table on a terminal are cut where they are longer.
const (
	textColumns = 78
	textCell    = 60
)

// Text writes lines for a terminal, or for a mail.
func (d *Document) Text(w io.Writer) error {
	out := &lines{w: w}
	out.line(printable(d.Title))
	out.line(strings.Repeat("=", find.Width(printable(d.Title))))
	for _, fact := range d.Facts {
		out.line(fact[0] + ": " + printable(fact[1]))
	}
	for i := range d.Sections {
		s := &d.Sections[i]
		out.line("")
		out.line(s.Title)
		out.line(strings.Repeat("-", find.Width(s.Title)))
		for _, text := range s.Text {
			out.line(find.Fold(printable(text), textColumns))
		}
		out.table(s)
	}
	return out.err
}

func printable(text string) string { return event.Printable(text, maxCell) }

// maxCell is how much of a text of a stranger's is shown: a reply on record is no longer.
const maxCell = 8 << 10

type lines struct {
	w   io.Writer
	err error
}

func (o *lines) line(text string) {
	if o.err == nil {
		_, o.err = fmt.Fprintln(o.w, strings.TrimRight(text, " "))
	}
}

// table writes columns side by side. A text that is too long for its column goes on in lines of its own below its row.
func (o *lines) table(s *Section) {
	if len(s.Columns) == 0 {
		return
	}
	widths := make([]int, len(s.Columns))
	rows := [][]string{make([]string, len(s.Columns))}
	for i := range s.Columns {
		rows[0][i] = s.Columns[i].Title
	}
	for _, cells := range s.Rows {
		row := make([]string, len(cells))
		for i, cell := range cells {
			row[i] = printable(cell)
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		for i, cell := range row {
			if width := find.Width(cell); width <= textCell {
				widths[i] = max(widths[i], width)
			}
		}
	}
	for _, row := range rows {
		var line strings.Builder
		var below []string
		for i, cell := range row {
			if find.Width(cell) > textCell {
				below, cell = append(below, cell), ""
			}
			gap := strings.Repeat(" ", widths[i]-find.Width(cell))
			if s.Columns[i].Number {
				line.WriteString(gap + cell + "  ")
			} else {
				line.WriteString(cell + gap + "  ")
			}
		}
		o.line(line.String())
		for _, text := range below {
			o.line("    " + strings.ReplaceAll(find.Fold(text, textColumns-4), "\n", "\n    "))
		}
	}
}

// CSV writes one table: in front of each row stands which section it is of. A section's first row names its columns.
func (d *Document) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	row := func(section string, cells ...string) {
		safe := []string{section}
		for _, cell := range cells {
			safe = append(safe, find.Cell(strings.ToValidUTF8(cell, "\uFFFD")))
		}
		_ = out.Write(safe) // the writer keeps its error
	}
	row("report", d.Title)
	for _, fact := range d.Facts {
		row("report", fact[:]...)
	}
	for i := range d.Sections {
		s := &d.Sections[i]
		for _, text := range s.Text {
			row(s.ID, text)
		}
		if len(s.Columns) == 0 {
			continue
		}
		var heads []string
		for _, c := range s.Columns {
			heads = append(heads, c.Title)
		}
		row(s.ID, heads...)
		for _, cells := range s.Rows {
			row(s.ID, cells...)
		}
	}
	out.Flush()
	return out.Error()
}
