package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A finger is where a page ends: the last line of it. Lines stand in order of time, then as they came.
type finger struct{ at, seq int64 }

func (f finger) next() history.Next { return history.Next(fmt.Sprintf("%x.%x", f.at, f.seq)) }

// before reports whether a line stands behind this one on a page: it is older.
func (f finger) before(o finger) bool { return f.at < o.at || f.at == o.at && f.seq < o.seq }

var errNext = errors.New("this page has no such next one")

func fingerOf(next history.Next) (f finger, err error) {
	if next == "" {
		return finger{1 << 62, 0}, nil
	}
	if n, err := fmt.Sscanf(string(next), "%x.%x", &f.at, &f.seq); err != nil || n != 2 {
		return finger{}, fmt.Errorf("%w: %.40q", errNext, string(next))
	}
	return f, nil
}

func limitOf(page history.Page) int {
	if page.Limit <= 0 || page.Limit > history.MaxPage {
		return history.MaxPage
	}
	return page.Limit
}

// A condition is what rows must have.
type condition struct {
	where []string
	args  []any
}

// and adds a text in which each ? stands for the next of the arguments.
func (c *condition) and(text string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		text = strings.Replace(text, "?", fmt.Sprintf("$%d", len(c.args)), 1)
	}
	c.where = append(c.where, text)
}

// is adds that a column has a text, if there is one.
func (c *condition) is(column, text string) {
	if text != "" {
		c.and(column+" = ?", name(text))
	}
}

func (c *condition) String() string {
	if len(c.where) == 0 {
		return "true"
	}
	return strings.Join(c.where, " AND ")
}

func (c *condition) within(from, to time.Time) {
	if !from.IsZero() {
		c.and("at >= ?", from.UnixMilli())
	}
	if !to.IsZero() {
		c.and("at < ?", ceilMilli(to))
	}
}

// ceilMilli is the first millisecond that is not before a time.
func ceilMilli(at time.Time) int64 { return at.Add(time.Millisecond - 1).UnixMilli() }

// asked is what a filter wants of the rows of attempts; ok is false where there can be none.
func asked(of *history.Filter) (c *condition, ok bool) {
	c = new(condition)
	terms := index.Wanted(of)
	if mail, is := index.MailNamed(of.Mail); of.Mail != "" {
		if !is {
			return nil, false
		}
		c.and("mail = ?", mail)
		rest := *of
		rest.Mail = ""
		terms = append(index.Wanted(&rest), index.OfMail(mail))
	}
	if of.Class != "" {
		terms = append(terms, termOfClass(of.Class))
	}
	if of.Shape != "" {
		terms = append(terms, termOfShape(of.Shape))
	}
	if len(terms) > 0 {
		c.and("terms @> ?", terms)
	}
	c.within(of.From, of.To)
	c.common(of)
	if len(of.Outcomes) > 0 {
		c.and("outcome = ANY(?)", of.Outcomes)
	}
	return c, true
}

// common is what a filter wants of whoever a line is of.
func (c *condition) common(of *history.Filter) {
	c.is("tenant", of.Tenant)
	c.is("provider", of.Provider)
	if of.SendingIP.IsValid() {
		c.is("ip", of.SendingIP.String())
	}
	if of.Gateway != "" {
		c.and("run IN (SELECT id FROM run WHERE gateway = ?)", name(of.Gateway))
	}
}

// A found is an attempt with its line.
type found struct {
	history.Attempt
	entry   *event.Entry
	at      finger
	mail    int64
	trouble bool
}

func (f *found) isSure() bool { return f.mail&index.ByID != 0 }

const columns = "at, seq, level, mail, rescued, raw"

func scanFound(scan func(...any) error) (*found, error) {
	var f found
	var l level
	var rescued bool
	var raw []byte
	if err := scan(&f.at.at, &f.at.seq, &l, &f.mail, &rescued, &raw); err != nil {
		return nil, err
	}
	e, err := event.ParseEntry(raw)
	if err != nil {
		return nil, err
	}
	f.entry, f.Attempt, f.trouble = e, history.AttemptOf(e), l == trouble
	f.Rescued, f.Mail = rescued, index.MailName(f.mail)
	return &f, nil
}

// chunk is how many lines are looked for at once.
const chunk = 128

// walk calls a function with attempts, the newest first, from behind a place on, until it says that it is enough.
func (s *Store) walk(ctx context.Context, of *history.Filter, behind finger, take func(*found) bool) error {
	if _, ok := asked(of); !ok {
		return nil
	}
	levels := []level{trouble, detail}
	if len(of.Outcomes) > 0 && !index.MeetsOutcome(of.Outcomes, "delivered") || of.Class != "" || of.Shape != "" {
		levels = levels[:1]
	}
	days, err := daysWith(ctx, s.read, of.From, of.To, levels...)
	if err != nil {
		return err
	}
	for _, d := range days {
		if d.begin().UnixMilli() > behind.at {
			continue
		}
		more, err := s.walkDay(ctx, of, d, levels, behind, take)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// walkDay does it in a day, and reports whether there may be more.
func (s *Store) walkDay(ctx context.Context, of *history.Filter, d day, levels []level, behind finger, take func(*found) bool) (bool, error) {
	for {
		c, _ := asked(of)
		c.and("day = ? AND level = ANY(?) AND kind = 1 AND (at, seq) < (?, ?)", d.begin(), levels, behind.at, behind.seq)
		var some []*found
		err := each(ctx, s.read, fmt.Sprintf("SELECT %s FROM line WHERE %s ORDER BY at DESC, seq DESC LIMIT %d", columns, c, chunk), func(scan func(...any) error) error {
			f, err := scanFound(scan)
			some = append(some, f)
			return err
		}, c.args...)
		if err != nil {
			return false, err
		}
		for _, f := range some {
			if index.Meets(of, &f.Attempt, f.entry) && !take(f) {
				return false, nil
			}
		}
		if len(some) < chunk {
			return true, nil
		}
		behind = some[len(some)-1].at
	}
}
