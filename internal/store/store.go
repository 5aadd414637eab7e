package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// ErrNewer is what [Open] gives for a file that a later kanmon has written.
var ErrNewer = errors.New("the file is of a newer kanmon")

// ErrOlder is what [Read] gives for a file that nobody has brought up to date yet.
var ErrOlder = errors.New("the file is of an older kanmon")

// ErrUnmade is what [Read] gives for a file in which nobody has made the part's tables yet: who does may be about to.
var ErrUnmade = errors.New("the file has no such part yet")

// ErrBusy is seen while another process has the file locked.
var ErrBusy = errors.New("another process has the file locked")

// ErrDamaged is seen where the file is no whole database.
var ErrDamaged = errors.New("the file is damaged")

// A Schema is the tables of one part. Their names begin with the part's and an underscore, so that parts may share a file.
type Schema struct {
	Part string
	// Steps lead from one version to the next: SQL, each as many statements as it needs. Add to the end; see the package page.
	Steps []string
	// Vast says that the files are too large to look through at each start, and that whoever reads them bears to meet their damage there.
	Vast bool
}

// Version is the version that the steps lead to.
func (s Schema) Version() int { return len(s.Steps) }

// A File is an open database. It is safe for concurrent use.
type File struct {
	*sql.DB
	path string

	turn sync.Mutex
	held *hold // nil: it is this process's alone
}

// openTime is what the disk is given to open a file, to look through it and to bring it up to date: mail waits.
const openTime = 60 * time.Second

// Open opens a file, makes it if there is none, and brings the part's tables up to date. It fails for a file that is
// damaged, no database, or of a newer kanmon. The patience is for another process that has the file locked, at each
// transaction.
func Open(path string, patience time.Duration, s Schema) (*File, error) {
	f, err := open(path, patience, s)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

func open(path string, patience time.Duration, s Schema) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	if err := usable(path); err != nil {
		return nil, err
	}
	f, err := connect(path, patience, "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=journal_size_limit(16777216)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	if !s.Vast {
		if err := f.whole(ctx); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := f.Within(ctx, func(tx *sql.Tx) error { return s.bring(ctx, tx) }); err != nil {
		return nil, errors.Join(misread(err), f.Close())
	}
	return f, nil
}

// connect returns the one connection of a handle, which is made when it is needed.
func connect(path string, patience time.Duration, more string) (*File, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf("_pragma=busy_timeout(%d)&%s", patience.Milliseconds(), more)}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &File{DB: db, path: path}, nil
}

// whole looks through the file.
func (f *File) whole(ctx context.Context) error {
	var verdict string
	if err := f.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return told(err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s; %s", ErrDamaged, verdict, Remedy)
	}
	return nil
}

// Remedy is what people can do about a file that is not read.
const Remedy = "restore a backup of it (kanmon restore), or move the file away to begin without what it has"

// bring does the steps that the part's tables have not been through.
func (s Schema) bring(ctx context.Context, tx *sql.Tx) error {
	table := s.Part + "_schema"
	if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+table+" (version INTEGER NOT NULL)"); err != nil {
		return err
	}
	version, err := versionIn(ctx, tx, table)
	if err != nil {
		return err
	}
	if version > s.Version() {
		return fmt.Errorf("%w: it has schema %d, this one reads up to %d; run that version again, restore a backup of this one (kanmon restore), or move the file away to begin without what it has",
			ErrNewer, version, s.Version())
	}
	for ; version < s.Version(); version++ {
		if _, err := tx.ExecContext(ctx, s.Steps[version]); err != nil {
			return fmt.Errorf("make schema %d: %w", version+1, err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES (?)", version+1); err != nil {
			return err
		}
	}
	return nil
}

// Within does all of something or nothing. Of a file that changes hands it returns [ErrPaused]; see [File.Keep].
func (f *File) Within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := f.BeginTx(ctx, nil)
	if err != nil {
		return told(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := f.paused(); err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return told(err)
	}
	return told(tx.Commit())
}

// Rest closes the file, and leaves it without a WAL where nobody else has it open: who may only read finds all that they need in it.
func (f *File) Rest() error {
	_, _ = f.Exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE") // else its WAL stays beside it, and they find it there
	return f.Close()
}

// Misread says of an error in what a part has read that its file is damaged, which file that is, and what people can do: a row, a table is not as
// kanmon makes it. What is the disk's doing, or another process's, damages nothing.
func (f *File) Misread(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.path, misread(err))
}

func misread(err error) error {
	var of *driver.Error
	switch err = told(err); {
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrNewer), errors.Is(err, ErrOlder), errors.Is(err, ErrUnmade), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &of) && of.Code()&0xff != lib.SQLITE_ERROR: // which is that of a statement that the tables do not fit
		return err
	}
	return fmt.Errorf("%w: %w; %s", ErrDamaged, err, Remedy)
}

// IsDamage reports whether an error in what was asked of a file says that the file is no whole database.
func IsDamage(err error) bool { return errors.Is(told(err), ErrDamaged) }

// told says of an error what it means for the file, where that is known.
func told(err error) error {
	var of *driver.Error
	if !errors.As(err, &of) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrBusy) { // the latter are told already
		return err
	}
	switch of.Code() & 0xff {
	case lib.SQLITE_BUSY:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w; %s", ErrDamaged, err, Remedy)
	}
	return err
}
