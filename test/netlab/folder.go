package netlab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A folder is the one thing that a run has on the host: the program kanmon, and an empty directory for the isolated
// program to mount its memory on. Who has it locked is alive; process ids would not tell, for another run may be in
// another process namespace.
type folder struct {
	path string
	lock *os.File
}

const (
	dirPrefix = "kanmon-lab-"
	// young is how old a folder may be without being locked: its program is about to.
	young = time.Minute
)

func newFolder() (*folder, error) {
	path, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	err = os.Mkdir(filepath.Join(path, "run"), 0o755)
	if err == nil {
		// MkdirTemp lets nobody else pass, and Postfix and kanmon run under other users.
		err = os.Chmod(path, 0o755)
	}
	if err == nil {
		f.lock, err = os.Create(filepath.Join(path, "lock"))
	}
	if err == nil {
		err = unix.Flock(int(f.lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.remove()
		return nil, err
	}
	return f, nil
}

func (f *folder) remove() {
	_ = os.RemoveAll(f.path)
	if f.lock != nil {
		_ = f.lock.Close()
	}
}

// sweep removes the folders of runs that were killed. Their processes and namespaces went with them.
func sweep() {
	for _, path := range deadFolders() {
		_ = os.RemoveAll(path)
	}
}

func deadFolders() (dead []string) {
	all, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, path := range all {
		if !alive(path) {
			dead = append(dead, path)
		}
	}
	return dead
}

func alive(path string) bool {
	lock, err := os.Open(filepath.Join(path, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(path)
		return err == nil && time.Since(info.ModTime()) < young
	}
	if err != nil {
		return true // not ours to judge
	}
	defer func() { _ = lock.Close() }()
	return unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}
