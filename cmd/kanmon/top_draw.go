package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"kanmon/internal/admin"
	"kanmon/internal/event"
)

// A screen is what "kanmon top" is drawn on. Whatever stands on it is fit for a terminal: names that strangers have chosen are made so here.
type screen struct {
	width, height int  // 0: as high as need be
	bold          bool // titles, and what is not normal
	lines         []string
}

func (s *screen) line(text string) {
	s.lines = append(s.lines, ansi.Truncate(text, s.width, "…"))
}

func (s *screen) title(text string) {
	if s.bold {
		text = "\x1b[1m" + text + "\x1b[22m"
	}
	s.line(text)
}

// room is how many lines there still are.
func (s *screen) room() int {
	if s.height == 0 {
		return 1 << 10
	}
	return s.height - len(s.lines)
}

// What of it is shown, and how.
type shows struct {
	filter string
	order  topOrder
	chosen string // session that the mark stands at
}

// A topOrder is what rows are sorted by.
type topOrder uint8

const (
	byHeld topOrder = iota
	byCount
	byName
	orderCount
)

func (o topOrder) String() string { return [...]string{"held", "how many", "name"}[o%orderCount] }

// A pane is a table under a title.
type pane struct {
	title string
	rows  [][]string
	right []bool // of the columns: numbers
	mark  int    // number of the row that is marked, from 1; 0: none
}

// lines give the pane in so many columns of the screen and so many lines.
func (p *pane) lines(width, height int) []string {
	widths := make([]int, len(p.right))
	for _, row := range p.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	text := []string{pad(p.title, width, false)}
	if len(p.rows) == 0 {
		text = append(text, pad("  -", width, false))
	}
	from := max(0, p.mark-max(1, height-2)) // so that the marked one is on the screen
	for n, row := range p.rows[from:] {
		n += from
		if len(text) == height-1 && len(p.rows)-n > 1 {
			text = append(text, pad(fmt.Sprintf("  … %d more", len(p.rows)-n), width, false))
			break
		}
		line := " "
		if n+1 == p.mark {
			line = ">"
		}
		for i, cell := range row {
			line += " " + pad(cell, widths[i], p.right[i])
		}
		text = append(text, pad(line, width, false))
	}
	return text[:min(len(text), max(height, 0))]
}

// pad makes a text as wide as it is to be.
func pad(text string, width int, right bool) string {
	text = ansi.Truncate(text, width, "…")
	fill := strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
	if right {
		return fill + text
	}
	return text + fill
}

// beside draws two panes side by side, or below each other where there is not room for that.
func (s *screen) beside(a, b *pane, height int) {
	half := (s.width - 2) / 2
	left, right := a.lines(half, height), b.lines(half, height)
	for i := range max(len(left), len(right)) {
		line := strings.Repeat(" ", half)
		if i < len(left) {
			line = left[i]
		}
		if i < len(right) {
			line += "  " + right[i]
		}
		if line = strings.TrimRight(line, " "); i == 0 {
			s.title(line)
		} else {
			s.line(line)
		}
	}
}

// drawTop draws what happens now. A row that has none of the filter's text is left out.
func drawTop(s *screen, t, before *admin.Top, how shows) string {
	s.drawHead(t, before)
	held, log := heldPane(t, how), logPane(t, how)
	panes := [4]*pane{
		groupPane("PROVIDERS", t.Providers, how), groupPane("SENDING IPS", t.SendingIPs, how), groupPane("TENANTS", t.Tenants, how), refusalPane(t, how),
	}
	two := func(a, b *pane) int { return 1 + max(1, len(a.rows), len(b.rows)) }
	first, second, last := two(panes[0], panes[1]), two(panes[2], panes[3]), two(log, log)
	if s.height > 0 { // what is held gets what the others leave, and a third at least
		part := max(3, s.room()/4)
		first, second, last = min(first, part), min(second, part), min(last, max(2, s.room()/6))
	}
	s.whole(held, max(2, s.room()-first-second-last))
	s.beside(panes[0], panes[1], first)
	s.beside(panes[2], panes[3], second)
	s.whole(log, last)
	if s.height > 0 && len(s.lines) > s.height {
		s.lines = s.lines[:s.height]
	}
	return strings.Join(s.lines, "\n")
}

// whole draws a pane over the whole width.
func (s *screen) whole(p *pane, height int) {
	for i, line := range p.lines(s.width, height) {
		if line = strings.TrimRight(line, " "); i == 0 {
			s.title(line)
		} else {
			s.line(line)
		}
	}
}

func (s *screen) drawHead(t, before *admin.Top) {
	normal := "normal"
	if n := len(t.Status.Problems); n > 0 {
		normal = "NOT normal: " + printable(t.Status.Problems[0].What)
		if n > 1 {
			normal = fmt.Sprintf("%s; and %s", normal, count(n-1, "other thing"))
		}
	}
	s.title(t.At.Local().Format("15:04:05") + "  " + normal)
	s.line(fmt.Sprintf("sessions %d of at most %d, held %d, for a minute or longer %d; %s", t.Sessions.Running, t.Sessions.Most, t.Sessions.Held, t.Status.Held.Minute,
		flowText(t, before)))
	ips := t.Status.IPs
	s.line("sending IPs " + counts(ips.Configured, "", ips.Absent, "absent", ips.Standby, "standing by", ips.CutOff, "cut off", ips.Suspended, "suspended", ips.Probing, "probing", ips.Slowed, "slowed", ips.Stopped, "stopped",
		ips.Warming, "warming") + "; senders " + counts(-1, "all as usual", t.Status.Senders.Slowed, "slowed", t.Status.Senders.Diverted, "diverted", t.Status.Senders.Stopped,
		"stopped", t.Status.Senders.Blocked, "blocked"))
}

// flowText is how much mail there is, between two looks, and what becomes of recipients since the first.
func flowText(t, before *admin.Top) string {
	text := "mail -/s"
	if before != nil && before.Flow.Since.Equal(t.Flow.Since) && t.At.After(before.At) {
		text = fmt.Sprintf("mail %.1f/s", float64(t.Flow.Mails-before.Flow.Mails)/t.At.Sub(before.At).Seconds())
	}
	all := t.Flow.Delivered + t.Flow.Deferred + t.Flow.Refused
	if all == 0 {
		return text
	}
	part := func(n uint64) string { return percent(float64(n) / float64(all)) }
	return fmt.Sprintf("%s, delivered %s, deferred %s, refused %s", text, part(t.Flow.Delivered), part(t.Flow.Deferred), part(t.Flow.Refused))
}

// keep reports whether a row has the text that is looked for.
func keep(row []string, filter string) bool {
	return filter == "" || strings.Contains(strings.ToLower(strings.Join(row, " ")), strings.ToLower(filter))
}

// heldSessions are those that are held and have the filter's text, in order.
func heldSessions(t *admin.Top, filter string, by topOrder) (all []*admin.Session) {
	for i := range t.Sessions.Sessions {
		s := &t.Sessions.Sessions[i]
		if s.Held && keep(heldRow(s), filter) {
			all = append(all, s)
		}
	}
	if by == byName {
		slices.SortStableFunc(all, func(a, b *admin.Session) int {
			return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Provider, b.Provider))
		})
	}
	return all
}

func heldRow(s *admin.Session) []string {
	return []string{span(lasts(s)), waiting(s), cell(s.Tenant, 12), cell(s.Provider, 12), shownIP(s), s.MX.Addr().String(), s.Session}
}

func heldPane(t *admin.Top, how shows) *pane {
	p := &pane{title: "HELD", right: []bool{true, false, false, false, false, false, false}}
	for i, s := range heldSessions(t, how.filter, how.order) {
		p.rows = append(p.rows, heldRow(s))
		if s.Session == how.chosen {
			p.mark = i + 1
		}
	}
	return p
}

func groupPane(title string, groups []admin.TopGroup, how shows) *pane {
	p := &pane{title: title, right: []bool{false, true, true, true}}
	groups = slices.Clone(groups)
	switch how.order {
	case byCount:
		slices.SortStableFunc(groups, func(a, b admin.TopGroup) int { return cmp.Compare(b.Sessions, a.Sessions) })
	case byName:
		slices.SortStableFunc(groups, func(a, b admin.TopGroup) int { return cmp.Compare(a.Name, b.Name) })
	default: // as they come
	}
	for i := range groups {
		g := &groups[i]
		held, longest := "", ""
		if g.Held > 0 {
			held, longest = fmt.Sprintf("%d held", g.Held), span(time.Duration(g.Longest*float64(time.Second)))
		}
		if row := []string{cell(g.Name, 16), fmt.Sprint(g.Sessions), held, longest}; keep(row, how.filter) {
			p.rows = append(p.rows, row)
		}
	}
	return p
}

func refusalPane(t *admin.Top, how shows) *pane {
	p := &pane{title: "REFUSALS since " + t.Flow.Since.Local().Format("15:04:05"), right: []bool{true, false, false, false}}
	all := slices.Clone(t.Refusals)
	switch how.order {
	case byCount:
		slices.SortStableFunc(all, func(a, b admin.TopRefusal) int { return cmp.Compare(b.Count, a.Count) })
	case byName:
		slices.SortStableFunc(all, func(a, b admin.TopRefusal) int {
			return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Class, b.Class))
		})
	default: // the last first
	}
	for _, r := range all {
		if row := []string{fmt.Sprint(r.Count), cell(r.Provider, 10), fmt.Sprint(r.Code), printable(r.Class)}; keep(row, how.filter) {
			p.rows = append(p.rows, row)
		}
	}
	return p
}

func logPane(t *admin.Top, how shows) *pane {
	p := &pane{title: "LOG since " + t.Flow.Since.Local().Format("15:04:05"), right: []bool{false, false}}
	for i := range t.News {
		if row := []string{t.News[i].At.Local().Format("15:04:05"), newsLine(&t.News[i])}; keep(row, how.filter) {
			p.rows = append(p.rows, row)
		}
	}
	return p
}

// newsLine says news in a line.
func newsLine(n *admin.TopNews) string {
	text := n.Type
	if n.SendingIP.IsValid() {
		text += " " + n.SendingIP.String()
	}
	for _, part := range [...]struct{ before, text string }{
		{" at ", n.Provider}, {" at ", n.List}, {" ", n.Tenant}, {" ", n.Account}, {": ", n.What}, {", was ", n.Was}, {", by ", n.By}, {": ", n.Why},
	} {
		if part.text != "" {
			text += part.before + part.text
		}
	}
	return printable(text)
}

// cell is a name in a table, so wide and no wider: what stands behind it is to be seen, too.
func cell(name string, width int) string { return ansi.Truncate(shownName(name), width, "…") }

func printable(text string) string {
	const most = 160
	return event.Printable(text, most)
}
