package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// anHour is how long nobody is told the same of one subject again.
const anHour = time.Hour

// tooOld is the age from which on what has happened is told in the digest alone: somebody imports old records, or history was away.
const tooOld = time.Hour

// A happening is what a line, or a look at history, says of a subject.
type happening struct {
	key    string
	state  string        // of a condition; "": there is none, or no more
	moment bool          // nothing ends it
	every  time.Duration // how long nobody is told again
	wait   time.Duration // for how long the condition must stand before it is told
	over   int           // how often within a day it must happen more than
	event  Event
}

// A subject is what is remembered of what people were told.
type subject struct {
	state string               // of the condition now
	told  string               // the state that people know; "": none
	at    time.Time            // of what was heard last
	since time.Time            // when the condition began
	times map[string]time.Time // when people were told of a state last
	held  int                  // that nobody was told of since
	due   time.Time            // when what was held back is told; the zero time: nothing waits
	last  Event                // what would be told
}

// happened applies the rule: of a subject people are told at most once in an hour of the same, what happens meanwhile is counted, and stands in the
// next, which comes at the end of the hour at the latest. A state that is worse is not the same. The end of what was told is told at once.
func (b *batch) happened(h happening) error {
	s, err := b.subject(h.key)
	if err != nil || h.event.At.Before(s.at) { // somebody imports what is older than what is known
		return err
	}
	if h.every == 0 {
		h.every = anHour
	}
	if h.over > 0 {
		n, err := b.counted(h.key, h.event.At)
		if err != nil || n <= h.over {
			return err
		}
		h.event.Data.Numbers = append(h.event.Data.Numbers, Number{Name: "times_in_24h", Value: float64(n), Threshold: float64(h.over)})
	}
	s.at = h.event.At
	if h.moment {
		err = b.moment(s, h)
	} else {
		err = b.condition(s, h)
	}
	if err != nil {
		return err
	}
	return b.keep(h.key, s)
}

// counted counts how often something has happened within the last day.
func (b *batch) counted(key string, at time.Time) (n int, err error) {
	if _, err := b.tx.ExecContext(b.ctx, "INSERT INTO notify_counts (key, at) VALUES (?, ?)", key, at.UnixMilli()); err != nil {
		return 0, err
	}
	err = b.tx.QueryRowContext(b.ctx, "SELECT count(*) FROM notify_counts WHERE key = ? AND at > ?", key, at.Add(-24*time.Hour).UnixMilli()).Scan(&n)
	return n, err
}

func (b *batch) moment(s *subject, h happening) error {
	if b.now.Sub(h.event.At) > tooOld {
		return nil
	}
	next := s.times[""].Add(h.every)
	if b.now.Before(next) {
		if s.last.Data.Unkept && sameOrder(&s.last, &h.event) { // the line that says that it is saved now
			return nil
		}
		s.held++
		if s.last = h.event; h.every == anHour {
			s.due = next
		}
		return nil
	}
	return b.tell(s, "", h.event)
}

func sameOrder(a, b *Event) bool {
	return a.Data.Action == b.Data.Action && a.Data.Condition == b.Data.Condition && a.Data.By == b.Data.By && !b.Data.Unkept
}

func (b *batch) condition(s *subject, h happening) error {
	switch h.state {
	case s.state:
		if h.state != "" { // what is told later says how it stands then
			s.last = h.event
			s.last.Data.Since = s.since
		}
		return nil
	case "":
		return b.ended(s, h)
	}
	if s.state == "" {
		s.since = h.event.At
	}
	s.state, s.last = h.state, h.event
	s.last.Data.Since = s.since
	next := s.times[h.state].Add(h.every)
	switch {
	case b.now.Sub(h.event.At) > tooOld:
		s.due = time.Time{}
		return nil
	case h.wait > 0 && next.Before(h.event.At.Add(h.wait)):
		s.due = h.event.At.Add(h.wait)
		return nil
	case b.now.Before(next):
		s.held++
		s.due = next
		return nil
	}
	return b.tell(s, h.state, s.last)
}

func (b *batch) ended(s *subject, h happening) error {
	was := s.told
	h.event.Data.Since = s.since
	if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM notify_counts WHERE key = ?", h.key); err != nil {
		return err
	}
	s.state, s.told, s.due, s.since, s.last = "", "", time.Time{}, time.Time{}, Event{}
	if was == "" {
		return nil
	}
	h.event.Data.Was = was
	return b.postFew(h.event)
}

// tell tells people, and remembers that.
func (b *batch) tell(s *subject, state string, e Event) error {
	e.Data.More, s.held = s.held, 0
	s.told, s.due = state, time.Time{}
	s.times[state] = b.now
	s.last = e
	return b.postFew(e)
}

// mostOfAKind is how many events of one name people are told of in an hour: an attack, or a sending IP that all the world refuses, has thousands of
// subjects, and nobody reads so many messages.
const mostOfAKind = 30

// postFew posts an event unless there were so many of its name within the hour. Those are counted, and the last of them stands for all when an hour
// is over.
func (b *batch) postFew(e Event) error {
	k := key("kind", string(e.Type))
	var n int
	err := b.tx.QueryRowContext(b.ctx, "SELECT count(*) FROM notify_counts WHERE key = ? AND at > ?", k, b.now.Add(-anHour).UnixMilli()).Scan(&n)
	if err != nil {
		return err
	}
	if n < b.n.most {
		if _, err := b.tx.ExecContext(b.ctx, "INSERT INTO notify_counts (key, at) VALUES (?, ?)", k, b.now.UnixMilli()); err != nil {
			return err
		}
		return b.post(e)
	}
	s, err := b.subject(k)
	if err != nil {
		return err
	}
	if s.held++; s.due.IsZero() {
		s.due = b.now.Add(anHour)
	}
	s.at, s.last = b.now, e
	return b.keep(k, s)
}

// overdue tells what was held back and whose hour is over.
func (b *batch) overdue() error {
	rows, err := b.tx.QueryContext(b.ctx, "SELECT key FROM notify_subjects WHERE due > 0 AND due <= ? ORDER BY due", b.now.UnixMilli())
	if err != nil {
		return err
	}
	keys, err := texts(rows)
	if err != nil {
		return err
	}
	for _, k := range keys {
		s, err := b.subject(k)
		if err != nil {
			return err
		}
		if s.held > 0 {
			s.held-- // the one that is told
		}
		if strings.HasPrefix(k, key("kind", "")) {
			s.last.Data.More, s.held, s.due = s.last.Data.More+s.held, 0, time.Time{}
			err = b.post(s.last)
		} else {
			err = b.tell(s, s.state, s.last)
		}
		if err := errors.Join(err, b.keep(k, s)); err != nil {
			return err
		}
	}
	return nil
}

// A batch is what is done in one transaction.
type batch struct {
	ctx    context.Context
	tx     *sql.Tx
	now    time.Time
	posted bool            // what the keeper must finish
	wakes  []chan struct{} // of channels that have something to send
	n      *Notifier
}

// within does all of something or nothing.
func (n *Notifier) within(ctx context.Context, do func(*batch) error) error {
	b := &batch{ctx: ctx, now: time.Now(), n: n}
	err := n.file.Within(ctx, func(tx *sql.Tx) error { b.tx = tx; return do(b) })
	if err != nil {
		return err
	}
	if b.posted {
		n.wake(n.keeper)
	}
	for _, who := range b.wakes {
		n.wake(who)
	}
	return nil
}

func (b *batch) subject(key string) (*subject, error) {
	s := &subject{times: map[string]time.Time{}}
	var at, since, due int64
	var times, last string
	row := b.tx.QueryRowContext(b.ctx, "SELECT state, told, at, since, times, held, due, last FROM notify_subjects WHERE key = ?", key)
	err := row.Scan(&s.state, &s.told, &at, &since, &times, &s.held, &due, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(times), &s.times), json.Unmarshal([]byte(last), &s.last))
	}
	s.at, s.since, s.due = timeOf(at), timeOf(since), timeOf(due)
	return s, b.n.file.Misread(err)
}

func (b *batch) keep(key string, s *subject) error {
	for state, at := range s.times {
		if b.now.Sub(at) > longest {
			delete(s.times, state)
		}
	}
	times, err := json.Marshal(s.times)
	if err != nil {
		return err
	}
	last, err := json.Marshal(&s.last)
	if err != nil {
		return err
	}
	_, err = b.tx.ExecContext(b.ctx, `INSERT OR REPLACE INTO notify_subjects (key, state, told, at, since, times, held, due, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		key, s.state, s.told, millis(s.at), millis(s.since), string(times), s.held, millis(s.due), string(last))
	return err
}

// post puts an event where it waits for what stands around it.
func (b *batch) post(e Event) error {
	text, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	b.posted = true
	_, err = b.tx.ExecContext(b.ctx, "INSERT INTO notify_events (id, made, ready, event) VALUES (?, ?, 0, ?)", newID(), b.now.UnixMilli(), string(text))
	return err
}

// longest is for how long a subject is remembered about which nothing is heard.
const longest = 30 * 24 * time.Hour

// forget removes what nobody needs any more. A condition that holds is needed until it ends: its end is told.
func (b *batch) forget() error {
	old := b.now.Add(-longest).UnixMilli()
	for _, query := range [...]string{
		"DELETE FROM notify_subjects WHERE at < ? AND state = ''",
		"DELETE FROM notify_heard WHERE at < ?",
		"DELETE FROM notify_counts WHERE at < ?",
		"DELETE FROM notify_gateways WHERE heard < ?",
	} {
		if _, err := b.tx.ExecContext(b.ctx, query, old); err != nil {
			return err
		}
	}
	if _, err := b.tx.ExecContext(b.ctx, "DELETE FROM notify_digests WHERE day < ?", b.now.Add(-2*longest).Format(time.DateOnly)); err != nil {
		return err
	}
	return b.forgetMost()
}

// forgetMost keeps to what may be remembered. What does not hold any more goes first; then what one tenant has most of, since strangers choose the
// names of accounts: no sending IP, gateway or other tenant is forgotten for them.
func (b *batch) forgetMost() error {
	const query = `DELETE FROM notify_subjects WHERE key IN (
		SELECT key FROM (
			SELECT key, at, state, row_number() OVER (PARTITION BY coalesce(last ->> '$.data.tenant', '') ORDER BY at DESC) AS nth FROM notify_subjects
		) ORDER BY state = '', nth, at DESC LIMIT -1 OFFSET ?)`
	var all int
	if err := b.tx.QueryRowContext(b.ctx, "SELECT count(*) FROM notify_subjects").Scan(&all); err != nil || all <= mostSubjects {
		return err
	}
	_, err := b.tx.ExecContext(b.ctx, query, mostSubjects)
	return err
}

// mostSubjects bounds what is remembered.
const mostSubjects = 20_000

func texts(rows *sql.Rows) (list []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
