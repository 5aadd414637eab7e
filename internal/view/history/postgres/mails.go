package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/index"
)

// A letter is a mail while its attempts are gathered.
type letter struct {
	by    *found // by which it was found
	all   []*found
	tries int
}

// Mails gives mails; see [history.Store].
func (s *Store) Mails(ctx context.Context, of history.Filter, page history.Page) (all []history.Mail, next history.Next, err error) {
	behind, err := fingerOf(page.After)
	if err != nil {
		return nil, "", err
	}
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	limit, now := limitOf(page), time.Now()
	known := map[int64]bool{}
	for {
		some, err := s.letters(ctx, &of, behind, limit+1-len(all), known)
		if err != nil || len(some) == 0 {
			return all, "", s.told(err)
		}
		for _, l := range some {
			if l.isNewest(&of) {
				if len(all) == limit {
					return all, behind.next(), nil
				}
				all = append(all, l.mail(&of, now))
			} // else it stood on a page before, by a newer attempt
			behind = l.by.at
		}
	}
}

// letters gives the mails of the next attempts, each once, with what belongs to them: none that is known, and what it gives is known then.
func (s *Store) letters(ctx context.Context, of *history.Filter, behind finger, most int, known map[int64]bool) (all []*letter, err error) {
	err = s.walk(ctx, of, behind, func(f *found) bool {
		if !known[f.mail] {
			known[f.mail] = true
			all = append(all, &letter{by: f})
		}
		return len(all) < most
	})
	for _, l := range all {
		if err != nil {
			return nil, err
		}
		err = s.gather(ctx, l)
	}
	return all, err
}

// around is how long before and behind an attempt others of its mail are looked for.
const around = history.Keeps + aDay

// gather finds the other attempts of a mail.
func (s *Store) gather(ctx context.Context, l *letter) error {
	if !l.by.isSure() && !l.by.trouble { // nothing waited for it, nor behind it
		l.all, l.tries = []*found{l.by}, 1
		return nil
	}
	const most = 2 * history.MaxAttempts
	from, to := dayOf(l.by.At.Add(-around)), dayOf(l.by.At.Add(around))
	const where = " FROM line WHERE level IN (1, 2) AND kind = 1 AND day BETWEEN $1 AND $2 AND terms @> $3 AND mail = $4"
	args := []any{from.begin(), to.begin(), []int64{index.OfMail(l.by.mail)}, l.by.mail}
	err := each(ctx, s.read, fmt.Sprintf("SELECT %s%s ORDER BY at DESC, seq DESC LIMIT %d", columns, where, most), func(scan func(...any) error) error {
		f, err := scanFound(scan)
		l.all = append(l.all, f)
		return err
	}, args...)
	l.tries = len(l.all)
	if err == nil && l.tries == most {
		err = s.read.QueryRow(ctx, "SELECT count(*)"+where, args...).Scan(&l.tries)
	}
	return err
}

// isNewest reports whether the attempt by which it was found is its newest that a filter asks for.
func (l *letter) isNewest(of *history.Filter) bool {
	for _, f := range l.all {
		if l.by.at.before(f.at) && index.Meets(of, &f.Attempt, f.entry) {
			return false
		}
	}
	return true
}

// mail makes it what is given. Of one message to very many the attempts asked for are given, and not any.
func (l *letter) mail(of *history.Filter, now time.Time) history.Mail {
	attempts := make([]history.Attempt, 0, len(l.all))
	for _, f := range l.all {
		if l.tries <= history.MaxAttempts || index.Meets(of, &f.Attempt, f.entry) {
			attempts = append(attempts, f.Attempt)
		}
	}
	if len(attempts) == 0 {
		attempts = append(attempts, l.by.Attempt)
	}
	unnamed := func(a history.Attempt) bool { return a.MessageID == "" && a.QueueID == "" } // its sender and its recipients have led to it
	probably := !l.by.isSure() || slices.ContainsFunc(attempts, unnamed)
	m := history.MailOf(index.MailName(l.by.mail), probably && l.tries > 1, attempts, now)
	m.Tries = max(l.tries, len(attempts))
	return m
}
