package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kanmon/internal/store"
)

// Whenever the power fails during a restore, there is a database in its place, and what was there has its other name before it loses that one. No
// WAL of it is beside the new one.
func TestARestoreLeavesNoGap(t *testing.T) {
	s := newSite(t)
	path := s.save("a.tar.gz")
	s.exec(s.open(s.state), "PRAGMA wal_autocheckpoint = 0", "INSERT INTO taken VALUES (2)")
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, filepath.Dir(s.state), unix.IN_MOVE|unix.IN_CREATE|unix.IN_DELETE); err != nil {
		t.Fatal(err)
	}
	all, err := s.restore(path, Target{Kinds: []string{Database}})
	if err != nil {
		t.Fatal(err)
	}
	base, kept := filepath.Base(s.state), filepath.Base(all[0].Kept)
	var seen []string
	for _, e := range events(t, watch) {
		switch e {
		case "create " + kept, "from " + base + "-wal", "to " + kept + "-wal", "from " + base, "delete " + base, "to " + base, "to " + kept:
			seen = append(seen, e)
		}
	}
	want := []string{"create " + kept, "from " + base + "-wal", "to " + kept + "-wal", "to " + base}
	if !slices.Equal(seen, want) {
		t.Errorf("it went %q, want %q", seen, want)
	}
}

// events reads what has happened in a watched folder.
func events(t *testing.T, watch int) (all []string) {
	t.Helper()
	buffer := make([]byte, 1<<16)
	n, err := unix.Read(watch, buffer)
	if err != nil {
		t.Fatal(err)
	}
	for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		mask, length := binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
		end := unix.SizeofInotifyEvent + int(length)
		name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
		for bit, what := range map[uint32]string{unix.IN_MOVED_FROM: "from", unix.IN_MOVED_TO: "to", unix.IN_CREATE: "create", unix.IN_DELETE: "delete"} {
			if mask&bit != 0 {
				all = append(all, what+" "+name)
			}
		}
		rest = rest[end:]
	}
	return all
}

// What could not be moved back is said: then not everything is as it was.
func TestAFailedUndoIsSaid(t *testing.T) {
	r := &restoring{undo: []func() error{func() error { return fs.ErrPermission }}}
	if err := r.close(false); !errors.Is(err, ErrNotUndone) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("close = %v", err)
	}
}

// In the folder of the state, which is not root's, root follows no link.
func TestARestoreFollowsNoLink(t *testing.T) {
	s := newSite(t)
	path := s.save("a.tar.gz")
	other := filepath.Join(s.dir, "other.db")
	if err := errors.Join(os.Rename(s.state, other), os.Symlink(other, s.state)); err != nil {
		t.Fatal(err)
	}
	before := s.files()
	if _, err := s.restore(path, Target{}); !errors.Is(err, store.ErrLink) || !strings.Contains(err.Error(), s.state) || !maps.Equal(s.files(), before) {
		t.Errorf("Restore = %v", err)
	}
}
