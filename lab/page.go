package main

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"kanmon/internal/policy"
	"kanmon/test/netlab"
)

//go:embed page.md
var pageText string

// writePages writes the page of what ran, and those of what has a page of its own.
func (r *results) writePages(folder string) error {
	var errs []error
	if r.Compromised != nil {
		errs = append(errs, r.writePage(filepath.Join(folder, "compromised.md"), compromisedText))
	}
	if r.Restricted != nil {
		errs = append(errs, r.writePage(filepath.Join(folder, "restricted.md"), restrictedText))
	}
	if r.ofPaper() {
		errs = append(errs, r.writePage(filepath.Join(folder, "README.md"), pageText))
	}
	return errors.Join(errs...)
}

// writePage writes a page. Every number of a result in it comes from the run.
func (r *results) writePage(path, text string) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"farMX":            func() time.Duration { return farMX },
		"pace":             func() time.Duration { return tarpitPace },
		"listedIP":         func() netip.Addr { return listedIP },
		"highRiskIP":       func() netip.Addr { return highRiskIP },
		"slowRate":         func() int { return policy.DefaultSlowRate },
		"unknownReply":     func() string { return fmt.Sprintf(unknownReply, "recipient") },
		"listedReply":      func() string { return fmt.Sprintf(listedReply, netlab.SendingIPv4) },
		"held":             func() string { return fmt.Sprintf("%.0f s to %.0f s", heldFrom.Seconds(), heldUntil.Seconds()) },
		"restrictedBefore": func() time.Duration { return restrictedBefore },
		"s":                func(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) },
		"fine":             func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) },
		"ms":               milliseconds,
		"one":              func(x float64) string { return fmt.Sprintf("%.1f", x) },
		"signed":           func(x float64) string { return fmt.Sprintf("%+.1f %%", x) },
		"settings":         addedText,
		"clients":          clientsText,
		"mib":              func(kib int) string { return fmt.Sprintf("%.0f MiB", float64(kib)/1024) },
	}).Parse(text)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(page.Execute(file, r), file.Close())
}

func addedText(settings map[string]string) string {
	if len(settings) == 0 {
		return "nothing"
	}
	return "`" + settingsText(settings) + "`"
}

func clientsText(clients map[netip.Addr]int) string {
	var out []string
	for _, address := range slices.SortedFunc(maps.Keys(clients), netip.Addr.Compare) {
		out = append(out, fmt.Sprintf("%v: %d", address, clients[address]))
	}
	return strings.Join(out, ", ")
}

// Quick says that the run was a short one.
func (r *results) Quick() bool { return r.plan.quick }

// WarmUp is how long normal mail of Fig. 4 was submitted before the start.
func (r *results) WarmUp() time.Duration { return r.plan.fig4.warmUp }

// RestrictedStuck is how long after the restriction the rate was measured again.
func (r *results) RestrictedStuck() time.Duration { return r.plan.restricted.stuck }

// MeasuredBefore is how long before the tarpit mails the rate was measured.
func (r *results) MeasuredBefore() time.Duration { return r.plan.fig4.before }

// SubmitUntil is when normal mail of Fig. 4 ended.
func (r *results) SubmitUntil() time.Duration { return r.plan.fig4.submit }
