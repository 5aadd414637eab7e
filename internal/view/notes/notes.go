// Package notes keeps what people write to each other about what is shown: a note, and until when an alarm is acknowledged. It is of the
// view's own, in a file of its own: what kanmon does goes by none of it.
//
// Normal use: [Open] with a path; [Book.Write], [Book.Of], [Book.Acknowledged]; [Book.Close].
package notes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"kanmon/internal/event"
	"kanmon/internal/store"
)

// A Subject is what a note is about. What is empty of it is not said.
type Subject struct {
	Alarm     string // an id of docs/howto/monitor.md
	SendingIP string
	Provider  string
	Tenant    string
	Of        string // with Alarm: what else it is about, such as a public list
}

// key is the subject as the file has it: parts that cannot run into each other.
func (s Subject) key() string {
	key := fmt.Sprintf("%q %q %q %q", s.Alarm, s.SendingIP, s.Provider, s.Tenant)
	if s.Of != "" {
		key += fmt.Sprintf(" %q", s.Of)
	}
	return key
}

// Acknowledges gives the note by which an alarm is acknowledged: one on this alarm, or on what it is about.
func Acknowledges(acknowledged map[Subject]Note, alarm Subject) (n Note, is bool) {
	for _, about := range [...]Subject{
		alarm, {SendingIP: alarm.SendingIP, Provider: alarm.Provider}, {SendingIP: alarm.SendingIP}, {Provider: alarm.Provider}, {Tenant: alarm.Tenant},
	} {
		if n, is = acknowledged[about]; is && about != (Subject{}) {
			return n, true
		}
	}
	return Note{}, false
}

// A Note is one.
type Note struct {
	ID    int64
	About Subject
	At    time.Time
	By    string
	Text  string
	Until time.Time // acknowledged until then; zero: it is a note alone
}

// Holds says whether it acknowledges something at a time.
func (n *Note) Holds(at time.Time) bool { return n.Until.After(at) }

// Bounds of what is kept.
const (
	maxText  = 1000
	maxNotes = 10_000
	most     = 50                  // that are given of one subject
	LongAck  = 90 * 24 * time.Hour // the longest that an alarm can be acknowledged
)

var schema = store.Schema{Part: "notes", Steps: []string{`
CREATE TABLE notes_note (
  id INTEGER PRIMARY KEY,
  about TEXT NOT NULL,
  alarm TEXT NOT NULL, sending_ip TEXT NOT NULL, provider TEXT NOT NULL, tenant TEXT NOT NULL,
  at INTEGER NOT NULL, by TEXT NOT NULL, text TEXT NOT NULL, until INTEGER NOT NULL
);
CREATE INDEX notes_about ON notes_note (about, at);
CREATE INDEX notes_until ON notes_note (until);
`, `
ALTER TABLE notes_note ADD COLUMN of TEXT NOT NULL DEFAULT '';
`}}

// A Book is a file of notes. It is safe for concurrent use.
type Book struct{ file *store.File }

// Open opens a file, and makes it where there is none.
func Open(path string) (*Book, error) {
	f, err := store.Open(path, 5*time.Second, schema)
	if err != nil {
		return nil, err
	}
	return &Book{f}, nil
}

// Close closes it.
func (b *Book) Close() error { return b.file.Close() }

// Write adds a note.
func (b *Book) Write(ctx context.Context, n Note) error {
	n.Text = strings.TrimSpace(n.Text)
	switch {
	case n.Text == "":
		return errors.New("a note wants a text: somebody will ask why")
	case len(n.Text) > maxText || !utf8.ValidString(n.Text):
		return fmt.Errorf("a note has at most %d octets", maxText)
	case n.About == Subject{}:
		return errors.New("a note is about an alarm, a sending IP, a provider or a tenant")
	case !n.Until.IsZero() && !n.Until.After(n.At):
		return errors.New("an acknowledgement ends in the time to come")
	case n.Until.Sub(n.At) > LongAck:
		return fmt.Errorf("an acknowledgement lasts %.0f days at most: what is to be so for good belongs into the configuration", LongAck.Hours()/24)
	}
	until := int64(0)
	if !n.Until.IsZero() {
		until = n.Until.UnixMilli()
	}
	return b.file.Within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO notes_note (about, alarm, sending_ip, provider, tenant, of, at, by, text, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			n.About.key(), n.About.Alarm, n.About.SendingIP, n.About.Provider, n.About.Tenant, n.About.Of, n.At.UnixMilli(), n.By, event.Printable(n.Text, maxText), until)
		if err == nil {
			_, err = tx.ExecContext(ctx, "DELETE FROM notes_note WHERE id <= (SELECT max(id) FROM notes_note) - ?", maxNotes)
		}
		return err
	})
}

// End ends an acknowledgement at a time.
func (b *Book) End(ctx context.Context, id int64, at time.Time) error {
	return b.file.Within(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE notes_note SET until = ? WHERE id = ? AND until > ?", at.UnixMilli(), id, at.UnixMilli())
		return err
	})
}

// Of gives the notes on a subject, the newest first.
func (b *Book) Of(ctx context.Context, about Subject) ([]Note, error) {
	return b.read(ctx, "WHERE about = ? ORDER BY at DESC, id DESC LIMIT ?", about.key(), most)
}

// Acknowledged gives what is acknowledged at a time, of each subject what lasts longest.
func (b *Book) Acknowledged(ctx context.Context, at time.Time) (map[Subject]Note, error) {
	all, err := b.read(ctx, "WHERE until > ? ORDER BY until", at.UnixMilli())
	if err != nil {
		return nil, err
	}
	of := map[Subject]Note{}
	for _, n := range all {
		of[n.About] = n
	}
	return of, nil
}

func (b *Book) read(ctx context.Context, where string, args ...any) (all []Note, err error) {
	rows, err := b.file.QueryContext(ctx, "SELECT id, alarm, sending_ip, provider, tenant, of, at, by, text, until FROM notes_note "+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n Note
		var at, until int64
		if err := rows.Scan(&n.ID, &n.About.Alarm, &n.About.SendingIP, &n.About.Provider, &n.About.Tenant, &n.About.Of, &at, &n.By, &n.Text, &until); err != nil {
			return nil, b.file.Misread(err)
		}
		n.At = time.UnixMilli(at)
		if until != 0 {
			n.Until = time.UnixMilli(until)
		}
		all = append(all, n)
	}
	return all, rows.Err()
}
