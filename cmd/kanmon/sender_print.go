package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/admin/explain"
)

func newTable(w io.Writer, header string) *tabwriter.Writer {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, header)
	return table
}

func printTenants(w io.Writer, all []admin.Sender) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no tenant is configured")
		return err
	}
	table := newTable(w, "TENANT\tSTATE\tSINCE\tUNTIL\tBY\tACCOUNTS\tWHY")
	for _, s := range all {
		row := rowOf(&s)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.Tenant, row.state, row.since, row.until, row.by, s.Accounts, row.why)
	}
	return errors.Join(table.Flush(), printNotes(w, all))
}

func printAccounts(w io.Writer, all []admin.Sender) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no account is slowed, stopped, blocked, exempt or marked")
		return err
	}
	table := newTable(w, "TENANT\tACCOUNT\tSTATE\tSINCE\tUNTIL\tBY\tWHY")
	for _, s := range all {
		row := rowOf(&s)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Tenant, s.Account, row.state, row.since, row.until, row.by, row.why)
	}
	return errors.Join(table.Flush(), printNotes(w, all))
}

// printNotes prints what must be known of senders below their table.
func printNotes(w io.Writer, all []admin.Sender) (err error) {
	for _, s := range all {
		if s.Note != "" && err == nil {
			_, err = fmt.Fprintf(w, "\n%s: %s\n", cmp.Or(s.Account, s.Tenant), s.Note)
		}
	}
	return err
}

// A senderRow is a sender in a table. What an operator said of it goes before evidence.
type senderRow struct{ state, since, until, by, why string }

func rowOf(s *admin.Sender) senderRow {
	row := senderRow{explain.State(s), when(s.Since), "-", "-", "-"}
	hand := s.Block
	if hand == nil {
		hand = s.Exempt
	}
	if hand == nil && s.Level == admin.LevelNormal {
		hand = s.Allow
	}
	switch {
	case hand != nil:
		return senderRow{row.state, when(hand.At), untilOf(hand), hand.By, orDash(hand.Why, "-")}
	case s.Level != admin.LevelNormal:
		row.by, row.why = "evidence", orDash(s.Why, "-")
	case s.Mark != nil && s.Mark.Hand != nil:
		return senderRow{row.state, when(s.Mark.Hand.At), "by hand", s.Mark.Hand.By, orDash(s.Mark.Hand.Why, "-")}
	}
	return row
}

func untilOf(h *admin.ByHand) string {
	if h.Until.IsZero() {
		return "by hand"
	}
	return when(h.Until)
}

// printDetail prints all numbers of a sender.
func printDetail(w io.Writer, x admin.SenderDetail) error {
	p := &explanation{w: w}
	p.line("tenant", x.Tenant)
	if x.Account != "" {
		p.line("account", x.Account)
	} else {
		p.line("accounts", fmt.Sprintf("%d contained, blocked or exempt", x.Accounts))
	}
	p.line("state", explain.State(&x.Sender))
	if x.Block != nil {
		p.line("block", explain.Hand(x.Block))
	}
	if x.Exempt != nil {
		p.line("exemption", explain.Hand(x.Exempt))
	}
	if x.Allow != nil {
		p.line("content allowed", explain.Hand(x.Allow))
	}
	if x.Mark != nil {
		p.line("kind", explain.Mark(x.Mark))
	}
	if x.CountsFor != "" {
		p.line("counts for", x.CountsFor)
	}
	if x.Callouts != nil {
		p.line("callouts", fmt.Sprintf("%d recipients asked for without a message in this hour and the one before, %d of them unknown", x.Callouts.Asked, x.Callouts.Dead))
	}
	if !x.Known {
		p.line("numbers", "none: nothing has been heard of it, or it is forgotten")
	} else {
		printKnown(p, &x)
	}
	if x.Suspicion != nil {
		p.line("suspicion", fmt.Sprintf("%.2f of its next mail, as far as that is known without it", x.Suspicion.Score))
		for i := range x.Suspicion.Parts {
			part := &x.Suspicion.Parts[i]
			p.line("", fmt.Sprintf("%.2f %s: %s", part.P, part.Ground, part.Says))
		}
	}
	fmt.Fprintln(w)
	if err := printLimits(w, x.Limits); err != nil || len(x.Changes) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return printChanges(w, x.Changes)
}

func printKnown(p *explanation, x *admin.SenderDetail) {
	level := x.Level
	if x.Level != admin.LevelNormal {
		level = fmt.Sprintf("%s since %s, by signal %s, strike %d; one down in %s", x.Level, when(x.Since), x.Signal, x.Strikes, span(x.DownIn))
	}
	p.line("evidence", level)
	if x.Last != nil {
		p.line("decided", explain.Decided(x.Last))
	}
	p.line("usual", fmt.Sprintf("%s of recipients unknown, %s of messages refused", percent(x.Usual.Unknown), percent(x.Usual.Content)))
	p.line("volume", explain.Volume(x))
	p.line("accepted", fmt.Sprintf("%d octets and %d recipients, as long as it is known", x.Octets, x.Recipients))
	fmt.Fprintln(p.w)
	printReadings(p.w, x.Readings)
	fmt.Fprintln(p.w)
	printCounts(p.w, &x.Hour, &x.Day)
	countedSince(p.w, x.Last)
	for _, s := range x.Samples {
		fmt.Fprintf(p.w, "\n%s  %s: %s, account %s\n    %s\n", when(s.At), s.Provider, s.Class, orDash(s.Account, "-"), s.Reply)
	}
}

// countedSince says that the counts begin where the level was last set, if that was within them: all but volume begins anew there.
func countedSince(w io.Writer, last *admin.Decision) {
	if last == nil || last.Reading.Signal == "" || last.Reading.Signal == "volume" || time.Since(last.At) > 24*time.Hour {
		return
	}
	fmt.Fprintf(w, "counted since %s, when the level was last set: what was before is in no number above\n", when(last.At))
}

func printReadings(w io.Writer, all []admin.Reading) {
	table := newTable(w, "SIGNAL\tWINDOW\tBAD\tOF\tSHARE\tAT LEAST\tNEEDED\tENOUGH FOR\tPROVIDERS\tACCOUNTS")
	for _, r := range all {
		share, low, needed := percent(r.Share), percent(r.Low), percent(r.Threshold)
		if explain.Counted(&r) {
			share, low, needed = "-", "-", fmt.Sprintf("%.0f", r.Threshold)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%d\t%d\n", r.Signal, orDash(r.Window, "-"), r.Bad, r.Cases, share, low, needed, r.Level, r.Providers, r.Accounts)
	}
	_ = table.Flush() // the writer's next error is the same
}

func printCounts(w io.Writer, hour, day *admin.Counts) {
	table := newTable(w, "COUNT\tHOUR\tDAY")
	for _, row := range []struct {
		name      string
		hour, day int
	}{
		{"mails", hour.Mails, day.Mails},
		{"mails without a sender", hour.NullSender, day.NullSender},
		{"recipients tried", hour.Tried, day.Tried},
		{"recipients answered", hour.Answered, day.Answered},
		{"recipients unknown", hour.Unknown, day.Unknown},
		{"sender refused", hour.Rejected, day.Rejected},
		{"messages judged", hour.Judged, day.Judged},
		{"messages refused", hour.Content, day.Content},
		{"messages delivered", hour.Delivered, day.Delivered},
		{"sending IP refused", hour.RefusedIP, day.RefusedIP},
		{"… with this sender only", hour.Followed, day.Followed},
	} {
		fmt.Fprintf(table, "%s\t%d\t%d\n", row.name, row.hour, row.day)
	}
	_ = table.Flush() // the writer's next error is the same
}

func printLimits(w io.Writer, all []admin.LimitUse) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no limit counts it by itself")
		return err
	}
	table := newTable(w, "LIMIT\tOF\tAMOUNT\tUSED\tAT ONCE\tALL FREE IN\tNOTE")
	for _, l := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", l.Name, explain.LimitOf(&l), explain.Amount(&l), l.Used, l.Max, span(l.Free), explain.LimitNote(&l))
	}
	return table.Flush()
}

func printChanges(w io.Writer, all []admin.Change) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing was changed")
		return err
	}
	table := newTable(w, "CHANGED\tBY\tDID\tOF\tBEFORE\tAFTER\tWHY")
	for _, c := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", when(c.At), c.By, c.Did, changedText(&c), c.Before, c.After, orDash(c.Why, "-"))
	}
	return table.Flush()
}

// changedText says what a change is of.
func changedText(c *admin.Change) string {
	switch {
	case c.IP.IsValid() && c.Provider != "":
		return fmt.Sprintf("IP %s at %s", c.IP, c.Provider)
	case c.IP.IsValid():
		return "IP " + c.IP.String()
	case c.Account != "":
		return fmt.Sprintf("account %s of %s", c.Account, c.Tenant)
	case c.Tenant == "": // Before and After name it
		return "domain"
	}
	return "tenant " + c.Tenant
}

// percent has a decimal where it matters.
func percent(share float64) string { return explain.Percent(share) }

// span is a duration without what is 0 at its end, and without seconds where there are hours.
func span(d time.Duration) string { return explain.Span(d) }
