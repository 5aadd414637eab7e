package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// busyTime is how long a copy waits for whoever has the database locked: to write takes them moments.
const busyTime = 10 * time.Second

// Write saves the set. What it gives is what the archive says of itself. On an error what was written is no archive.
func Write(ctx context.Context, w io.Writer, set Set) (m Manifest, err error) {
	files, err := filesOf(set.Items)
	if err != nil {
		return m, err
	}
	scratch, err := os.MkdirTemp(set.Scratch, ".kanmon-backup-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	host, _ := os.Hostname()
	m = Manifest{Format: format, Made: set.now(), Host: host, Program: set.Program}
	copies := make([]string, len(files))
	for i := range files {
		copies[i] = filepath.Join(scratch, files[i].Name)
		if err := copyOf(ctx, &files[i], copies[i]); err != nil {
			return m, fmt.Errorf("save %s: %w", files[i].Path, err)
		}
	}
	m.Files = files
	return m, pack(w, &m, copies)
}

func (s *Set) now() time.Time {
	if s.Clock != nil {
		return s.Clock().UTC()
	}
	return time.Now().UTC().Truncate(time.Second)
}

// copyOf copies a file as it is at one moment, and notes what the copy is like: the file itself may change at once.
func copyOf(ctx context.Context, f *File, to string) error {
	var err error
	if f.Kind == Database {
		if err = CopyDatabase(ctx, f.Path, to); err == nil {
			f.Schemas, err = inspect(ctx, to)
		}
	} else {
		err = copyFile(f.Path, to)
	}
	if err != nil {
		return err
	}
	f.Octets, f.SHA256, err = sumOf(to)
	return err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// CopyDatabase copies a database that others may write to: SQLite reads it as it was when the copy began, with what is in its WAL. There must
// be no such copy yet, or an empty file.
func CopyDatabase(ctx context.Context, from, to string) error {
	db, err := openDatabase(from)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return errors.Join(err, db.Close())
}

// KeepDatabase makes a copy that is to stay: under its name it is whole and on the disk, or not there, whatever ends the process meanwhile.
// Only one process may do this for a name at a time.
func KeepDatabase(ctx context.Context, from, to string) (err error) {
	part := to + ".part"
	if err := removeDatabase(part); err != nil { // of one that was killed
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDatabase(part))
		}
	}()
	if err := os.WriteFile(part, nil, 0o640); err != nil { // SQLite would let everybody read it
		return err
	}
	if err := CopyDatabase(ctx, from, part); err != nil {
		return err
	}
	if _, err := inspect(ctx, part); err != nil {
		return err
	}
	if err := syncFile(part, 0o640); err != nil {
		return err
	}
	if err := os.Rename(part, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// syncFile gives a file its mode, and lets it survive a loss of power.
func syncFile(path string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Sync(), f.Close())
}

// removeDatabase removes a database, where there is one, with the files that SQLite makes beside it.
func removeDatabase(path string) (err error) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if gone := os.Remove(path + suffix); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func openDatabase(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	name := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf("mode=rw&_pragma=busy_timeout(%d)", busyTime.Milliseconds())}
	db, err := sql.Open("sqlite", name.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// inspect says of a database that it is whole, and which versions its parts have.
func inspect(ctx context.Context, path string) (schemas map[string]int, err error) {
	db, err := openDatabase(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return nil, err
	}
	if verdict != "ok" {
		return nil, fmt.Errorf("the database is damaged: %s", verdict)
	}
	return versions(ctx, db)
}

// Schemas gives which versions the parts of a database have, as far as it can be read.
func Schemas(ctx context.Context, path string) (schemas map[string]int, err error) {
	db, err := openDatabase(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return versions(ctx, db)
}

// versions reads what each part has in a table NAME_schema.
func versions(ctx context.Context, db *sql.DB) (schemas map[string]int, err error) {
	tables, err := texts(ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%\_schema' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	schemas = map[string]int{}
	for _, table := range tables {
		var version int
		if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM "`+strings.ReplaceAll(table, `"`, `""`)+`"`).Scan(&version); err != nil {
			return nil, err
		}
		schemas[strings.TrimSuffix(table, "_schema")] = version
	}
	return schemas, nil
}

func texts(ctx context.Context, db *sql.DB, query string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func sumOf(path string) (octets int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	hash := sha256.New()
	octets, err = io.Copy(hash, f)
	return octets, hex.EncodeToString(hash.Sum(nil)), err
}

// pack writes the archive: the manifest, then the files in its order.
func pack(w io.Writer, m *Manifest, copies []string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	if err := archive.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(text)), ModTime: m.Made}); err != nil {
		return err
	}
	if _, err := archive.Write(text); err != nil {
		return err
	}
	for i := range m.Files {
		f := &m.Files[i]
		if err := archive.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o600, Size: f.Octets, ModTime: m.Made}); err != nil {
			return err
		}
		if err := packFile(archive, copies[i]); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}

func packFile(archive *tar.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(archive, f)
	return err
}
