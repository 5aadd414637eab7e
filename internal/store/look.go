package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// lookPatience is how long who only looks waits for whoever has the file locked: to write takes them moments.
const lookPatience = 10 * time.Second

// look does something with a file that others may write to. Of a file that is not there it makes none.
func look(path string, do func(*File) error) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := filled(path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := connect(path, lookPatience, "mode=rw")
	if err != nil {
		return err
	}
	return errors.Join(told(do(f)), f.Close())
}

// Read opens a file for reading alone, by so many at once, while others write to it. Who may not write to it, nor in its folder, may read it, too, if who
// writes leaves it with [File.Rest]. It must have the schema's part, in that version.
func Read(path string, atOnce int, s Schema) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := filled(path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := connect(path, lookPatience, "mode=ro&_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	f.SetMaxOpenConns(atOnce)
	f.SetMaxIdleConns(1) // each has a cache of its own
	f.SetConnMaxIdleTime(time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	var made bool
	err = f.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?)", s.Part+"_schema").Scan(&made)
	if err == nil && !made {
		err = ErrUnmade
	}
	version := 0
	if err == nil {
		version, err = versionIn(ctx, f, s.Part+"_schema")
	}
	switch {
	case err == nil && version > s.Version():
		err = fmt.Errorf("%w: it has schema %d, this one reads %d", ErrNewer, version, s.Version())
	case err == nil && version < s.Version():
		err = fmt.Errorf("%w: it has schema %d, this one reads %d, to which it is brought by who writes it", ErrOlder, version, s.Version())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, misread(err)), f.Close())
	}
	return f, nil
}

// Copy copies a file that others may write to: SQLite reads it as it was when the copy began, with what is in its WAL.
// There must be no such copy yet, or an empty file.
func Copy(ctx context.Context, from, to string) error {
	return look(from, func(f *File) error {
		_, err := f.ExecContext(ctx, "VACUUM INTO ?", to)
		return err
	})
}

// Check reports that a file is whole, and which versions its parts have.
func Check(ctx context.Context, path string) (versions map[string]int, err error) {
	err = look(path, func(f *File) (err error) {
		if err = f.whole(ctx); err == nil {
			versions, err = f.versions(ctx)
		}
		return err
	})
	return versions, err
}

// Versions returns which versions the parts of a file have, as far as it can be read.
func Versions(ctx context.Context, path string) (versions map[string]int, err error) {
	err = look(path, func(f *File) (err error) {
		versions, err = f.versions(ctx)
		return err
	})
	return versions, err
}

// Peek asks a file that nobody writes to for one value. It leaves no trace: as immutable, SQLite neither locks the file nor makes others
// beside it, which would be root's where root looks.
func Peek(ctx context.Context, path, query string, value any) error {
	if err := filled(path); err != nil {
		return err
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&immutable=1"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing was written
	return db.QueryRowContext(ctx, query).Scan(value)
}

// versions reads what each part has in a table PART_schema.
func (f *File) versions(ctx context.Context) (map[string]int, error) {
	rows, err := f.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%\_schema' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	versions := map[string]int{}
	for _, table := range tables {
		version, err := versionIn(ctx, f, `"`+strings.ReplaceAll(table, `"`, `""`)+`"`)
		if err != nil {
			return nil, err
		}
		versions[strings.TrimSuffix(table, "_schema")] = version
	}
	return versions, nil
}

// versionIn gives the version that a table has noted; 0 where it has none.
func versionIn(ctx context.Context, in interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, table string,
) (version int, err error) {
	err = in.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM "+table).Scan(&version)
	return version, err
}
