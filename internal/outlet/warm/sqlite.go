package warm

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"kanmon/internal/store"
)

// A Table is a [Store] in the file of the standing.
type Table struct{ db *store.File }

// Times that the disk is given.
const (
	loadTime = 10 * time.Second
	saveTime = 5 * time.Second
)

// Part is the name of the table for the heir of the file ([store.File.Keep]), which is told []State.
const Part = "warm_up"

// NewTable gives the table of a file, which the standing's schema has made.
func NewTable(db *store.File) Table { return Table{db} }

// Load implements [Store]. A row that makes no sense is an error: an IP whose progress is forgotten would be taken for a warm one.
func (t Table) Load() ([]State, error) {
	all, err := t.load()
	return all, t.db.Misread(err)
}

func (t Table) load() (all []State, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	rows, err := t.db.QueryContext(ctx, `SELECT ip, start_day, step, done, times, begun_day, since_day, repeats, why, day, used_day, finding, classes
		FROM standing_warm_up`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func scan(rows *sql.Rows) (s State, err error) {
	var ip, classes string
	if err = rows.Scan(&ip, &s.Start, &s.Step, &s.Done, &s.Times, &s.Begun, &s.Since, &s.Repeats, &s.Why, &s.Day, &s.Used, &s.Finding, &classes); err != nil {
		return s, err
	}
	if s.IP, err = netip.ParseAddr(ip); err != nil {
		return s, fmt.Errorf("warm-up, row %q: %w", ip, err)
	}
	if err = json.Unmarshal([]byte(classes), &s.Classes); err != nil {
		return s, fmt.Errorf("warm-up, row %q: classes: %w", ip, err)
	}
	s.bound()
	return s, nil
}

// bound keeps what a file says from overflowing.
func (s *State) bound() {
	const most = 1 << 30
	s.Step, s.Times = min(max(s.Step, 0), most), min(max(s.Times, 0), most)
	for name, c := range s.Classes {
		c.Behind, c.Taken, c.Over = min(max(c.Behind, 0), s.Step), min(max(c.Taken, 0), most), min(max(c.Over, 0), most)
		c.Tried, c.PutOff = min(max(c.Tried, 0), most), min(max(c.PutOff, 0), most)
		c.Accepted = min(max(c.Accepted, 0), c.Tried)
		c.Against, c.PutBy = c.Against.bound(), c.PutBy.bound()
		s.Classes[name] = c
	}
}

// Save implements [Store].
func (t Table) Save(changed []State) error {
	ctx, cancel := context.WithTimeout(context.Background(), saveTime)
	defer cancel()
	return t.db.Keep(ctx, Part, changed, func(tx *sql.Tx) error {
		for i := range changed {
			s := &changed[i]
			classes, err := json.Marshal(s.Classes)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO standing_warm_up (ip, start_day, step, done, times, begun_day, since_day, repeats, why,
				day, used_day, finding, classes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, s.IP.String(), s.Start, s.Step, s.Done, s.Times, s.Begun,
				s.Since, s.Repeats, s.Why, s.Day, s.Used, s.Finding, string(classes)); err != nil {
				return err
			}
		}
		return nil
	})
}
