package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A file that is there and has nothing in it was emptied: by a crash of the host, by a copy on a full disk. Whoever took it for a new one would
// begin without what people have ordered, and tell nobody. So no file is made that way, whenever the process is ended: it is written under
// another name, and gets its own when there is a database in it.

// create makes a file with an empty database in it, if there is none. SQLite gives the files beside it the same mode.
func create(path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // whoever opens it says what is wrong
	}
	begun := path + ".new-" + rand.Text()
	f, err := os.OpenFile(begun, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return errors.Unwrap(err) // who calls has named the path
	}
	defer func() { err = errors.Join(err, os.Remove(begun)) }()
	if err := errors.Join(f.Close(), fill(begun)); err != nil {
		return err
	}
	switch err := os.Link(begun, path); {
	case errors.Is(err, fs.ErrExist): // another process has made it meanwhile
	case err != nil:
		return errors.Unwrap(err)
	}
	return syncFolder(filepath.Dir(path))
}

// fill writes an empty database, and has it on the disk.
func fill(path string) error {
	f, err := connect(path, lookPatience, "mode=rw&_pragma=journal_mode(MEMORY)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	_, err = f.ExecContext(ctx, "PRAGMA user_version = 0") // writes the first page
	return errors.Join(told(err), f.Close())
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// usable says why a file that is there cannot be used. It does not open it, since to close it would take the locks of a part of this process that
// has it open already.
func usable(path string) error {
	if err := filled(path); err != nil {
		return err
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
}

// filled says why a path is none of a database.
func filled(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return errors.Unwrap(err)
	case info.IsDir():
		return unix.EISDIR
	case info.Mode().IsRegular() && info.Size() == 0:
		return fmt.Errorf("%w: it has 0 octets, and none that kanmon makes has; %s", ErrDamaged, Remedy)
	}
	return nil
}
