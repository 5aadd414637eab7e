package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/find"
)

// A Document is a report in a language, to be written in some form.
type Document struct {
	Lang     find.Lang
	Title    string
	Facts    [][2]string // about the report itself
	Sections []Section
}

// A Section is a part of a document: text, and a table where it has columns.
type Section struct {
	ID      string // as CSV has it, in every language the same
	Title   string
	Text    []string
	Columns []Column
	Rows    [][]string
}

// A Column of a table.
type Column struct {
	Title  string
	Number bool
}

// Document says a report in a language.
func (r *Report) Document(l find.Lang) *Document {
	d := &Document{Lang: l, Title: title.in(l, r.Tenant)}
	d.Facts = [][2]string{{period.in(l), until.in(l, stamp(r.From), stamp(r.To), r.Zone)}, {made.in(l), stamp(r.Made)}}
	if r.Early > 0 {
		d.Facts = append(d.Facts, [2]string{counted.in(l), countedHours.in(l, r.Early)})
	}
	for _, section := range []func(find.Lang) Section{
		r.summary, r.waits, r.byDay, r.byDestination, r.objections, r.words, r.byAccount, r.missing, r.limits, r.measures, r.gaps,
	} {
		s := section(l)
		if len(s.Rows) == 0 {
			s.Columns = nil
			if len(s.Text) == 0 {
				s.Text = []string{none.in(l)}
			}
		}
		d.Sections = append(d.Sections, s)
	}
	return d
}

func stamp(t time.Time) string { return t.Format("2006-01-02 15:04 -07:00") }

func number(n int64) string { return strconv.FormatInt(n, 10) }

// part says how much of a whole something is.
func part(n, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(whole))
}

func (r *Report) summary(l find.Lang) Section {
	s := Section{ID: "summary", Title: summary.in(l), Columns: []Column{{figure.in(l), false}, {thisTime.in(l), true}}}
	if r.Before != nil {
		s.Columns = append(s.Columns, Column{timeBefore.in(l, r.Since.Format(time.DateOnly)), true}, Column{change.in(l), true})
	}
	row := func(name text, of func(*Sums) int64) {
		now := of(&r.Total)
		cells := []string{name.in(l), number(now)}
		if r.Before != nil {
			before := of(r.Before)
			cells = append(cells, number(before), grown(now, before))
		}
		s.Rows = append(s.Rows, cells)
	}
	row(mails, func(s *Sums) int64 { return s.Mails })
	row(attempts, func(s *Sums) int64 { return s.Attempts })
	row(delivered, func(s *Sums) int64 { return s.Delivered })
	row(first, func(s *Sums) int64 { return s.First })
	row(later, func(s *Sums) int64 { return max(0, s.Delivered-s.First) })
	row(deferred, func(s *Sums) int64 { return s.Deferred })
	row(refused, func(s *Sums) int64 { return s.Refused })
	row(unclear, func(s *Sums) int64 { return s.Unclear })
	row(other, func(s *Sums) int64 { return s.Other })
	row(recipients, func(s *Sums) int64 { return s.Recipients })
	row(octets, func(s *Sums) int64 { return s.Octets })
	row(rescued, func(s *Sums) int64 { return s.Rescued })
	row(encrypted, func(s *Sums) int64 { return s.TLS })
	return s
}

// grown says by how much a figure is another than before.
func grown(now, before int64) string {
	if before == 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*float64(now-before)/float64(before))
}

func (r *Report) waits(l find.Lang) Section {
	w := &r.Waits
	s := Section{ID: "waiting", Title: waitsTitle.in(l), Columns: []Column{{figure.in(l), false}, {mails.in(l), true}}}
	row := func(name text, value string) { s.Rows = append(s.Rows, []string{name.in(l), value}) }
	row(waitedMail, strconv.Itoa(w.Delivered))
	if w.Delivered > 0 {
		row(half, span(w.P50))
		row(most, span(w.P95))
	}
	row(waiting, strconv.Itoa(w.Waiting))
	row(givenUp, strconv.Itoa(w.GivenUp))
	row(lastNo, strconv.Itoa(w.Refused))
	if w.Cut {
		s.Text = append(s.Text, waitsCut.in(l, mostMails))
	}
	if !w.From.IsZero() {
		s.Text = append(s.Text, waitsFrom.in(l, w.From.Format(time.DateOnly)))
	}
	return s
}

// span says seconds.
func span(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// attemptColumns are what tables of attempts have behind their first column.
func attemptColumns(l find.Lang, first text) []Column {
	all := []Column{{first.in(l), false}}
	for _, name := range [...]text{mails, attempts, delivered, deferred, refused, recipients} {
		all = append(all, Column{name.in(l), true})
	}
	return all
}

func attemptCells(name string, s *Sums) []string {
	return []string{name, number(s.Mails), number(s.Attempts), number(s.Delivered), number(s.Deferred), number(s.Refused), number(s.Recipients)}
}

func (r *Report) byDay(l find.Lang) Section {
	s := Section{ID: "days", Title: daysTitle.in(l), Columns: attemptColumns(l, day)}
	for i := range r.Days {
		s.Rows = append(s.Rows, attemptCells(r.Days[i].Date, &r.Days[i].Sums))
	}
	return s
}

func (r *Report) byDestination(l find.Lang) Section {
	s := Section{ID: "destinations", Title: toTitle.in(l), Columns: append(attemptColumns(l, to), Column{encrypted.in(l), true})}
	for i := range r.Providers {
		p := &r.Providers[i]
		s.Rows = append(s.Rows, append(attemptCells(named(providerTexts, p.Name, l), &p.Sums), part(p.TLS, p.Attempts)))
	}
	return s
}

func (r *Report) objections(l find.Lang) Section {
	s := Section{ID: "refusals", Title: whyTitle.in(l), Columns: []Column{{meaning.in(l), false}, {deferred.in(l), true}, {refused.in(l), true}, {remedy.in(l), false}}}
	for i := range r.Refusals {
		f := &r.Refusals[i]
		says, do := find.ForSender(find.ClassOf(f.Class), l)
		s.Rows = append(s.Rows, []string{says, number(f.Deferred), number(f.Refused), do})
		if f.Class == event.AuthFailed.String() {
			s.Text = append(s.Text, authNote.in(l, f.Deferred+f.Refused))
		}
	}
	return s
}

func (r *Report) words(l find.Lang) Section {
	s := Section{ID: "replies", Title: saidTitle.in(l), Columns: []Column{{said.in(l), false}, {count.in(l), true}, {to.in(l), false}}}
	for i := range r.Replies {
		p := &r.Replies[i]
		var names []string
		for _, name := range p.Providers {
			names = append(names, named(providerTexts, name, l))
		}
		s.Rows = append(s.Rows, []string{p.Text, number(p.Count), strings.Join(names, ", ")})
	}
	return s
}

func (r *Report) byAccount(l find.Lang) Section {
	s := Section{ID: "accounts", Title: accountsTitle.in(l), Columns: attemptColumns(l, account)}
	for i := range r.Accounts {
		s.Rows = append(s.Rows, attemptCells(r.Accounts[i].Name, &r.Accounts[i].Sums))
	}
	if len(s.Rows) > 0 {
		s.Text = []string{accountsNote.in(l)}
	}
	return s
}

func (r *Report) missing(l find.Lang) Section {
	m := &r.Missing
	s := Section{ID: "missing_recipients", Title: missingTitle.in(l), Columns: []Column{{address.in(l), false}, {times.in(l), true}, {lastTime.in(l), false}}}
	for i := range m.Addresses {
		s.Rows = append(s.Rows, []string{m.Addresses[i].Address, strconv.Itoa(m.Addresses[i].Times), stamp(m.Addresses[i].Last.In(r.From.Location()))})
	}
	for _, note := range [...]struct {
		holds bool
		text  string
	}{{m.Hidden, missingHidden.in(l)}, {len(s.Rows) > 0, missingNote.in(l)}, {m.More > 0, missingMore.in(l, m.More)}, {m.Cut, missingCut.in(l)}} {
		if note.holds {
			s.Text = append(s.Text, note.text)
		}
	}
	return s
}

func (r *Report) limits(l find.Lang) Section {
	s := Section{ID: "limits", Title: limitsTitle.in(l), Columns: []Column{{rule.in(l), false}, {action.in(l), false}, {times.in(l), true}}}
	for i := range r.Limits {
		at := &r.Limits[i]
		did, observed := strings.CutPrefix(at.Action, "would_")
		if past := done[did]; observed && past != "" {
			did = past
		}
		says := named(actionTexts, did, l)
		if observed {
			says = would.in(l, says)
		}
		s.Rows = append(s.Rows, []string{at.Rule, says, number(at.Count)})
	}
	if r.LimitsCut {
		s.Text = append(s.Text, newestOnly.in(l))
	}
	return s
}

func (r *Report) measures(l find.Lang) Section {
	s := Section{ID: "measures", Title: deedsTitle.in(l), Columns: []Column{{when.in(l), false}, {whom.in(l), false}, {action.in(l), false}, {why.in(l), false}}}
	for i := range r.Deeds {
		d := &r.Deeds[i]
		who, did := d.Account, named(deedTexts, d.Did, l)
		if who == "" {
			who = all.in(l)
		}
		if d.Would {
			did = would.in(l, did)
		}
		s.Rows = append(s.Rows, []string{stamp(d.At.In(r.From.Location())), who, did, d.Why})
	}
	if r.DeedsCut {
		s.Text = append(s.Text, newestOnly.in(l))
	}
	return s
}

func (r *Report) gaps(l find.Lang) Section {
	s := Section{ID: "gaps", Title: gapsTitle.in(l)}
	g, in := &r.Gaps, r.From.Location()
	say := func(t text, values ...any) { s.Text = append(s.Text, t.in(l, values...)) }
	if !g.From.IsZero() {
		say(keptFrom, g.From.Format(time.DateOnly))
	}
	if g.Nothing {
		say(nothing)
	} else if !g.Until.IsZero() {
		say(knownTo, stamp(g.Until.In(in)))
	}
	if g.Lost > 0 {
		say(lost, g.Lost)
	}
	if g.Anybodys > 0 {
		say(anybodys, g.Anybodys)
	}
	for _, at := range g.Killed {
		say(killed, stamp(at.In(in)))
	}
	if len(s.Text) == 0 {
		say(noGaps)
	}
	return s
}
