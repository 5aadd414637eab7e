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

// write prints one table for each case: programs down, modes across.
func (r *report) write(output io.Writer) error {
	for _, k := range kases {
		var measured []mode
		for _, m := range modes {
			if slices.Contains(m.kases, k.name) && r.has(m) {
				measured = append(measured, m)
			}
		}
		if len(measured) == 0 {
			continue
		}
		titles, rule := "| |", "|---|"
		for _, m := range measured {
			titles += " " + m.title + " |"
			rule += "---|"
		}
		if _, err := fmt.Fprintf(output, "\n### %s\n\n%s\n%s\n", k.title, titles, rule); err != nil {
			return err
		}
		for _, p := range programs {
			if r.samples[p.name] == nil {
				continue
			}
			row := "| " + p.name + " |"
			for _, m := range measured {
				row += " " + cell(r.samples[p.name][m.name][k.name], k.dead != "" && !m.fenced) + " |"
			}
			if _, err := fmt.Fprintln(output, row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *report) has(m mode) bool {
	for _, of := range r.samples {
		if of[m.name] != nil {
			return true
		}
	}
	return false
}

// cell is the median and the longest time in seconds of the mails whose dead address was tried, and how many of all arrived if not all.
func cell(samples []sample, mustTry bool) string {
	var times []time.Duration
	arrived, avoided, copies := 0, 0, 0
	for _, s := range samples {
		copies += max(0, s.copies-1)
		if s.copies > 0 {
			arrived++
		}
		switch {
		case s.copies > 0 && mustTry && !s.tried:
			avoided++
		case s.copies > 0:
			times = append(times, s.took)
		}
	}
	if len(samples) == 0 {
		return "–"
	}
	var text string
	switch {
	case len(times) > 0:
		slices.Sort(times)
		text = seconds(times[(len(times)-1)/2])
		if longest := seconds(times[len(times)-1]); longest != text {
			text += " … " + longest
		}
	case arrived > 0:
		text = "not tried"
	default:
		return "no"
	}
	var notes []string
	if arrived < len(samples) {
		notes = append(notes, fmt.Sprintf("%d of %d", arrived, len(samples)))
	}
	if avoided > 0 && len(times) > 0 {
		notes = append(notes, fmt.Sprintf("%d began with the other", avoided))
	}
	if copies > 0 {
		notes = append(notes, fmt.Sprintf("**%d copies too many**", copies))
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
