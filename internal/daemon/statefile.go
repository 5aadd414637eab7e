package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"kanmon/internal/keep"
	"kanmon/internal/policy"
	"kanmon/internal/standing"
)

// Schemas are the versions of what a database of state can have, by the parts that share it.
func Schemas() map[string]int {
	return map[string]int{"standing": standing.Schema(), "policy": policy.Schema()}
}

// A stateFile is one that this process has locked.
type stateFile struct {
	info os.FileInfo
	lock *os.File
}

// lockState makes a file of state this process's own until Stop, and makes the file if there is none. Two parts may share a file.
func (d *Daemon) lockState(path string) error {
	// The lock's descriptor is opened before the database, once, and closed behind it; where that has been given up, which may write still,
	// by the end of the process.
	if info, err := os.Stat(path); err == nil && slices.ContainsFunc(d.stateFiles, func(own stateFile) bool { return os.SameFile(own.info, info) }) {
		return nil
	}
	f, err := keep.Lock(path)
	if errors.Is(err, keep.ErrInUse) {
		return fmt.Errorf("%w: stop that one first, or give this one a file of its own", err)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.stateFiles = append(d.stateFiles, stateFile{info, f})
	d.onStop("lock of "+path, func(context.Context) error {
		if d.givenUp {
			return nil // stateFiles has it still: nothing else closes it
		}
		d.stateFiles = slices.DeleteFunc(d.stateFiles, func(own stateFile) bool { return own.lock == f })
		return f.Close()
	})
	return nil
}
