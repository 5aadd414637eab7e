package main

import (
	"fmt"
	"io"
)

// writeTargets sets what kanmon reached beside what it is to reach.
func (r *results) writeTargets(w io.Writer) {
	t := targets{w: w}
	fmt.Fprintf(w, "## Targets\n\n| kanmon | target | measured | |\n|---|---|---|---|\n")
	for _, c := range r.speed {
		t.atLeast(c.name+", messages/s to HAProxy", c.toHAProxy, compared(c.rounds, kanmon, haproxy, ratio))
		t.atLeast(c.name+", messages/s to copy", toCopy, compared(c.rounds, kanmon, byteCopy, ratio))
		if c.records {
			t.atLeast(c.name+", messages/s with records to without", toQuiet, compared(c.rounds, kanmon, quiet, ratio))
		}
	}
	for _, l := range r.latency {
		if l.tls {
			continue // the targets are those of plain mail; the table above shows the rest
		}
		for _, q := range []struct {
			name  string
			limit float64
			of    func(*sample) float64
		}{{"p50", milliseconds(addedP50), messageP50}, {"p99", milliseconds(addedP99), messageP99}} {
			t.atMost("added latency, "+q.name+", ms", q.limit,
				compared(l.rounds, kanmon, direct, func(a, b *sample) float64 { return q.of(a) - q.of(b) }))
		}
		t.atMost("final reply of the MX until read by the source, p99, ms", milliseconds(replyP99), of(l.rounds, kanmon, replyP99Of))
	}
	r.heldTargets(&t)
	for _, d := range r.drip {
		if d.name == kanmon {
			t.atMost(fmt.Sprintf("%d sessions at %d octets/s, %% of a core", dripSessions, dripRate), dripPercent, single(d.cpu))
		}
	}
	fmt.Fprintln(w)
}

func (r *results) heldTargets(t *targets) {
	for _, h := range r.held {
		if h.name != kanmon {
			continue
		}
		limit := float64(heldPlainKiB)
		if h.tls {
			limit = heldTLSKiB
		}
		name := fmt.Sprintf("%d held sessions, %s, ", h.sessions, kind(h.tls))
		t.atMost(name+"KiB each, fresh", limit, single(h.perSession(h.fresh)))
		t.atMost(name+"KiB each, after 100 KB each", limit, single(h.perSession(h.after)))
		t.atMost(name+"idle, % of a core", idlePercent, single(h.idle))
		t.atLeast(name+"rate that normal mail keeps", normalKept, single(h.kept()))
	}
}

func single(v float64) spread { return spread{v, v, v, 1} }

type targets struct {
	w io.Writer
}

func (t *targets) atLeast(what string, target float64, measured spread) {
	t.row(what, "≥", target, measured, measured.median >= target)
}

func (t *targets) atMost(what string, target float64, measured spread) {
	t.row(what, "≤", target, measured, measured.median <= target)
}

func (t *targets) row(what, sign string, target float64, measured spread, met bool) {
	verdict := "**missed**"
	switch {
	case measured.n == 0:
		verdict = "not measured"
	case met:
		verdict = "met"
	}
	fmt.Fprintf(t.w, "| %s | %s %g | %v | %s |\n", what, sign, target, measured, verdict)
}
