package intercept

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// keptVersion is the version of the file's format. Files of versions that named none have 0, and the same format.
const keptVersion = 1

// read returns what is remembered. What was written aside is newer than what the disk has.
func (k *Keeper) read() (Kept, error) {
	kept, err := readKept(k.asideFile())
	if errors.Is(err, ErrNothingKept) {
		return readKept(k.file())
	}
	return kept, err
}

// readKept reads a file. What is in it is loaded into the kernel: so nobody may have written it but root, this user, or who has the folder.
func readKept(path string) (Kept, error) {
	var kept Kept
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return Kept{}, ErrNothingKept
	case errors.Is(err, fs.ErrPermission):
		return Kept{}, fmt.Errorf("read the rules kept: %w", err)
	}
	if err == nil {
		err = trusted(path)
	}
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err == nil && kept.Version > keptVersion {
		err = fmt.Errorf("a newer kanmon has written it (format %d, this one reads up to %d)", kept.Version, keptVersion)
	}
	if err == nil && !kept.none() {
		err = kept.Rules.Validate()
	}
	if err != nil {
		return Kept{}, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return kept, nil
}

// trusted says what is wrong with the owner and the permissions of a file.
func trusted(path string) error {
	var file, folder unix.Stat_t
	if err := unix.Stat(path, &file); err != nil {
		return err
	}
	if err := unix.Stat(filepath.Dir(path), &folder); err != nil {
		return err
	}
	const othersWrite = 0o022
	switch {
	case file.Uid != 0 && int(file.Uid) != os.Geteuid() && file.Uid != folder.Uid:
		return fmt.Errorf("it belongs to user %d, want root", file.Uid)
	case file.Mode&othersWrite != 0:
		return fmt.Errorf("others may write to it (mode %04o), want 0644", file.Mode&0o7777)
	case folder.Mode&othersWrite != 0:
		return fmt.Errorf("others may write to its folder (mode %04o), want 0755", folder.Mode&0o7777)
	}
	return nil
}

// write replaces the file as a whole: a host that loses its power has the old one or the new. Where the disk cannot be
// written to (read-only, full), it writes aside.
func (k *Keeper) write(kept Kept) error {
	kept.Version = keptVersion
	data, err := json.MarshalIndent(kept, "", "\t")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if err = k.replace(k.file(), data); err == nil {
		return ignore(os.Remove(k.asideFile()), fs.ErrNotExist)
	}
	if e := os.MkdirAll(k.aside(), 0o755); e != nil {
		return errors.Join(err, e)
	}
	if e := k.replace(k.asideFile(), data); e != nil {
		return errors.Join(err, e)
	}
	return fmt.Errorf("%w: %w", ErrKeptAside, err)
}

// isAside reports whether what is remembered is not on the disk.
func (k *Keeper) isAside() bool {
	_, err := os.Stat(k.asideFile())
	return err == nil
}

// forget deletes what is kept: a guard puts back nothing then.
func (k *Keeper) forget() error {
	for _, path := range []string{k.asideFile(), k.file()} {
		if err := ignore(os.Remove(path), fs.ErrNotExist); err != nil {
			return fmt.Errorf("a guard puts back those of before: %w", err)
		}
	}
	return nil
}

func (k *Keeper) replace(path string, data []byte) error {
	write := k.writeFile
	if write == nil {
		write = replaceFile
	}
	return write(path, data)
}

func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // once renamed there is none
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Folder is where it remembers.
func (k *Keeper) Folder() string { return k.dir() }

// lockPause is how often a lock that another has is asked for.
const lockPause = 20 * time.Millisecond

// lock keeps other processes from changing the rules. Where there can be no file, nobody keeps anything, and there is nothing to
// protect but a person's word.
func (k *Keeper) lock(ctx context.Context) (unlock func(), err error) {
	f, err := k.lockFile()
	if err != nil {
		return func() {}, nil
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // and with it the lock is released
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another process is changing the rules (%s): %w", f.Name(), ctx.Err()), f.Close())
		case <-time.After(lockPause):
		}
	}
}

// lockFile opens what the lock is on: in the folder that all can write in.
func (k *Keeper) lockFile() (f *os.File, err error) {
	for _, dir := range []string{k.dir(), k.aside()} {
		if err = os.MkdirAll(dir, 0o755); err != nil {
			continue
		}
		if f, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600); err == nil {
			return f, nil
		}
	}
	return nil, err
}

const keptFile = "rules.json"

func (k *Keeper) aside() string {
	if k.Aside == "" && k.Dir != "" {
		return filepath.Join(k.Dir, "run")
	}
	return cmp.Or(k.Aside, DefaultReport)
}

func (k *Keeper) dir() string       { return cmp.Or(k.Dir, DefaultKept) }
func (k *Keeper) file() string      { return filepath.Join(k.dir(), keptFile) }
func (k *Keeper) asideFile() string { return filepath.Join(k.aside(), keptFile) }
