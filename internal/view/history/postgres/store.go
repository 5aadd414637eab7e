package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kanmon/internal/view/history"
)

// Options say where history is kept, and for whom.
type Options struct {
	Database     string // a URL "postgres://…", without a password
	PasswordFile string // "": the server asks for none, or libpq's own files say it
	Host         string // whose marks are read and written: each host has files of records of its own, of the same names
}

// A Store is a history in a database. Those of several hosts may write to one at a time.
type Store struct {
	host        string
	write, read *pgxpool.Pool

	migrating sync.Mutex
	migrated  bool

	mu     sync.Mutex // of who writes
	runs   map[runName]int32
	parts  map[day]bool
	shapes map[day]*shapesOf
}

var _ history.Store = (*Store)(nil)

const (
	// patience is how long one call waits for the server. Who writes more in one call than a server takes in that time is not helped by waiting longer.
	patience = time.Minute
	// mostWriting and mostReading are how many connections there are: reports must not stand in the way of who writes.
	mostWriting = 2
	mostReading = 4
	connecting  = 5 * time.Second
)

// limits bound what a connection may do: one that nobody reads from any more must not hold the lock of who writes.
var limits = map[string]string{
	"search_path": "kanmon", "application_name": "kanmon", "statement_timeout": "60s", "lock_timeout": "15s", "idle_in_transaction_session_timeout": "20s",
	"client_connection_check_interval": "5s", "tcp_user_timeout": "20s", "tcp_keepalives_idle": "30", "timezone": "UTC",
}

// Open makes a Store. It does not connect: a server that is not there yet is waited for by who needs it.
func Open(o Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(o.Database)
	if err != nil {
		return nil, fmt.Errorf("the database of history: %w", err)
	}
	for name, value := range limits {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	cfg.ConnConfig.ConnectTimeout = connecting
	cfg.MinConns, cfg.MinIdleConns = 0, 0
	if o.PasswordFile != "" { // read for each connection: it may change
		cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			password, err := os.ReadFile(o.PasswordFile)
			c.Password = strings.TrimRight(string(password), "\r\n")
			return err
		}
	}
	s := &Store{host: name(o.Host), runs: map[runName]int32{}, parts: map[day]bool{}, shapes: map[day]*shapesOf{}}
	cfg.MaxConns = mostWriting
	if s.write, err = pgxpool.NewWithConfig(context.Background(), cfg); err != nil {
		return nil, fmt.Errorf("the database of history: %w", err)
	}
	cfg = cfg.Copy()
	cfg.MaxConns = mostReading
	if s.read, err = pgxpool.NewWithConfig(context.Background(), cfg); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("the database of history: %w", err)
	}
	return s, nil
}

// Close closes all connections.
func (s *Store) Close() error {
	s.write.Close()
	s.read.Close()
	return nil
}

// ask prepares a question: the tables are there, and it has an end.
func (s *Store) ask(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, end := context.WithTimeout(ctx, patience)
	if err := s.ready(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return ctx, end, nil
}

// told says of an error from where it is, and has the tables looked at again where they are not as they were.
func (s *Store) told(err error) error {
	var of *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, history.ErrGone) || errors.Is(err, errNext):
		return err
	case errors.As(err, &of) && (of.Code == "42P01" || of.Code == "3F000" || of.Code == "42703"): // somebody has removed tables, or put older ones in their place
		s.migrating.Lock()
		s.migrated = false
		s.migrating.Unlock()
	}
	return fmt.Errorf("PostgreSQL: %w", err)
}

// each calls a function with each row of an answer.
func each(ctx context.Context, q querier, query string, row func(scan func(...any) error) error, args ...any) error {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A querier is asked: a transaction, or the connections.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// Mark says how far a source has been read; see [history.Store].
func (s *Store) Mark(ctx context.Context, source string) (m history.Mark, err error) {
	ctx, end, err := s.ask(ctx)
	if err != nil {
		return m, err
	}
	defer end()
	var at int64
	err = s.write.QueryRow(ctx, "SELECT file, octets, at FROM mark WHERE host = $1 AND source = $2", s.host, name(source)).Scan(&m.File, &m.Offset, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return history.Mark{}, nil
	}
	m.At = markedAt(at)
	return m, s.told(err)
}

func markedAt(ms int64) time.Time {
	at := time.UnixMilli(ms).UTC()
	if at.Year() <= 1 {
		return time.Time{}
	}
	return at
}
