package days

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A hit is a line that has been found.
type hit struct {
	id    id
	place place
	flags int64
	mail  int64
}

// A found is an attempt with its line.
type found struct {
	history.Attempt
	entry *event.Entry
	mail  int64 // its number
	sure  bool  // an id says so
	flags int64
}

// A finger is where a page ends: the last line of it.
type finger struct {
	day day
	id  id
}

func (f finger) next() history.Next { return history.Next(fmt.Sprintf("%x.%x", int32(f.day), f.id)) }

var errNext = errors.New("this page has no such next one")

func fingerOf(next history.Next) (f finger, err error) {
	if next == "" {
		return finger{}, nil
	}
	var d int32
	if n, err := fmt.Sscanf(string(next), "%x.%x", &d, &f.id); err != nil || n != 2 {
		return finger{}, fmt.Errorf("%w: %.40q", errNext, string(next))
	}
	f.day = day(d)
	return f, nil
}

func limitOf(page history.Page) int {
	if page.Limit <= 0 || page.Limit > history.MaxPage {
		return history.MaxPage
	}
	return page.Limit
}

// walk calls a function with attempts, the newest first, from behind a place on, until it says that it is enough.
func (s *shelf) walk(ctx context.Context, of *history.Filter, behind finger, take func(finger, *found) bool) error {
	in, err := s.between(of.From, of.To)
	if err != nil {
		return err
	}
	enough := false
	for _, l := range in {
		if enough || behind.day != 0 && l.day > behind.day || l.level == counts {
			continue
		}
		before := id(-1)
		if l.day == behind.day {
			before = behind.id
		}
		err := s.with(l.day, func(v *volume) error {
			return v.walk(ctx, of, before, func(f *found, at id) bool {
				enough = !take(finger{l.day, at}, f)
				return !enough
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk is how many lines are looked for at once.
const chunk = 128

// walk does it in a day; before -1: from its end.
func (v *volume) walk(ctx context.Context, of *history.Filter, before id, take func(*found, id) bool) error {
	if v.level == counts {
		return nil
	}
	plan, err := v.plan(ctx, of)
	if err != nil || plan == nil {
		return err
	}
	first, last := rangeOf(v.day, of)
	if before >= 0 {
		last = min(last, before)
	}
	reads := v.reader()
	for {
		hits, err := plan.next(ctx, first, last, chunk)
		if err != nil || len(hits) == 0 {
			return err
		}
		for _, h := range hits {
			f, err := reads.attempt(ctx, h)
			if errors.Is(err, errPlace) {
				continue
			}
			if err != nil {
				return err
			}
			if index.Meets(of, &f.Attempt, f.entry) && !take(f, h.id) {
				return nil
			}
		}
		last = hits[len(hits)-1].id
	}
}

// A plan is how lines are found in a day.
type plan struct {
	v     *volume
	query string // of hits below ? and from ? on, at most ?
	args  []any
	hours []int64 // nil: all at once; else only these, the newest first
}

const hitColumns = "l.id, l.place, l.flags, coalesce(l.mail, 0)"

// plan finds the way that looks at least: a term; refusals, of which there are few; or the hours that have any such attempt. Nil: there is none in the day.
func (v *volume) plan(ctx context.Context, of *history.Filter) (*plan, error) {
	c, err := v.common(ctx, of)
	if err != nil || c.none {
		return nil, err
	}
	terms := index.Wanted(of)
	if mail, ok := index.MailNamed(of.Mail); of.Mail != "" && !ok {
		return nil, nil //nolint:nilnil // there is none
	} else if ok && mail&index.ByID == 0 {
		return v.planMail(mail), nil
	}
	if len(terms) > 0 {
		for _, t := range terms[1:] {
			c.and("EXISTS (SELECT 1 FROM day_term o WHERE o.term = ? AND o.id = t.id)", t)
		}
		return &plan{v: v, args: append([]any{terms[0]}, c.args...), query: "SELECT " + hitColumns +
			" FROM day_term t CROSS JOIN day_line l ON l.id = t.id WHERE t.term = ? AND l.kind = 1 AND " + c.String() +
			" AND t.id < ? AND t.id >= ? ORDER BY t.id DESC LIMIT ?"}, nil
	}
	if of.Class != "" || of.Shape != "" {
		return v.planRefused(ctx, of, c)
	}
	p, err := v.planTime(ctx, of, c)
	if err != nil || p == nil {
		return nil, err
	}
	if len(of.Outcomes) > 0 && !index.MeetsOutcome(of.Outcomes, "delivered") {
		p.hours = nil
		p.query = "SELECT " + hitColumns + " FROM day_trouble t CROSS JOIN day_line l ON l.id = t.id WHERE t.n = 0 AND t.kind = 1 AND " +
			troubled(c).String() + " AND t.id < ? AND t.id >= ? ORDER BY t.id DESC LIMIT ?"
	}
	return p, nil
}

// planTime finds attempts by their time, in the hours that have any. Those of a tenant at a provider have an index: of a small tenant there are few in any hour.
func (v *volume) planTime(ctx context.Context, of *history.Filter, c *condition) (*plan, error) {
	p := &plan{v: v, args: c.args}
	where := c.String()
	if of.Tenant == "" || of.Provider == "" {
		hours, err := v.hours(ctx, of)
		if err != nil || len(hours) == 0 {
			return nil, err
		}
		p.hours = hours
		where = strings.ReplaceAll(where, "l.tenant", "+l.tenant") // which would find them in no order of time
	}
	p.query = "SELECT " + hitColumns + " FROM day_line l WHERE l.kind = 1 AND " + where + " AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?"
	return p, nil
}

// planMail finds the attempts of a mail that no id names: the first is known by its place.
func (v *volume) planMail(mail int64) *plan {
	d, first := firstOfMail(mail)
	if d != v.day {
		first = -1
	}
	return &plan{v: v, args: []any{index.OfMail(mail), first}, query: "SELECT " + hitColumns + ` FROM day_line l
		WHERE (l.id IN (SELECT id FROM day_term WHERE term = ?) OR l.id = ?) AND l.kind = 1 AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?`}
}

func (v *volume) planRefused(ctx context.Context, of *history.Filter, c *condition) (*plan, error) {
	t := troubled(c)
	if of.Shape != "" {
		if err := t.named(ctx, v, "t.shape", of.Shape); err != nil {
			return nil, err
		}
	}
	if of.Class != "" {
		column := "t.class"
		if of.Shape != "" {
			column = "+t.class" // found by its shape, which says more
		}
		if err := t.named(ctx, v, column, of.Class); err != nil {
			return nil, err
		}
	}
	if t.none {
		return nil, nil //nolint:nilnil // there is none
	}
	return &plan{v: v, args: t.args, query: "SELECT DISTINCT " + hitColumns + " FROM day_trouble t CROSS JOIN day_line l ON l.id = t.id WHERE t.kind = 1 AND " +
		t.String() + " AND t.id < ? AND t.id >= ? ORDER BY t.id DESC LIMIT ?"}, nil
}

// common is what a filter wants of the columns of a line.
func (v *volume) common(ctx context.Context, of *history.Filter) (*condition, error) {
	c := new(condition)
	for _, is := range [...]struct{ column, text string }{{"l.tenant", of.Tenant}, {"l.provider", of.Provider}} {
		if is.text == "" {
			continue
		}
		if err := c.named(ctx, v, is.column, is.text); err != nil {
			return nil, err
		}
	}
	if of.SendingIP.IsValid() {
		if err := c.named(ctx, v, "l.ip", of.SendingIP.String()); err != nil {
			return nil, err
		}
	}
	if len(of.Outcomes) > 0 {
		if err := c.named(ctx, v, "l.outcome", of.Outcomes...); err != nil {
			return nil, err
		}
	}
	if of.Gateway != "" {
		c.and("+l.run IN (SELECT id FROM day_run WHERE gateway = ?)", of.Gateway) // by its number a line stands in no order of time
	}
	return c, nil
}

// troubled says the same of the refusals, which have these columns, too.
func troubled(c *condition) *condition {
	t := &condition{args: c.args, none: c.none}
	for _, where := range c.where {
		if rest, is := strings.CutPrefix(where, "l."); is {
			where = "t." + rest
		}
		t.where = append(t.where, where)
	}
	return t
}

// hours gives those of a day in which there is an attempt as a filter wants it, the newest first.
func (v *volume) hours(ctx context.Context, of *history.Filter) (all []int64, err error) {
	c := new(condition)
	c.and("unit = ?", int64(index.UnitHour))
	name := func(column string, texts ...string) {
		if err == nil && texts[0] != "" {
			err = c.named(ctx, v, column, texts...)
		}
	}
	switch {
	case of.Tenant != "":
	case of.Provider == "" && !of.SendingIP.IsValid():
		c.and("tenant = 0 AND provider = 0")
	default:
		c.and("tenant = 0 AND provider > 0")
	}
	name("tenant", of.Tenant)
	name("provider", of.Provider)
	name("gateway", of.Gateway)
	if of.SendingIP.IsValid() {
		name("ip", of.SendingIP.String())
	}
	if len(of.Outcomes) > 0 {
		name("outcome", of.Outcomes...)
	}
	if err != nil || c.none {
		return nil, err
	}
	err = each(ctx, v.f, "SELECT DISTINCT at FROM day_count WHERE "+c.String()+" ORDER BY at DESC", func(scan func(...any) error) error {
		var at int64
		err := scan(&at)
		all = append(all, at)
		return err
	}, c.args...)
	return all, err
}

const perHour = 3_600_000

// next gives hits: first ≤ id < last, the newest first.
func (p *plan) next(ctx context.Context, first, last id, most int) (hits []hit, err error) {
	if p.hours == nil {
		return p.some(ctx, first, last, most)
	}
	for len(p.hours) > 0 && len(hits) < most {
		from, to := max(first, idAt(p.hours[0]*perHour)), min(last, idAt((p.hours[0]+1)*perHour))
		if p.hours[0] == 23 {
			to = last // what overflows a day's last millisecond
		}
		more, err := p.some(ctx, from, to, most-len(hits))
		if err != nil {
			return nil, err
		}
		if hits = append(hits, more...); len(hits) < most {
			p.hours = p.hours[1:]
		}
	}
	return hits, nil
}

func (p *plan) some(ctx context.Context, first, last id, most int) (hits []hit, err error) {
	if first >= last {
		return nil, nil
	}
	err = each(ctx, p.v.f, p.query, func(scan func(...any) error) error {
		var h hit
		err := scan(&h.id, &h.place, &h.flags, &h.mail)
		hits = append(hits, h)
		return err
	}, append(append([]any{}, p.args...), last, first, most)...)
	return hits, err
}

// A reader reads lines of a day. Those that come one behind the other are often of one block.
type reader struct {
	v      *volume
	blocks map[int64][][]byte
}

func (v *volume) reader() *reader { return &reader{v, map[int64][][]byte{}} }

func (r *reader) entry(ctx context.Context, at place) (*event.Entry, error) {
	number, nth := at/perBlock, int(at%perBlock)
	lines, ok := r.blocks[number]
	if !ok {
		var data []byte
		err := r.v.f.QueryRowContext(ctx, "SELECT data FROM day_block WHERE id = ?", number).Scan(&data)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if lines, err = unpack(data); err != nil {
			lines = nil // the others of the day can be read
		}
		const most = 64
		if len(r.blocks) >= most {
			clear(r.blocks)
		}
		r.blocks[number] = lines
	}
	if nth >= len(lines) {
		r.v.torn.Store(true)
		return nil, errPlace
	}
	return event.ParseEntry(lines[nth])
}

func (r *reader) attempt(ctx context.Context, h hit) (*found, error) {
	e, err := r.entry(ctx, h.place)
	if err != nil {
		return nil, err
	}
	f := &found{Attempt: history.AttemptOf(e), entry: e, mail: h.mail, sure: h.mail&index.ByID != 0, flags: h.flags}
	if f.mail == 0 {
		f.mail = mailOfFirst(r.v.day, h.id)
	}
	f.Mail = index.MailName(f.mail)
	f.Rescued = h.flags&isRescued != 0
	return f, nil
}
