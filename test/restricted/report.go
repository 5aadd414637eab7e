package main

import (
	"fmt"
	"strings"
	"time"
)

// bites is how long the slow mail of an imitation takes at least, in the middle: else it imitates nothing.
const bites = 2 * time.Second

// report gives the tables, and what is not as it must be.
func report(outcomes []*outcome) (text string, wrong []string) {
	var b strings.Builder
	fmt.Fprint(&b, "# Restrictions found by time\n\n")
	restrictionTable(&b, outcomes)
	imitationTable(&b, outcomes)
	fmt.Fprint(&b, "| scene | mails | arrived once | lost | twice | bounced | false findings |\n|---|---|---|---|---|---|---|\n")
	for _, o := range outcomes {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", o.name, o.mails, o.mails-o.lost-o.twice, o.lost, o.twice, o.bounced, len(o.untrue))
		wrong = append(wrong, o.wrong()...)
	}
	fmt.Fprint(&b, "\nAll that was told:\n\n")
	for _, o := range outcomes {
		for _, told := range o.told {
			fmt.Fprintf(&b, "- %s: %s\n", o.name, told)
		}
	}
	fmt.Fprint(&b, "\nVerdict: ")
	if len(wrong) == 0 {
		fmt.Fprintln(&b, "passed.")
	} else {
		fmt.Fprintf(&b, "FAILED: %s.\n", strings.Join(wrong, "; "))
	}
	return b.String(), wrong
}

func restrictionTable(b *strings.Builder, outcomes []*outcome) {
	rows := ""
	for _, o := range outcomes {
		for _, f := range o.found {
			rows += fmt.Sprintf("| %v at MX %d | %s |", f.ip, f.mx, f.how)
			if f.finding == nil {
				rows += " **not** | | | | | | |\n"
				continue
			}
			e := f.finding
			rows += fmt.Sprintf(" %.0f s | %d, %d | %s: %s, %s, %s | %s | %d, %d | %s → %s | %s |\n", f.after.Seconds(), f.of, f.ofAll,
				e.Phase, seconds(e.Here.Duration()), seconds(e.Others.Duration()), seconds(e.BeforeIt.Duration()),
				strings.Join(f.acts, ", then "), f.stayed, f.moved, f.before, f.since, o.other)
		}
	}
	if rows != "" {
		fmt.Fprintf(b, "| restricted | how the MX restricts it | told after | mails from it there until then, of all | phase: here, other IPs, before | what is done (`act = \"move\"`) | "+
			"of its mails since: left from it, from others | delay of its mails at their MSAs: until it was told → since something is done | of all other mail |\n|---|---|---|---|---|---|---|---|---|\n%s\n", rows)
	}
}

func imitationTable(b *strings.Builder, outcomes []*outcome) {
	rows := ""
	for _, o := range outcomes {
		if o.slow != nil {
			rows += fmt.Sprintf("| %s | %s | %s | %d | %d | %d |\n", o.what, o.slowed, o.other, o.split, len(o.told), len(o.untrue))
		}
	}
	if rows != "" {
		fmt.Fprintf(b, "| what only looks like it | delay of the slow mail at the MSAs | of all other mail | mails sent from another IP, to compare | findings | of them false |\n|---|---|---|---|---|---|\n%s\n", rows)
	}
}

// String is what the MSAs noticed: median, longest, deferrals.
func (d delays) String() string {
	if d.n == 0 {
		return "none"
	}
	return fmt.Sprintf("%d mails: %s, longest %s, %d deferrals", d.n, seconds(d.median), seconds(d.longest), d.deferred)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// wrong says what is not as it must be.
func (o *outcome) wrong() (all []string) {
	must := func(holds bool, what string, args ...any) {
		if !holds {
			all = append(all, o.name+": "+fmt.Sprintf(what, args...))
		}
	}
	must(o.mails > 0, "no mail was sent")
	must(o.lost == 0, "%d mails are lost", o.lost)
	must(o.twice == 0, "%d mails arrived twice", o.twice)
	must(o.bounced == 0, "%d tries bounced", o.bounced)
	must(len(o.untrue) == 0, "told, and not true: %s", strings.Join(o.untrue, ", "))
	for _, f := range o.found {
		must(f.finding != nil, "not told: %v at MX %d", f.ip, f.mx)
		must(f.finding == nil || f.moved > 0, "nothing is moved from %v at MX %d", f.ip, f.mx)
	}
	must(o.slow == nil || o.slowed.median >= bites, "what is to be slow takes %v, which imitates nothing", o.slowed.median)
	return all
}
