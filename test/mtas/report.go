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

// write prints one table of all cases, and then one for each case with the spread.
func (r *report) write(output io.Writer) error {
	var text strings.Builder
	r.summary(&text)
	for _, k := range kases {
		r.table(&text, k)
	}
	_, err := io.WriteString(output, text.String())
	return err
}

// summary has the programs down and the cases across; a cell has the modes of its case, in their order.
func (r *report) summary(text *strings.Builder) {
	titles, rule := "| |", "|---|"
	for _, k := range kases {
		titles += " " + k.title + " |"
		rule += "---|"
	}
	fmt.Fprintf(text, "Median seconds: %s.\n\n%s\n%s\n", strings.Join(names(r.measured("")), " / "), titles, rule)
	for _, p := range r.programs() {
		row := "| " + p.name + " |"
		for _, k := range kases {
			var cells []string
			for _, m := range r.measured(k.name) {
				cells = append(cells, outcome(r.samples[p.name][m.name][k.name], k, m).short())
			}
			row += " " + strings.Join(cells, " / ") + " |"
		}
		text.WriteString(row + "\n")
	}
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

func names(modes []mode) (names []string) {
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
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
	mails, arrived, copies int
	avoided                int             // arrived without the dead address having been tried
	times                  []time.Duration // of the others, sorted
}

func outcome(samples []sample, k kase, m mode) (r result) {
	r.mails = len(samples)
	for _, s := range samples {
		r.copies += max(0, s.copies-1)
		if s.copies == 0 {
			continue
		}
		r.arrived++
		if k.dead != "" && !m.fenced && !s.tried {
			r.avoided++
		} else {
			r.times = append(r.times, s.took)
		}
	}
	slices.Sort(r.times)
	return r
}

// short is the median, and how many arrived if not all did.
func (r result) short() string {
	if r.mails == 0 {
		return "–"
	}
	if r.arrived == 0 {
		return "no"
	}
	text := "not tried"
	if len(r.times) > 0 {
		text = seconds(r.times[(len(r.times)-1)/2])
	}
	if r.arrived < r.mails {
		text += fmt.Sprintf(" (%d of %d)", r.arrived, r.mails)
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
