package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kanmon/test/traffic"
)

// Targets.
const (
	maxSlower   = 1.2       // at p95, beside the byte copier
	maxResident = 512 << 10 // KiB
)

// A judged is a result with what is wrong about it.
type judged struct {
	*result
	kanmon, copied traffic.Audit
	uncounted      int
	wrong          []string
}

// report writes what came of the run, and says whether all is as it must be.
func (r *rig) report(w *strings.Builder) (passed bool) {
	fmt.Fprintf(w, "# The hostile tenant\n\n%s\n\n", r.setting())
	fmt.Fprint(w, "| attack | honest mails | p50 ms | p95 ms | p50 of the dot ms | p95 of the dot ms | not on record, counted as dropped | resident MiB at first, most | CPU % | admin ms | attackers' sessions, commands, refused | honest standing and levels | the guilty | |\n")
	fmt.Fprint(w, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	passed = len(r.results) > 0
	uncounted := r.uncounted()
	var wrong, disturbed []string
	for _, res := range r.results {
		j := r.judge(res, uncounted)
		r.row(w, j)
		if !r.conf.quick && j.disturbed() {
			disturbed = append(disturbed, kinds[res.kind].name)
		}
		if len(j.wrong) > 0 {
			passed = false
			wrong = append(wrong, fmt.Sprintf("- **%s** (%s): %s", kinds[res.kind].name, kinds[res.kind].what, strings.Join(j.wrong, "; ")))
		}
	}
	fmt.Fprintln(w)
	if r.records.Torn > 0 {
		passed = false
		wrong = append(wrong, fmt.Sprintf("- %d lines of the records are torn", r.records.Torn))
	}
	if len(disturbed) > 0 {
		passed = false
		wrong = append(wrong, fmt.Sprintf("- other programs were at work: times are not judged of %s", strings.Join(disturbed, ", ")))
	}
	if passed {
		fmt.Fprintln(w, "Verdict: passed.")
		return true
	}
	fmt.Fprintf(w, "Verdict: FAILED.\n\n%s\n", strings.Join(wrong, "\n"))
	return false
}

func (r *rig) setting() string {
	if r.conf.quick {
		return fmt.Sprintf("%d honest mails a second; each attack for %s through kanmon; attackers have %s. No timing is judged.", honestRate*len(honestTenants), r.conf.window, r.share)
	}
	return fmt.Sprintf("%d honest mails a second; each attack in %d windows of %s through kanmon and as many through the byte copier, in turns; attackers have %s. Figures are kanmon's, then the copier's: medians of the windows.",
		honestRate*len(honestTenants), r.conf.rounds, r.conf.window, r.share)
}

// uncounted is how many honest deliveries of the run are neither on record nor counted as dropped for the honest. What is dropped is told when the stream goes
// on, which may be in the time of the next attack: so it is one number for the run.
func (r *rig) uncounted() int {
	missing, dropped := 0, 0
	for _, res := range r.results {
		for _, win := range res.windows[kanmon.name] {
			missing += r.ledger.Audit(win.group).Unrecorded
		}
		dropped += res.dropped
	}
	return max(0, missing-dropped)
}

func (r *rig) judge(res *result, uncounted int) *judged {
	j := &judged{result: res, kanmon: r.audit(res.windows[kanmon.name]), copied: r.audit(res.windows[copied.name])}
	say := func(format string, args ...any) { j.wrong = append(j.wrong, fmt.Sprintf(format, args...)) }
	a := j.kanmon
	if a.Wrong() > 0 {
		say("%d lost, %d falsely acknowledged, %d doubled, %d changed: %s", a.Lost, a.False, a.Doubled, a.Changed, strings.Join(a.Examples, "; "))
	}
	if a.Unaccepted > 0 {
		say("%d honest mails were not taken: %s", a.Unaccepted, r.told(res))
	}
	if kinds[res.kind].attack != nil && res.tolls[kanmon.name].Sessions == 0 {
		say("the attack did not take place")
	}
	if a.Accepted == 0 {
		say("no honest mail passed")
	}
	switch {
	case r.conf.quick:
	case j.copied.Accepted == 0:
		say("the byte copier has carried nothing: there is nothing to compare with")
	case !j.disturbed():
		j.compare(say)
	}
	if j.uncounted = min(uncounted, max(0, a.Unrecorded-res.dropped)); j.uncounted > 0 {
		say("%d honest mails neither on record nor counted", j.uncounted)
	}
	if res.resident > maxResident { // also where the attack before has left most of it
		say("%d MiB resident, %d when it began", res.resident>>10, res.heldAtFirst>>10)
	}
	if res.silent {
		say("the operator got no answer")
	}
	if len(res.harm) > 0 {
		say("%s", strings.Join(first(res.harm, 4), "; "))
	}
	if kinds[res.kind].guilty && res.guilt == "" && !r.conf.quick {
		say("the guilty is not contained")
	}
	return j
}

// maxOthers is the share of the machine that other programs may take before times mean nothing.
const maxOthers = 0.2

// disturbed says whether other programs were at work in most windows of a contender.
func (j *judged) disturbed() bool {
	for _, windows := range j.windows {
		n := 0
		for _, w := range windows {
			if w.others > maxOthers {
				n++
			}
		}
		if 2*n > len(windows) {
			return true
		}
	}
	return false
}

func (j *judged) compare(say func(string, ...any)) {
	for _, f := range []struct {
		what string
		of   func(window) time.Duration
	}{{"p95", func(w window) time.Duration { return w.wholeP95 }}, {"p95 of the dot", func(w window) time.Duration { return w.dotP95 }}} {
		mine, theirs := median(j.windows[kanmon.name], f.of), median(j.windows[copied.name], f.of)
		if float64(mine) > maxSlower*float64(theirs) {
			say("%s is %.2f times the byte copier's", f.what, float64(mine)/float64(max(theirs, 1)))
		}
	}
}

// audit adds up what became of the honest mail of windows.
func (r *rig) audit(windows []window) (sum traffic.Audit) {
	for _, w := range windows {
		a := r.ledger.Audit(w.group)
		sum.Mails += a.Mails
		sum.Accepted += a.Accepted
		sum.Unaccepted += a.Unaccepted + r.ledger.Underway(w.group)
		sum.Lost += a.Lost
		sum.False += a.False
		sum.Doubled += a.Doubled
		sum.Changed += a.Changed
		sum.Unrecorded += a.Unrecorded
		sum.Examples = append(sum.Examples, a.Examples...)
	}
	sum.Examples = first(sum.Examples, 3)
	return sum
}

func first[T any](all []T, n int) []T { return all[:min(len(all), n)] }

// told is what honest MSAs were told most often.
func (r *rig) told(res *result) string {
	all := make(map[string]int)
	for _, w := range res.windows[kanmon.name] {
		for text, n := range r.ledger.Refusals(w.group) {
			all[text] += n
		}
	}
	texts := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[b] - all[a] })
	return strings.Join(first(texts, 2), " | ")
}

func median(windows []window, of func(window) time.Duration) time.Duration {
	if len(windows) == 0 {
		return 0
	}
	values := make([]time.Duration, len(windows))
	for i, w := range windows {
		values[i] = of(w)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (r *rig) row(w *strings.Builder, j *judged) {
	mine, theirs := j.windows[kanmon.name], j.windows[copied.name]
	pair := func(of func(window) time.Duration) string {
		text := shown(median(mine, of))
		if len(theirs) > 0 {
			text += " / " + shown(median(theirs, of))
		}
		return text
	}
	mails := fmt.Sprintf("%d of %d", j.kanmon.Accepted, j.kanmon.Accepted+j.kanmon.Unaccepted)
	if len(theirs) > 0 {
		mails += fmt.Sprintf(" / %d of %d", j.copied.Accepted, j.copied.Accepted+j.copied.Unaccepted)
	}
	cpu := func(windows []window) string {
		return fmt.Sprintf("%.0f", 100*float64(median(windows, func(w window) time.Duration { return w.cpu }))/float64(r.conf.window))
	}
	work := cpu(mine)
	if len(theirs) > 0 {
		work += " / " + cpu(theirs)
	}
	t := j.tolls[kanmon.name]
	verdict := "passed"
	switch {
	case len(j.wrong) > 0:
		verdict = "**FAILED**"
	case !r.conf.quick && j.disturbed():
		verdict = "disturbed"
	}
	fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %d, %d | %d, %d | %s | %.0f | %d, %d, %d | %s | %s | %s |\n",
		kinds[j.kind].name, mails,
		pair(func(w window) time.Duration { return w.wholeP50 }), pair(func(w window) time.Duration { return w.wholeP95 }),
		pair(func(w window) time.Duration { return w.dotP50 }), pair(func(w window) time.Duration { return w.dotP95 }),
		j.kanmon.Unrecorded, j.dropped, j.heldAtFirst>>10, j.resident>>10, work, milliseconds(j.answer), t.Sessions, t.Commands, t.Refused,
		orNone(strings.Join(first(j.harm, 3), "; "), "unchanged"), orNone(j.guilt, "–"), verdict)
}

func orNone(text, none string) string {
	if text == "" {
		return none
	}
	return text
}

// shown is a time in milliseconds; where no mail passed there is none.
func shown(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", milliseconds(d))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
