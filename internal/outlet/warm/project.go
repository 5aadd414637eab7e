package warm

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Projected gives the day on which the IP will be warm if it goes on as it does, and why not sooner; the zero Day where
// that cannot be said.
func (e *Entry) Projected(today Day) (ends Day, why string) {
	switch {
	case e.Done:
		return 0, ""
	case e.Step == 0:
		return e.Start + Day(len(e.Plan.Steps)), ""
	}
	behind := 0
	for _, c := range e.Classes {
		behind = max(behind, c.Behind)
	}
	left := max(1, len(e.Plan.Steps)-e.Step+behind+1)
	all, days := e.total(), int(today-e.Since)
	switch {
	case days == 0 || all.Tried >= leastMails:
		return today + Day(left), ""
	case all.Tried == 0:
		return 0, "no mail has left from it in this step"
	}
	each := (leastMails*days + all.Tried - 1) / all.Tried // days that a step takes
	return today + Day(max(left, left*each-days)), fmt.Sprintf("a step takes %d mails, and it has %d in %d days", leastMails, all.Tried, days)
}

// A Line is how far along a class is, to be shown.
type Line struct {
	Class
	Name   string // Others: of no provider with a name
	Step   int    // that holds for it
	Amount int    // of today; 0: it is through with its plan
}

// Today gives what is taken of today's amounts, and the amounts, of all classes that had mail in this step, and always of the others.
func (e *Entry) Today() (lines []Line, taken, amount int) {
	names := map[string]bool{Others: true}
	for name := range e.Classes {
		names[name] = true
	}
	for name := range names {
		step, warming := e.stepOf(name, e.Plan)
		l := Line{Class: e.Classes[name], Name: name, Step: e.Step - e.Classes[name].Behind}
		if warming {
			l.Amount = step.amount(name)
		}
		lines = append(lines, l)
		taken += l.Taken
		amount += l.Amount
	}
	slices.SortFunc(lines, func(x, y Line) int { // the others last
		return cmp.Or(cmp.Compare(min(len(y.Name), 1), min(len(x.Name), 1)), cmp.Compare(x.Name, y.Name))
	})
	return lines, taken, amount
}

// Shared is the part of its senders that the IP has today.
func (e *Entry) Shared() float64 { return e.share(e.Plan) }

// Words say how far along the IP is: "step 4 of 30, 212 of 500 mails today".
func (e *Entry) Words() string {
	switch {
	case e.Done:
		return "warm"
	case e.Step == 0:
		return "waits for its first day, " + e.Start.String()
	}
	_, taken, amount := e.Today()
	return fmt.Sprintf("step %d of %d, %d of %d mails today", min(e.Step, len(e.Plan.Steps)), len(e.Plan.Steps), taken, amount)
}

// Why says why an IP has no room for a mail to a class: "50 of 50 mails today to google".
func (b *Book) Why(ip netip.Addr, class string, room Room) string {
	if e, found := b.Get(ip); found && room == Full {
		return e.amountOf(class)
	}
	return room.String()
}

func (e *Entry) amountOf(class string) string {
	step, _ := e.stepOf(class, e.Plan)
	return fmt.Sprintf("%d of %d mails today to %s", e.Classes[class].Taken, step.amount(class), cmp.Or(class, "all others"))
}
