package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"kanmon/internal/outlet/classify"
)

// A judged is a record and what the rules say of it.
type judged struct {
	record
	verdict classify.Verdict
}

// tally is what became of all records.
type tally struct {
	total     int
	right     map[string]int // by label
	missed    map[string]int // by label: it was this one
	mistaken  map[string]int // by class: it was taken for this one
	wrong     []judged
	falseYes  []judged // suspend_ip no, verdict yes
	falseMay  []judged // suspend_ip no, verdict may
	missedYes []judged // suspend_ip yes, verdict not yes
	suspend   map[string]map[string]int
	each      time.Duration
}

// rounds is how often every reply is classified for the time.
const rounds = 20

func measure(rules *classify.Rules, records []record) *tally {
	t := &tally{total: len(records), right: map[string]int{}, missed: map[string]int{}, mistaken: map[string]int{}, suspend: map[string]map[string]int{}}
	for _, r := range records {
		j := judged{r, rules.Classify(r.query())}
		t.count(j)
	}
	begun := time.Now()
	for range rounds {
		for _, r := range records {
			rules.Classify(r.query())
		}
	}
	t.each = time.Since(begun) / time.Duration(rounds*len(records))
	return t
}

func (r *record) query() classify.Query {
	return classify.Query{Text: r.Reply, Phase: classify.Phase(r.Stage), Provider: r.Provider, SendingIP: r.IP}
}

func (t *tally) count(j judged) {
	// A class that the record accepts counts as its label: what is arguable is no mistake.
	class := j.verdict.Class.String()
	if class == j.Label || slices.Contains(j.Accept, class) {
		t.right[j.Label]++
	} else {
		t.missed[j.Label]++
		t.mistaken[class]++
		t.wrong = append(t.wrong, j)
	}
	said := j.verdict.Suspend.String()
	if t.suspend[j.Suspend] == nil {
		t.suspend[j.Suspend] = map[string]int{}
	}
	t.suspend[j.Suspend][said]++
	switch {
	case j.Suspend == "no" && said == "yes":
		t.falseYes = append(t.falseYes, j)
	case j.Suspend == "no" && said == "may":
		t.falseMay = append(t.falseMay, j)
	case j.Suspend == "yes" && said != "yes":
		t.missedYes = append(t.missedYes, j)
	}
}

func (t *tally) print(w io.Writer, wrong bool) {
	labels := maps.Clone(t.right)
	maps.Copy(labels, t.missed)
	fmt.Fprintf(w, "%-20s %5s %9s %7s %6s\n", "label", "n", "precision", "recall", "F1")
	sum, all := 0.0, 0
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		right, n := t.right[label], t.right[label]+t.missed[label]
		precision, recall := share(right, right+t.mistaken[label]), share(right, n)
		f1 := 0.0
		if right > 0 {
			f1 = 2 * precision * recall / (precision + recall)
		}
		sum, all = sum+f1, all+right
		fmt.Fprintf(w, "%-20s %5d %9.3f %7.3f %6.3f\n", label, n, precision, recall, f1)
	}
	fmt.Fprintf(w, "\n%d replies, %d right (%.1f %%), macro-F1 %.3f\n", t.total, all, 100*share(all, t.total), sum/float64(max(1, len(labels))))
	for _, want := range []string{"yes", "may", "no"} {
		s := t.suspend[want]
		fmt.Fprintf(w, "suspend_ip %-3s: yes %d, may %d, no %d\n", want, s["yes"], s["may"], s["no"])
	}
	yes := t.suspend["yes"]
	fmt.Fprintf(w, "found %d of %d (%.1f %%), false suspensions %d, %.1f µs a reply\n", yes["yes"], yes["yes"]+yes["may"]+yes["no"],
		100*share(yes["yes"], yes["yes"]+yes["may"]+yes["no"]), len(t.falseYes), float64(t.each.Nanoseconds())/1000)
	list(w, "false suspension", t.falseYes)
	list(w, "may, though it is no", t.falseMay)
	list(w, "not found", t.missedYes)
	if wrong {
		list(w, "wrong label", t.wrong)
	}
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func list(w io.Writer, title string, what []judged) {
	for _, j := range what {
		fmt.Fprintf(w, "%s: %s %s -> %s %s, rule %q: %.220q\n", title, j.ID, j.Label, j.verdict.Class, j.verdict.Suspend, j.verdict.Rule, j.Reply)
	}
}
