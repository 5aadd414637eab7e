package days

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A letter is a mail while its attempts are gathered.
type letter struct {
	number int64
	sure   bool
	by     *found // by which it was found
	at     finger
	all    []posted
	tries  int
}

type posted struct {
	*found
	at finger
}

// Mails gives mails; see [history.Store].
func (s *Store) Mails(ctx context.Context, of history.Filter, page history.Page) (got []history.Mail, more history.Next, err error) {
	err = whole(func() (err error) {
		got, more, err = s.onceMails(ctx, of, page)
		return err
	})
	return got, more, err
}

func (s *Store) onceMails(ctx context.Context, of history.Filter, page history.Page) (all []history.Mail, next history.Next, err error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer done()
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	limit, now := limitOf(page), time.Now()
	known := map[int64]bool{}
	for {
		some, err := s.reading.letters(ctx, &of, behind, limit+1-len(all), known)
		if err != nil || len(some) == 0 {
			return all, "", err
		}
		for _, l := range some {
			if !l.newest(&of) { // it stood on a page before, by a newer attempt
				behind = l.at
				continue
			}
			if len(all) == limit {
				return all, behind.next(), nil
			}
			behind = l.at
			all = append(all, l.mail(&of, now))
		}
	}
}

// letters gives the mails of the next attempts, each once, with what belongs to them: none that is known, and what it gives is known then. A mail
// of many attempts is gathered for the first of them alone.
func (s *shelf) letters(ctx context.Context, of *history.Filter, behind finger, most int, known map[int64]bool) (all []*letter, err error) {
	err = s.walk(ctx, of, behind, func(at finger, f *found) bool {
		if !known[f.mail] {
			known[f.mail] = true
			all = append(all, &letter{number: f.mail, sure: f.sure, by: f, at: at})
		}
		return len(all) < most
	})
	if err != nil {
		return nil, err
	}
	return all, s.gather(ctx, all)
}

// around is how many days before and behind an attempt others of its mail are looked for.
const around = int(history.Keeps/aDay) + 1

// gather finds the other attempts of mails.
func (s *shelf) gather(ctx context.Context, all []*letter) error {
	wants := map[day][]*letter{}
	for _, l := range all {
		if !l.sure && l.by.flags&isTrouble == 0 { // nothing waited for it, nor behind it
			l.all, l.tries = []posted{{l.by, l.at}}, 1
			continue
		}
		from, to := l.at.day-day(around), l.at.day+day(around)
		if !l.sure {
			from, _ = firstOfMail(l.number)
			to = from + day(2*around)
		}
		for d := from; d <= to; d++ {
			wants[d] = append(wants[d], l)
		}
	}
	listed, err := s.list()
	if err != nil {
		return err
	}
	for _, d := range listed {
		if len(wants[d.day]) == 0 {
			continue
		}
		if err := s.with(d.day, func(v *volume) error { return v.gather(ctx, wants[d.day]) }); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) gather(ctx context.Context, letters []*letter) error {
	if v.level == counts {
		return nil
	}
	stmt, err := v.f.PrepareContext(ctx, "SELECT "+hitColumns+` FROM day_term t CROSS JOIN day_line l ON l.id = t.id WHERE t.term = ? ORDER BY t.id DESC LIMIT ?`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	first, err := v.f.PrepareContext(ctx, "SELECT "+hitColumns+" FROM day_line l WHERE l.id = ? LIMIT ?")
	if err != nil {
		return err
	}
	defer first.Close()
	reads := v.reader()
	for _, l := range letters {
		if err := v.gatherOne(ctx, stmt, reads, l, index.OfMail(l.number)); err != nil {
			return err
		}
		if d, at := firstOfMail(l.number); !l.sure && d == v.day {
			if err := v.gatherOne(ctx, first, reads, l, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *volume) gatherOne(ctx context.Context, stmt *sql.Stmt, reads *reader, l *letter, by int64) error {
	const most = 2 * history.MaxAttempts
	rows, err := stmt.QueryContext(ctx, by, most)
	if err != nil {
		return err
	}
	defer rows.Close()
	var hits []hit
	for rows.Next() {
		var h hit
		if err := rows.Scan(&h.id, &h.place, &h.flags, &h.mail); err != nil {
			return err
		}
		hits = append(hits, h)
	}
	if err := rows.Err(); err != nil {
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
		if f.mail == l.number {
			l.all = append(l.all, posted{f, finger{v.day, h.id}})
		}
	}
	l.tries += len(hits)
	if len(hits) == most {
		var all int
		if err := v.f.QueryRowContext(ctx, "SELECT count(*) FROM day_term WHERE term = ?", by).Scan(&all); err != nil {
			return err
		}
		l.tries += all - most
	}
	return nil
}

// newest reports whether the attempt by which it was found is its newest that a filter asks for.
func (l *letter) newest(of *history.Filter) bool {
	for _, p := range l.all {
		if (p.at.day > l.at.day || p.at.day == l.at.day && p.at.id > l.at.id) && index.Meets(of, &p.Attempt, p.entry) {
			return false
		}
	}
	return true
}

// mail makes it what is given. Of one message to very many the attempts asked for are given, and not any.
func (l *letter) mail(of *history.Filter, now time.Time) history.Mail {
	attempts := make([]history.Attempt, 0, len(l.all))
	for _, p := range l.all {
		if l.tries <= history.MaxAttempts || index.Meets(of, &p.Attempt, p.entry) {
			attempts = append(attempts, p.Attempt)
		}
	}
	if len(attempts) == 0 {
		attempts = append(attempts, l.by.Attempt)
	}
	unnamed := func(a history.Attempt) bool { return a.MessageID == "" && a.QueueID == "" } // its sender and its recipients have led to it
	probably := !l.sure || slices.ContainsFunc(attempts, unnamed)
	m := history.MailOf(index.MailName(l.number), probably && l.tries > 1, attempts, now)
	m.Tries = max(l.tries, len(attempts))
	return m
}
