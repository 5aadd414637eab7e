package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A Lab is one small internet: hosts, wires and processes. Several may run at once.
type Lab struct {
	Dir string // folder of the lab, in memory; gone when the program ends

	tools *Tools

	mu       sync.Mutex
	cleanups []func() error
}

// New makes an empty lab. The name must be unique among the labs of a run. Close it.
func New(name string) (*Lab, error) {
	if os.Getenv(dirVariable) == "" {
		return nil, errors.New("netlab: Isolate was not called first")
	}
	tools, err := FindTools("lab")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(runDir(), strings.Map(plain, name))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("new lab: %w", err)
	}
	return &Lab{Dir: dir, tools: tools}, nil
}

// plain replaces what has a meaning in the programs' configurations, where the folder's name appears.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// Cleanup has fn called by Close, last in first out.
func (l *Lab) Cleanup(fn func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanups = append(l.cleanups, fn)
}

// Close stops the lab's processes and removes its hosts, in the reverse order of their making, and its folder. It
// goes on after an error and returns all of them.
func (l *Lab) Close() error {
	l.mu.Lock()
	cleanups := l.cleanups
	l.cleanups = nil
	l.mu.Unlock()
	var errs []error
	for _, fn := range slices.Backward(cleanups) {
		errs = append(errs, fn())
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}

// Fill makes the disk that all files of the labs are on full, until it is emptied again.
func (l *Lab) Fill() (empty func() error, err error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(runDir(), &disk); err != nil {
		return nil, fmt.Errorf("fill the disk: %w", err)
	}
	used := (disk.Blocks - disk.Bfree) * uint64(disk.Bsize)
	resize := func(size uint64) error {
		return unix.Mount("tmpfs", runDir(), "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("mode=0755,size=%d", size))
	}
	if err := resize(used); err != nil {
		return nil, fmt.Errorf("fill the disk: %w", err)
	}
	return func() error { return resize(disk.Blocks * uint64(disk.Bsize)) }, nil
}

// Logs gives the last lines of every log file of the lab, for a report of what went wrong.
func (l *Lab) Logs(lines int) string {
	var out strings.Builder
	_ = filepath.WalkDir(l.Dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".log" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil || len(content) == 0 {
			return nil
		}
		all := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		name, _ := filepath.Rel(l.Dir, path)
		fmt.Fprintf(&out, "--- %s\n%s\n", name, strings.Join(all[max(0, len(all)-lines):], "\n"))
		return nil
	})
	return out.String()
}
