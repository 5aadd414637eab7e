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
	"slices"
	"time"

	"kanmon/internal/store"
)

// Why a backup is not restored.
var (
	ErrRunning = errors.New("kanmon is running")
	ErrNewer   = errors.New("the backup is of a newer kanmon")
	ErrDamaged = errors.New("the backup is damaged")
)

// ErrNotUndone is what a restore gives besides that has come to nothing, and could not leave all as it was.
var ErrNotUndone = errors.New("what had been put in its place could not be taken back")

// An Archive is a backup that can be read.
type Archive struct {
	Manifest
	path string
}

// A Target says where a backup is put.
type Target struct {
	Root    string         // stands in front of every path; "": none
	Kinds   []string       // what is restored; none: all
	Known   map[string]int // versions that this kanmon knows, by part of a database
	Program string         // this one
	Clock   func() time.Time
}

// A Placed is a file that was put back.
type Placed struct {
	File
	At   string // where it is
	Kept string // where what was there is now; "": there was nothing
}

// Open reads a backup once, and compares its checksums.
func Open(path string) (*Archive, error) {
	a := &Archive{path: path}
	err := a.each(func(_ *File, content io.Reader) error {
		_, err := io.Copy(io.Discard, content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// each reads the archive. What each is given is compared with the manifest when it is read to its end.
func (a *Archive) each(do func(*File, io.Reader) error) error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%w: it is no backup, or not a whole one: %w", ErrDamaged, err)
	}
	unpacked.Multistream(false)
	archive := tar.NewReader(unpacked)
	if err := a.readManifest(archive); err != nil {
		return err
	}
	for i := range a.Files {
		f := &a.Files[i]
		header, err := archive.Next()
		if err != nil {
			return fmt.Errorf("%w: it ends before %s: %w", ErrDamaged, f.Name, err)
		}
		if header.Name != f.Name || header.Size != f.Octets {
			return fmt.Errorf("%w: %s is not as its manifest says", ErrDamaged, f.Name)
		}
		sum := sha256.New()
		if err := do(f, io.TeeReader(marked{archive}, sum)); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return fmt.Errorf("%w: the checksum of %s is not that of its manifest", ErrDamaged, f.Name)
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more behind its last file: %w", ErrDamaged, err)
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil { // to the checksum of all, which the manifest stands under
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// marked tells errors of the archive from those of where it is written to.
type marked struct{ io.Reader }

func (m marked) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return n, err
}

// maxManifest bounds what is read before anything is known of the archive.
const maxManifest = 1 << 20

func (a *Archive) readManifest(archive *tar.Reader) error {
	header, err := archive.Next()
	if err != nil {
		return fmt.Errorf("%w: it is no backup of kanmon: %w", ErrDamaged, err)
	}
	if header.Name != manifestName {
		return fmt.Errorf("%w: it is no backup of kanmon: it begins with %q, not with a manifest", ErrDamaged, header.Name)
	}
	text, err := io.ReadAll(io.LimitReader(archive, maxManifest))
	if err != nil {
		return fmt.Errorf("%w: its manifest: %w", ErrDamaged, err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%w: its manifest: %w", ErrDamaged, err)
	}
	if m.Format > format {
		return fmt.Errorf("%w (%s, format %d; this one reads up to %d): restore it with that version", ErrNewer, m.Program, m.Format, format)
	}
	if len(m.Files) == 0 {
		return fmt.Errorf("%w: its manifest names no file", ErrDamaged)
	}
	for _, f := range m.Files {
		if !filepath.IsAbs(f.Path) || filepath.Clean(f.Path) != f.Path || f.Name != filepath.Base(f.Name) {
			return fmt.Errorf("%w: its manifest names %q at %q", ErrDamaged, f.Name, f.Path)
		}
	}
	a.Manifest = m
	return nil
}

// Restore puts a backup in the place of what is there, all of it or nothing, and keeps what was there beside it. kanmon must not run, and
// cannot begin meanwhile.
func (a *Archive) Restore(ctx context.Context, to Target) (all []Placed, err error) {
	r := &restoring{Target: to, stamp: to.now().Format("20060102T150405Z")}
	defer func() { err = errors.Join(err, r.close(err == nil)) }()
	for i := range a.Files {
		if f := &a.Files[i]; r.Wants(f) && f.Kind == Database {
			if err := r.lock(r.At(f)); err != nil {
				return nil, err
			}
		}
	}
	err = a.each(func(f *File, content io.Reader) error {
		if !r.Wants(f) {
			_, err := io.Copy(io.Discard, content)
			return err
		}
		return r.stage(ctx, f, content, a.Program)
	})
	if err != nil {
		return nil, err
	}
	return r.place()
}

// restoring is a restore under way.
type restoring struct {
	Target
	stamp  string
	staged []staged
	locks  []*os.File
	undo   []func() error // renames, to be undone from the last one
}

// staged is a file that lies beside its place, whole.
type staged struct {
	*File
	temporary string
}

func (t *Target) now() time.Time {
	if t.Clock != nil {
		return t.Clock().UTC()
	}
	return time.Now().UTC()
}

// Wants reports whether a file of a backup is restored.
func (t *Target) Wants(f *File) bool { return len(t.Kinds) == 0 || slices.Contains(t.Kinds, f.Kind) }

// At says where.
func (t *Target) At(f *File) string { return filepath.Join(t.Root, f.Path) }

// lock keeps a database that is there from any kanmon, until the restore is over.
func (r *restoring) lock(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := store.Lock(path)
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w: %s: %w; stop it first (systemctl stop kanmon), mail waits in the MSAs meanwhile", ErrRunning, path, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.locks = append(r.locks, lock)
	return nil
}

// stage writes a file beside its place and looks whether it can be used there.
func (r *restoring) stage(ctx context.Context, f *File, content io.Reader, program string) error {
	path := r.At(f)
	if err := r.makeDir(filepath.Dir(path), f); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".restore-")
	if err != nil {
		return err
	}
	r.staged = append(r.staged, staged{f, out.Name()})
	_, err = io.Copy(out, content)
	if err := errors.Join(err, out.Chmod(f.Mode), r.own(out, f, path), out.Sync(), out.Close()); err != nil {
		return err
	}
	if f.Kind != Database {
		return nil
	}
	schemas, err := store.Check(ctx, out.Name())
	if err != nil {
		return err
	}
	for part, version := range schemas {
		if known, found := r.Known[part]; version > known {
			if !found {
				return fmt.Errorf("%w: %s has a part %q that this kanmon does not know; it was made by %s, this is %s: restore it with that version", ErrNewer, f.Name, part, program, r.Program)
			}
			return fmt.Errorf("%w: %s has schema %d of %s, this kanmon knows up to %d; it was made by %s, this is %s: restore it with that version",
				ErrNewer, f.Name, version, part, known, program, r.Program)
		}
	}
	return r.lock(out.Name())
}

// makeDir makes the folder of a file, where there is none: on a host that is new.
func (r *restoring) makeDir(dir string, f *File) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := os.MkdirAll(dir, 0o750)
	if err == nil && os.Geteuid() == 0 {
		uid, gid := f.idsOf()
		err = os.Chown(dir, uid, gid)
	}
	return err
}

// own gives a file to whom the one in its place belongs, else to whom it belonged when it was saved; who is not root
// keeps it.
func (r *restoring) own(out *os.File, f *File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := f.idsOf()
	if info, err := os.Stat(path); err == nil {
		uid, gid = numbersOf(info)
	}
	return out.Chown(uid, gid)
}

// place puts all in their places. What was there gets a name beside it, with the files of its WAL: those are of no other database.
func (r *restoring) place() (all []Placed, err error) {
	for _, s := range r.staged {
		p := Placed{File: *s.File, At: r.At(s.File)}
		if p.Kept, err = r.putAside(p.At, s.Kind); err != nil {
			return nil, err
		}
		if err := r.put(s.temporary, p.At, p.Kept); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// putAside returns what is there its second name, and keeps its first: whenever the power fails, there is something in
// the place. The files of a WAL lose theirs before what is new comes.
func (r *restoring) putAside(path, kind string) (kept string, err error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is a folder", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	there, aside := err == nil, path+".before-restore-"+r.stamp
	if there {
		if err := os.Link(path, aside); err != nil {
			return "", err
		}
		kept = aside
		r.undo = append(r.undo, func() error {
			if gone := os.Remove(aside); !errors.Is(gone, fs.ErrNotExist) { // it may be back in its place
				return gone
			}
			return nil
		})
	}
	if kind == Database {
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := r.rename(path+suffix, aside+suffix); err != nil {
				return "", err
			}
		}
	}
	return kept, syncDir(filepath.Dir(path))
}

// put puts a staged file in its place, over what has another name now, too.
func (r *restoring) put(temporary, path, kept string) error {
	if kept == "" {
		if err := r.rename(temporary, path); err != nil {
			return err
		}
	} else {
		if err := os.Rename(temporary, path); err != nil {
			return err
		}
		r.undo = append(r.undo, func() error { return os.Rename(kept, path) })
	}
	return syncDir(filepath.Dir(path))
}

// rename moves what is there, and remembers how to move it back.
func (r *restoring) rename(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a folder", from)
	}
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s is there already", to)
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	r.undo = append(r.undo, func() error { return os.Rename(to, from) })
	return nil
}

// close ends a restore: one that came to nothing leaves all as it was.
func (r *restoring) close(done bool) (err error) {
	if !done {
		for _, undo := range slices.Backward(r.undo) {
			err = errors.Join(err, undo())
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrNotUndone, err)
		}
		for _, s := range r.staged {
			err = errors.Join(err, removeDatabase(s.temporary))
		}
	}
	for _, lock := range r.locks {
		_ = lock.Close() // nothing was written through it
	}
	return err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
