package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/store"
)

// SQLite is a [Store] in a file.
type SQLite struct{ db *store.File }

// Bounds of the audit. What is beyond them goes when a change is added; age is what the clock says then. What limits do has a bound of its
// own: it pushes out nothing that a person has done.
const (
	auditAge   = 366 * 24 * time.Hour
	auditRows  = 100_000
	auditRules = 10_000
)

// Times that the disk is given.
const (
	busyTime = time.Second // another process has the file locked; then whoever wants it may ask again
	loadTime = time.Minute
)

// OpenStore opens the file, or makes it; see package store.
func OpenStore(path string) (*SQLite, error) {
	db, err := store.Open(path, busyTime, schema)
	if err != nil {
		return nil, err
	}
	return &SQLite{db}, nil
}

// Load implements [Store]. A state that makes no sense is an error: half a memory would let blocked senders send.
func (s *SQLite) Load() (state State, found bool, err error) {
	state, found, err = s.load()
	return state, found, s.db.Misread(err)
}

func (s *SQLite) load() (state State, found bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTime)
	defer cancel()
	senders := 0
	for _, table := range []struct {
		query string
		row   func(*sql.Rows) error
	}{
		{"SELECT state FROM policy_clock", func(rows *sql.Rows) error {
			found = true
			return fromJSON(rows, &state.Containment)
		}},
		{"SELECT count(*) FROM policy_sender", func(rows *sql.Rows) error {
			return rows.Scan(&senders)
		}},
		{"SELECT name, measure, of_whom, to_whom, owes_ns, taken_ms FROM policy_debt", func(rows *sql.Rows) error {
			var d limit.Debt
			var taken int64
			err := rows.Scan(&d.Limit, &d.Measure, &d.Of, &d.To, &d.Owes, &taken)
			d.Taken = time.UnixMilli(taken).UTC()
			state.Limits.Debts = append(state.Limits.Debts, d)
			return err
		}},
		{"SELECT tenant, account, name, amount FROM policy_given", func(rows *sql.Rows) error {
			var g Given
			err := rows.Scan(&g.Tenant, &g.Account, &g.Limit, &g.Amount)
			state.Given = append(state.Given, g)
			return err
		}},
		{"SELECT state FROM policy_mark", func(rows *sql.Rows) error {
			var m Mark
			err := fromJSON(rows, &m)
			state.Marks = append(state.Marks, m)
			return err
		}},
	} {
		if err := s.each(ctx, table.query, table.row); err != nil {
			return State{}, false, fmt.Errorf("limits and containment in the file are not understood: %w", err)
		}
	}
	if state.Containment.Subjects, err = s.senders(ctx, senders); err != nil {
		return State{}, false, fmt.Errorf("limits and containment in the file are not understood: %w", err)
	}
	state.Limits.Version = limit.SnapshotVersion
	return state, found, nil
}

// fromJSON reads a row of one text.
func fromJSON(rows *sql.Rows, to any) error {
	var text sql.RawBytes
	if err := rows.Scan(&text); err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// each does something with each row of a query.
func (s *SQLite) each(ctx context.Context, query string, do func(*sql.Rows) error, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Misread implements [Store].
func (s *SQLite) Misread(err error) error { return s.db.Misread(err) }

// Keep implements [Store].
func (s *SQLite) Keep(ctx context.Context, changes []Change, part *Part) error {
	return s.db.Keep(ctx, PartName, bequest{changes, part}, func(tx *sql.Tx) error {
		for _, do := range []func(context.Context, *sql.Tx, *Part) error{keepSenders, keepDebts, keepOrders} {
			if err := do(ctx, tx, part); err != nil {
				return err
			}
		}
		return keepChanges(ctx, tx, changes)
	})
}

// write does one statement for each of a list.
func write[T any](ctx context.Context, tx *sql.Tx, list []T, query string, args func(*T) ([]any, error)) error {
	if len(list) == 0 {
		return nil
	}
	prepared, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer prepared.Close()
	for i := range list {
		values, err := args(&list[i])
		if err != nil {
			return err
		}
		if _, err := prepared.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

// withJSON returns values, and another as a text behind them.
func withJSON(state any, before ...any) ([]any, error) {
	text, err := json.Marshal(state)
	return append(before, string(text)), err
}

func keepSenders(ctx context.Context, tx *sql.Tx, part *Part) error {
	c := &part.Senders
	if c.Version == 0 {
		return nil
	}
	as := c.Snapshot
	as.Subjects = nil
	if err := write(ctx, tx, []contain.Snapshot{as}, "INSERT OR REPLACE INTO policy_clock VALUES (1, ?)",
		func(s *contain.Snapshot) ([]any, error) { return withJSON(s) }); err != nil {
		return err
	}
	if err := write(ctx, tx, c.Gone, "DELETE FROM policy_sender WHERE tenant = ? AND account = ?", ofSubject); err != nil {
		return err
	}
	// In place of the row, under its number: what has not changed of it, its place in the index, is not written. The
	// history, which is most of a row, is no JSON: so a start reads it faster.
	return write(ctx, tx, c.Subjects, `INSERT INTO policy_sender (history, tenant, account, state) VALUES (?, ?, ?, ?)
		ON CONFLICT (tenant, account) DO UPDATE SET state = excluded.state, history = excluded.history`,
		func(s *contain.Saved) ([]any, error) {
			state := *s
			state.History = nil
			return withJSON(&state, s.History, s.Tenant, s.Account)
		})
}

func ofSubject(s *contain.Subject) ([]any, error) { return []any{s.Tenant, s.Account}, nil }

func keepDebts(ctx context.Context, tx *sql.Tx, part *Part) error {
	var owed, free []limit.Debt
	for _, d := range part.Debts {
		if d.Owes > 0 {
			owed = append(owed, d)
		} else {
			free = append(free, d)
		}
	}
	if err := write(ctx, tx, free, "DELETE FROM policy_debt WHERE name = ? AND measure = ? AND of_whom = ? AND to_whom = ?",
		func(d *limit.Debt) ([]any, error) { return []any{d.Limit, d.Measure, d.Of, d.To}, nil }); err != nil {
		return err
	}
	if err := write(ctx, tx, owed, "INSERT OR REPLACE INTO policy_debt VALUES (?, ?, ?, ?, ?, ?, ?)", func(d *limit.Debt) ([]any, error) {
		return []any{d.Limit, d.Measure, d.Of, d.To, int64(d.Owes), d.Taken.UnixMilli(), d.Taken.Add(d.Owes).UnixMilli() + 1}, nil
	}); err != nil {
		return err
	}
	if part.Senders.Version == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM policy_debt WHERE over_ms < ?", part.Senders.At.UnixMilli())
	return err
}

// keepOrders keeps what people have ordered, beside what they say of a sender's mail.
func keepOrders(ctx context.Context, tx *sql.Tx, part *Part) error {
	var taken []Given // back
	given := slices.DeleteFunc(slices.Clone(part.Given), func(g Given) bool {
		if g.Amount == 0 {
			taken = append(taken, g)
		}
		return g.Amount == 0
	})
	if err := write(ctx, tx, taken, "DELETE FROM policy_given WHERE tenant = ? AND account = ? AND name = ?",
		func(g *Given) ([]any, error) { return []any{g.Tenant, g.Account, g.Limit}, nil }); err != nil {
		return err
	}
	if err := write(ctx, tx, given, "INSERT OR REPLACE INTO policy_given VALUES (?, ?, ?, ?)",
		func(g *Given) ([]any, error) { return []any{g.Tenant, g.Account, g.Limit, g.Amount}, nil }); err != nil {
		return err
	}
	if err := write(ctx, tx, part.Unmarked, "DELETE FROM policy_mark WHERE tenant = ? AND account = ?", ofSubject); err != nil {
		return err
	}
	return write(ctx, tx, part.Marks, "INSERT OR REPLACE INTO policy_mark VALUES (?, ?, ?)",
		func(m *Mark) ([]any, error) { return withJSON(m, m.Tenant, m.Account) })
}

// keepChanges adds to the audit.
func keepChanges(ctx context.Context, tx *sql.Tx, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := write(ctx, tx, changes, `INSERT INTO policy_audit (at_ms, made_by, tenant, account, ip, provider, did, was, became, why, by_rule)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, func(c *Change) ([]any, error) {
		return []any{c.At.UnixMilli(), c.By, c.Subject.Tenant, c.Subject.Account, addrText(c.IP), c.Provider, c.Did, c.Before, c.After, c.Why, c.Rule}, nil
	}); err != nil {
		return err
	}
	now := changes[len(changes)-1].At
	_, err := tx.ExecContext(ctx, `DELETE FROM policy_audit WHERE at_ms < ?
		OR by_rule = 0 AND id <= (SELECT id FROM policy_audit WHERE by_rule = 0 ORDER BY id DESC LIMIT 1 OFFSET ?)
		OR by_rule = 1 AND id <= (SELECT id FROM policy_audit WHERE by_rule = 1 ORDER BY id DESC LIMIT 1 OFFSET ?)`,
		now.Add(-auditAge).UnixMilli(), auditRows, auditRules)
	return err
}

// Changes implements [Store]. A tenant's are those of its accounts as well.
func (s *SQLite) Changes(ctx context.Context, of contain.Subject, ip netip.Addr, most int) (all []Change, err error) {
	query, args := "SELECT at_ms, made_by, tenant, account, ip, provider, did, was, became, why, by_rule FROM policy_audit", []any{}
	switch {
	case ip.IsValid():
		query, args = query+" WHERE ip = ?", append(args, addrText(ip))
	case of.Tenant != "":
		query, args = query+" WHERE tenant = ?", append(args, of.Tenant)
		if of.Account != "" {
			query, args = query+" AND account = ?", append(args, of.Account)
		}
	}
	err = s.each(ctx, query+" ORDER BY id DESC LIMIT ?", func(rows *sql.Rows) error {
		var (
			c    Change
			at   int64
			addr string
		)
		err := rows.Scan(&at, &c.By, &c.Subject.Tenant, &c.Subject.Account, &addr, &c.Provider, &c.Did, &c.Before, &c.After, &c.Why, &c.Rule)
		c.IP, _ = netip.ParseAddr(addr) // of a sender there is none
		c.At = time.UnixMilli(at).UTC()
		all = append(all, c)
		return err
	}, append(args, max(most, 0))...)
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	return all, nil
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// File returns the open file, which may change hands. It is closed with the SQLite.
func (s *SQLite) File() *store.File { return s.db }

// Close implements [Store].
func (s *SQLite) Close() error { return s.db.Close() }
