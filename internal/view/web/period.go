package web

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"kanmon/internal/view/chart"
	"kanmon/internal/view/find"
	"kanmon/internal/view/tally"
)

// A period is the time that a page made of history shows. The page's address says it, so that whoever is given the address sees the same:
//
//	?last=24h          up to now
//	?last=24h&at=TIME  up to then: the page as it was
//	?from=TIME&to=TIME
type period struct {
	From, To time.Time
	Last     string // as asked for; "": from and to are
	Past     bool   // it does not end now
}

// Lengths of periods.
const (
	aDay    = "24h"
	longest = 400 * 24 * time.Hour
)

// lasts are those that a page offers.
var lasts = []string{"1h", "6h", "24h", "7d", "30d"}

// period reads that of a request; where it says none it is so long.
func (r *request) period(usual string) (p period, err error) {
	p.To = r.now
	for _, ask := range []struct {
		name string
		to   *time.Time
	}{{"at", &p.To}, {"to", &p.To}, {"from", &p.From}} {
		if text := r.ask(ask.name); text != "" {
			if *ask.to, err = find.Time(text, r.now, time.Local); err != nil {
				return p, &Problem{Status: http.StatusBadRequest, Text: ask.name + ": " + err.Error()}
			}
			p.Past = p.Past || ask.to == &p.To
		}
	}
	if p.From.IsZero() {
		p.Last = cmp.Or(r.ask("last"), usual)
		d, err := find.Duration(p.Last)
		if err != nil {
			return p, &Problem{Status: http.StatusBadRequest, Text: "last: " + err.Error()}
		}
		p.From = p.To.Add(-d)
	}
	switch {
	case !p.From.Before(p.To):
		return p, &Problem{Status: http.StatusBadRequest, Text: "The time ends before it begins.", Do: "“from” must be before “to”."}
	case p.To.Sub(p.From) > longest:
		return p, &Problem{Status: http.StatusBadRequest, Text: "The time is longer than history keeps anything.", Do: "Ask for 400 days at most."}
	}
	return p, nil
}

// asks gives what the address of a page of the same time has.
func (p period) asks() []any {
	switch {
	case p.Last == "":
		return []any{"from", p.From.UTC().Format(time.RFC3339Nano), "to", p.To.UTC().Format(time.RFC3339Nano)}
	case p.Past:
		return []any{"last", p.Last, "at", p.To.UTC().Format(time.RFC3339)}
	}
	return []any{"last", p.Last}
}

// Link makes the path of a page of the same time: the path, then names and values as of link.
func (p period) Link(path string, parts ...any) string {
	return link(path+"?", append(p.asks(), parts...)...)
}

// A periodForm lets a page be asked for over another time.
type periodForm struct {
	period
	Path string
	Also []asked // whom the page is about
}

// An asked is a name and a value of a page's address.
type asked struct{ Name, Value string }

// form is for a page with this path, and what its address has beside the time.
func (p period) form(path string, also ...any) periodForm {
	f := periodForm{period: p, Path: path}
	for i := 0; i+1 < len(also); i += 2 {
		if value := fmt.Sprint(also[i+1]); value != "" {
			f.Also = append(f.Also, asked{fmt.Sprint(also[i]), value})
		}
	}
	return f
}

// A lastLink is a length that a page offers.
type lastLink struct {
	Last, Link string
	Here       bool
}

// Lasts are all of them, each ending when the page does.
func (f periodForm) Lasts() (links []lastLink) {
	for _, last := range lasts {
		other := period{To: f.To, Last: last, Past: f.Past}
		var also []any
		for _, a := range f.Also {
			also = append(also, a.Name, a.Value)
		}
		links = append(links, lastLink{last, other.Link(f.Path, also...), last == f.Last})
	}
	return links
}

// FromInput and ToInput are the times as a field of a form has them.
func (p period) FromInput() string { return p.From.Local().Format("2006-01-02T15:04") }

// ToInput is the end likewise.
func (p period) ToInput() string { return p.To.Local().Format("2006-01-02T15:04") }

// Whole is how long it is.
func (p period) Whole() time.Duration { return p.To.Sub(p.From) }

// mostMarks is how many events a chart has; the list below it has all.
const mostMarks = 30

// stripOf draws what came of mail, with news as marks: their labels are those of the list below.
func stripOf(title string, s *tally.Series, news []tally.News) *chart.Strip {
	strip := &chart.Strip{Frame: frameOf("outcomes", title, s, news)}
	parts := []chart.Part{
		{Name: "delivered", Kind: chart.Good},
		{Name: "deferred", Kind: chart.Wait},
		{Name: "refused", Kind: chart.Bad},
		{Name: "unclear", Kind: chart.Unclear},
		{Name: "ended otherwise", Kind: chart.Other},
	}
	for i := range s.Steps {
		o := &s.Steps[i]
		for at, n := range [...]int64{o.Delivered, o.Deferred, o.Refused, o.Unclear, o.Other} {
			parts[at].Values = append(parts[at].Values, n)
		}
	}
	strip.Parts = parts
	strip.Desc = fmt.Sprintf("%s in steps of %s: %d attempts, of them %d delivered, %d deferred, %d refused, %d unclear, %d ended otherwise. The table has the same.",
		title, span(s.Step), s.Sum.Attempts, s.Sum.Delivered, s.Sum.Deferred, s.Sum.Refused, s.Sum.Unclear, s.Sum.Other)
	return strip
}

func frameOf(id, title string, s *tally.Series, news []tally.News) chart.Frame {
	f := chart.Frame{ID: id, Title: title, From: s.From, To: s.To, Step: s.Step, In: time.Local}
	for _, g := range s.Gaps {
		f.Gaps = append(f.Gaps, chart.Span{From: g.From, To: g.To, Text: g.Why})
	}
	for i := range news[:min(len(news), mostMarks)] {
		f.Marks = append(f.Marks, chart.Mark{At: news[i].At, Label: fmt.Sprint(i + 1), Text: news[i].What})
	}
	return f
}

// linesOf draws what a phase took in the middle and in its worst tenth, and a week before.
func linesOf(id, title string, s *tally.Series, now, before *tally.Course) *chart.Lines {
	if now == nil {
		return nil
	}
	l := &chart.Lines{Frame: frameOf(id, title, s, nil)}
	l.Desc = title + ", on a logarithmic scale. The table of phases has the figures of the whole time."
	for _, of := range []struct {
		name        string
		course      *tally.Course
		thin, thick chart.Stroke
	}{{"", now, chart.Thin, chart.Thick}, {" a week before", before, chart.Dotted, chart.Dashed}} {
		middle, worst := chart.Line{Name: "half took at most" + of.name, Stroke: of.thin}, chart.Line{Name: "9 of 10 took at most" + of.name, Stroke: of.thick}
		for _, spans := range of.course.Steps {
			middle.Seconds, worst.Seconds = append(middle.Seconds, spans.P50), append(worst.Seconds, spans.P90)
		}
		l.Of = append(l.Of, middle, worst)
	}
	return l
}
