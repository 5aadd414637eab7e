package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// A report collects what was measured.
type report struct {
	mu      sync.Mutex
	samples map[string]map[string]map[string][]sample // by program, mode and case
	failed  []error
}

func newReport() *report { return &report{samples: map[string]map[string]map[string][]sample{}} }

func (r *report) add(p program, m mode, samples map[string][]sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.samples[p.name] == nil {
		r.samples[p.name] = map[string]map[string][]sample{}
	}
	r.samples[p.name][m.name] = samples
}

func (r *report) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, err)
}

// write prints a table of all cases, one of those of the fenced mode, and then one for each case with the spread.
func (r *report) write(output io.Writer) error {
	var text strings.Builder
	var open, fenced []mode
	for _, m := range r.measured("") {
		if m.fenced {
			fenced = append(fenced, m)
		} else {
			open = append(open, m)
		}
	}
	r.summary(&text, open)
	r.summary(&text, fenced)
	for _, k := range kases {
		r.table(&text, k)
	}
	_, err := io.WriteString(output, text.String())
	return err
}

// summary has the programs down and the cases of the modes across; a cell has the modes in their order.
func (r *report) summary(text *strings.Builder, modes []mode) {
	if len(modes) == 0 {
		return
	}
	var titles []string
	for _, m := range modes {
		titles = append(titles, m.title)
	}
	fmt.Fprintf(text, "Median seconds %s:\n\n| |", strings.Join(titles, " / "))
	for _, name := range modes[0].kases {
		fmt.Fprintf(text, " %s |", kaseNamed(name).title)
	}
	text.WriteString("\n|---|" + strings.Repeat("---|", len(modes[0].kases)) + "\n")
	for _, p := range r.programs() {
		row := "| " + p.name + " |"
		for _, name := range modes[0].kases {
			var cells []string
			for _, m := range modes {
				cells = append(cells, outcome(r.samples[p.name][m.name][name], kaseNamed(name), m).short())
			}
			if allEqual(cells) {
				cells = cells[:1]
			}
			row += " " + strings.Join(cells, " / ") + " |"
		}
		text.WriteString(row + "\n")
	}
	text.WriteString("\n")
}

func kaseNamed(name string) kase {
	return kases[slices.IndexFunc(kases, func(k kase) bool { return k.name == name })]
}

func allEqual(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return cell != cells[0] })
}

// table has the programs down and the modes across.
func (r *report) table(text *strings.Builder, k kase) {
	measured := r.measured(k.name)
	if len(measured) == 0 {
		return
	}
	titles, rule := "| |", "|---|"
	for _, m := range measured {
		titles += " " + m.title + " |"
		rule += "---|"
	}
	fmt.Fprintf(text, "\n### %s\n\n%s\n%s\n", k.title, titles, rule)
	for _, p := range r.programs() {
		row := "| " + p.name + " |"
		for _, m := range measured {
			row += " " + outcome(r.samples[p.name][m.name][k.name], k, m).long() + " |"
		}
		text.WriteString(row + "\n")
	}
}

// measured gives the modes in which a case was measured, "": any case.
func (r *report) measured(kase string) (measured []mode) {
	for _, m := range modes {
		if (kase == "" || slices.Contains(m.kases, kase)) && r.has(m) {
			measured = append(measured, m)
		}
	}
	return measured
}

func (r *report) programs() (measured []program) {
	for _, p := range programs {
		if r.samples[p.name] != nil {
			measured = append(measured, p)
		}
	}
	return measured
}

func (r *report) has(m mode) bool {
	for _, of := range r.samples {
		if of[m.name] != nil {
			return true
		}
	}
	return false
}

// A result sums up the mails of a case.
type result struct {
	avoided       int             // began with the address that works, the dead one was not tried: they show nothing
	mails, copies int             // of the others
	times         []time.Duration // of those of them that arrived, sorted
}

func outcome(samples []sample, k kase, m mode) (r result) {
	for _, s := range samples {
		if k.dead != "" && !m.fenced && !s.tried && s.copies > 0 {
			r.avoided++
			continue
		}
		r.mails++
		r.copies += max(0, s.copies-1)
		if s.copies > 0 {
			r.times = append(r.times, s.took)
		}
	}
	slices.Sort(r.times)
	return r
}

// short is the median, and how many arrived if not all did.
func (r result) short() string {
	text := "no"
	switch {
	case r.mails == 0 && r.avoided == 0:
		return "–"
	case r.mails == 0:
		return "not tried"
	case len(r.times) > 0:
		text = seconds(r.times[(len(r.times)-1)/2])
		if len(r.times) < r.mails {
			text += fmt.Sprintf(" (%d of %d)", len(r.times), r.mails)
		}
	}
	if r.copies > 0 {
		text += fmt.Sprintf(" **%d too many**", r.copies)
	}
	return text
}

// long has also the longest time, and how many mails began with the address that works.
func (r result) long() string {
	text := r.short()
	if len(r.times) > 1 {
		text += ", longest " + seconds(r.times[len(r.times)-1])
	}
	if r.avoided > 0 {
		text += fmt.Sprintf(", %d began with the other", r.avoided)
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
