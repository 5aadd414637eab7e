package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"kanmon/internal/contain"
	"kanmon/internal/keep"
)

// ErrNewer is what OpenStore gives for a file that a later kanmon has written.
var ErrNewer = errors.New("the file is of a newer kanmon")

// sqlite is a [Store] in a file.
type sqlite struct {
	db     *sql.DB
	saving sync.Mutex // one state at a time
}

// migrations lead from one version of the schema to the next; the version is the number of those done. Add to the end;
// never change one that has been released. The names begin with policy_, so that other parts may share the file.
var migrations = []string{
	`CREATE TABLE policy_state (
		id    INTEGER PRIMARY KEY CHECK (id = 1), -- there is one
		state TEXT    NOT NULL                    -- JSON
	);
	CREATE TABLE policy_audit (
		id      INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of the changes, whatever the clock said
		at_ms   INTEGER NOT NULL,                  -- wall clock, Unix
		made_by TEXT    NOT NULL,
		tenant  TEXT    NOT NULL,
		account TEXT    NOT NULL,                  -- '': the tenant itself
		did     TEXT    NOT NULL,
		was     TEXT    NOT NULL,
		became  TEXT    NOT NULL,
		why     TEXT    NOT NULL
	);
	CREATE INDEX policy_audit_of ON policy_audit (tenant, account, id);
	CREATE INDEX policy_audit_at ON policy_audit (at_ms)`,
	`CREATE TABLE policy_part (                -- the state, in pieces: nothing is locked for longer than one of them takes
		generation INTEGER NOT NULL,           -- of the state; one that policy_saved does not name is not whole
		number     INTEGER NOT NULL,
		state      TEXT    NOT NULL,           -- JSON
		PRIMARY KEY (generation, number)
	);
	CREATE TABLE policy_saved (
		id         INTEGER PRIMARY KEY CHECK (id = 1),
		generation INTEGER NOT NULL
	);
	INSERT INTO policy_part SELECT 1, 1, state FROM policy_state;
	INSERT INTO policy_saved SELECT 1, 1 FROM policy_state;
	DROP TABLE policy_state;
	CREATE TABLE policy_order (                -- what people, and limits that block, have said since
		id   INTEGER PRIMARY KEY AUTOINCREMENT,
		said TEXT NOT NULL                     -- JSON
	);
	ALTER TABLE policy_audit ADD COLUMN by_rule INTEGER NOT NULL DEFAULT 0; -- a limit, not a person
	UPDATE policy_audit SET by_rule = 1 WHERE made_by LIKE 'limit %';
	CREATE INDEX policy_audit_by_rule ON policy_audit (by_rule, id)`,
	`ALTER TABLE policy_audit ADD COLUMN ip TEXT NOT NULL DEFAULT '';       -- '': it is of a sender
	ALTER TABLE policy_audit ADD COLUMN provider TEXT NOT NULL DEFAULT '';  -- of the IP's standing; '': all of them
	CREATE INDEX policy_audit_of_ip ON policy_audit (ip, id)`,
}

// Schema is the version of the schema that this kanmon makes.
func Schema() int { return len(migrations) }

// Bounds of the audit. What is beyond them goes when a change is added; age is what the clock says then. What limits do has a bound of its
// own: it pushes out nothing that a person has done.
const (
	auditAge   = 366 * 24 * time.Hour
	auditRows  = 100_000
	auditRules = 10_000
)

// Times that the disk is given.
const (
	busyTime = time.Second      // another process has the file locked; then whoever wants it may ask again
	openTime = 10 * time.Second // to open, check and migrate, and to load
)

// ErrBusy is what a Store gives while another process has the file locked.
var ErrBusy = errors.New("another process has the file locked")

// OpenStore opens the file, makes it if there is none, and brings its schema up to date. It fails for a file that is
// damaged, no database, or of a newer kanmon.
func OpenStore(path string) (Store, error) {
	s, err := openSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func openSQLite(path string) (*sqlite, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := keep.Make(path); err != nil {
		return nil, err
	}
	// WAL: a reader beside us does not lock us out. FULL: what was said to be written survives a loss of power.
	name := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf(
		"_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate", busyTime.Milliseconds())}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &sqlite{db: db}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *sqlite) prepare(ctx context.Context) error {
	var verdict string
	if err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("the file is damaged: %s", verdict)
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS policy_schema (version INTEGER NOT NULL)"); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM policy_schema").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("%w: it has schema %d, this one reads up to %d; run that version again, restore a backup of this one (kanmon restore), or move the file away to begin without what it has",
				ErrNewer, version, len(migrations))
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return fmt.Errorf("make schema %d: %w", version+1, err)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO policy_schema VALUES (?)", version+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// within does all or nothing.
func (s *sqlite) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return busy(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := do(tx); err != nil {
		return busy(err)
	}
	return busy(tx.Commit())
}

// busy says of an error that another process has the file, where that is it.
func busy(err error) error {
	var of *driver.Error
	if errors.As(err, &of) && of.Code()&0xff == lib.SQLITE_BUSY {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Load implements [Store]. A state that makes no sense is an error: half a memory would let blocked senders send.
func (s *sqlite) Load() (state State, found bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	err = s.texts(ctx, func(text []byte) error {
		var piece State
		if err := json.Unmarshal(text, &piece); err != nil {
			return err
		}
		state.add(piece)
		found = true
		return nil
	}, "SELECT state FROM policy_part JOIN policy_saved USING (generation) ORDER BY number")
	var orders []Order
	if err == nil {
		err = s.texts(ctx, func(text []byte) error {
			var o Order
			orders = append(orders, o)
			return json.Unmarshal(text, &orders[len(orders)-1])
		}, "SELECT said FROM policy_order ORDER BY id")
	}
	if err != nil {
		return State{}, false, err
	}
	state.follow(orders)
	return state, found || len(orders) > 0, nil
}

// texts gives the texts of a query.
func (s *sqlite) texts(ctx context.Context, do func([]byte) error, query string) error {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text sql.RawBytes
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if err := do(text); err != nil {
			return fmt.Errorf("the state in the file is not understood: %w", err)
		}
	}
	return rows.Err()
}

// Save implements [Store]. Each piece is a transaction: orders are kept between two of them. The last one puts the new state in the old one's
// place.
func (s *sqlite) Save(ctx context.Context, pieces iter.Seq[State]) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	var generation, last int64
	err := s.within(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM policy_order").Scan(&last); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(generation), 0) + 1 FROM policy_saved").Scan(&generation); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM policy_part WHERE generation >= ?", generation) // of one that came to no end
		return err
	})
	number := 0
	for piece := range pieces {
		if err != nil {
			return err
		}
		number++
		var text []byte
		if text, err = json.Marshal(piece); err == nil {
			err = s.within(ctx, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO policy_part VALUES (?, ?, ?)", generation, number, string(text))
				return err
			})
		}
	}
	if err != nil {
		return err
	}
	return s.within(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO policy_saved VALUES (1, ?)", generation); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM policy_part WHERE generation < ?", generation); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM policy_order WHERE id <= ?", last)
		return err
	})
}

// Keep implements [Store].
func (s *sqlite) Keep(ctx context.Context, changes []Change, orders []Order) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		for _, o := range orders {
			said, err := json.Marshal(o)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO policy_order (said) VALUES (?)", string(said)); err != nil {
				return err
			}
		}
		for _, c := range changes {
			if _, err := tx.ExecContext(ctx, `INSERT INTO policy_audit (at_ms, made_by, tenant, account, ip, provider, did, was, became, why, by_rule)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				c.At.UnixMilli(), c.By, c.Subject.Tenant, c.Subject.Account, addrText(c.IP), c.Provider, c.Did, c.Before, c.After, c.Why, c.Rule); err != nil {
				return err
			}
		}
		if len(changes) == 0 {
			return nil
		}
		now := changes[len(changes)-1].At
		_, err := tx.ExecContext(ctx, `DELETE FROM policy_audit WHERE at_ms < ?
			OR by_rule = 0 AND id <= (SELECT id FROM policy_audit WHERE by_rule = 0 ORDER BY id DESC LIMIT 1 OFFSET ?)
			OR by_rule = 1 AND id <= (SELECT id FROM policy_audit WHERE by_rule = 1 ORDER BY id DESC LIMIT 1 OFFSET ?)`,
			now.Add(-auditAge).UnixMilli(), auditRows, auditRules)
		return err
	})
}

// Changes implements [Store]. A tenant's are those of its accounts as well.
func (s *sqlite) Changes(ctx context.Context, of contain.Subject, ip netip.Addr, most int) ([]Change, error) {
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
	rows, err := s.db.QueryContext(ctx, query+" ORDER BY id DESC LIMIT ?", append(args, max(most, 0))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Change
	for rows.Next() {
		var (
			c    Change
			at   int64
			addr string
		)
		if err := rows.Scan(&at, &c.By, &c.Subject.Tenant, &c.Subject.Account, &addr, &c.Provider, &c.Did, &c.Before, &c.After, &c.Why, &c.Rule); err != nil {
			return nil, err
		}
		c.IP, _ = netip.ParseAddr(addr) // of a sender there is none
		c.At = time.UnixMilli(at).UTC()
		all = append(all, c)
	}
	slices.Reverse(all)
	return all, rows.Err()
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

// Close implements [Store].
func (s *sqlite) Close() error { return s.db.Close() }
