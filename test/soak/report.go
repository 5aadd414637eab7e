package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// report writes what came of the run, and says whether all is as it must be.
func (r *rig) report(w *strings.Builder) (passed bool) {
	a := r.ledger.Audit("")
	var wrong []string
	must := func(n int, what string) {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", n, what))
		}
	}
	must(a.Lost, "lost")
	must(a.False, "falsely acknowledged")
	must(a.Doubled, "doubled")
	must(a.Changed, "with other octets than were sent")
	must(a.Odd, "that nobody has sent")
	must(a.Repeated, "more than once on record")
	must(r.uncounted(), "copies neither on record nor counted as dropped")
	must(r.torn(), "lines of the records torn")
	if a.Accepted == 0 {
		wrong = append(wrong, "nothing was delivered")
	}
	wrong = append(wrong, r.grown()...)

	fmt.Fprintf(w, "# A soak of %s\n\n", r.conf.length)
	fmt.Fprintf(w, "%d attempts, %d acknowledged; %d sessions left in the middle, %d that spoke no SMTP; %d reloads, %d log rotations, %d operators' orders (%d refused), %d containments lifted; the disk full for %s.\n\n",
		a.Mails, a.Accepted, r.counts.left.Load(), r.counts.junk.Load(), r.counts.reloads.Load(), r.counts.rotations.Load(),
		r.counts.orders.Load(), r.counts.refusedOrders.Load(), r.counts.lifted.Load(), r.counts.full.Round(time.Second))
	fmt.Fprintf(w, "| lost | falsely acknowledged | doubled | changed | from nowhere | taken, and not on record | records counted as dropped | twice on record | torn lines |\n|---|---|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(w, "| %d | %d | %d | %d | %d | %d | %d | %d | %d |\n\n", a.Lost, a.False, a.Doubled, a.Changed, a.Odd, a.Unrecorded, r.records.AllDropped(), a.Repeated, r.torn())
	for _, example := range a.Examples {
		fmt.Fprintf(w, "- %s\n", example)
	}
	if len(a.Examples) > 0 {
		fmt.Fprintln(w)
	}
	r.growthTable(w)
	r.told(w)
	if len(wrong) == 0 {
		fmt.Fprint(w, "\nVerdict: passed.\n")
		return true
	}
	fmt.Fprintf(w, "\nVerdict: FAILED: %s.\n", strings.Join(wrong, "; "))
	return false
}

// uncounted is how many copies of each tenant's are neither on record nor among what it has lost: what others lost excuses nothing.
func (r *rig) uncounted() (n int) {
	for _, t := range tenants {
		n += max(0, r.ledger.Audit(t.name).Unrecorded-r.records.DroppedOf(t.name))
	}
	return n
}

// torn is how many lines are no record. A disk that is full tears one, and a cut one stands whole in the next file.
func (r *rig) torn() int {
	if r.counts.full > 0 {
		return max(0, r.records.Torn-1)
	}
	return r.records.Torn
}

// mostTold is how many replies the report shows.
const mostTold = 25

// told shows what MSAs were told of mail that was not taken.
func (r *rig) told(w *strings.Builder) {
	byText := make(map[string]int)
	for text, n := range r.ledger.Refusals("") {
		byText[anonymous(text)] += n
	}
	texts := slices.SortedFunc(maps.Keys(byText), func(a, b string) int { return byText[b] - byText[a] })
	fmt.Fprint(w, "\n| what MSAs were told of the rest | times |\n|---|---|\n")
	for _, text := range texts[:min(len(texts), mostTold)] {
		fmt.Fprintf(w, "| %s | %d |\n", strings.ReplaceAll(text, "|", "\\|"), byText[text])
	}
}

// anonymous takes digits away, in which replies differ without meaning something else; the code stays.
func anonymous(text string) string {
	step, rest, _ := strings.Cut(text, ": ")
	code, words, _ := strings.Cut(rest, " ")
	words = strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return '#'
		case r == '\n' || r == '\r':
			return ' '
		}
		return r
	}, words)
	return step + ": " + code + " " + words
}
