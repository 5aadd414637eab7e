package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kanmon/internal/store"
)

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
		if err = store.Copy(ctx, f.Path, to); err == nil {
			f.Schemas, err = store.Check(ctx, to)
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
	if err := store.Copy(ctx, from, part); err != nil {
		return err
	}
	if _, err := store.Check(ctx, part); err != nil {
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

// syncFile returns a file its mode, and lets it survive a loss of power.
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
