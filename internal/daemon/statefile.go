package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
	"kanmon/internal/store"
	"kanmon/internal/store/backup"
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
	if info, err := os.Stat(path); err == nil && d.hasOpen(info) {
		return nil
	}
	file := path
	if leads, err := filepath.EvalSymlinks(path); err == nil { // the configuration may name a link: to another disk
		file = leads
	}
	f, err := store.Lock(file)
	if errors.Is(err, store.ErrInUse) {
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
	d.copyBeforeUpgrade(path)
	d.onStop("lock of "+path, func(context.Context) error {
		if d.givenUp {
			return nil // stateFiles has it still: nothing else closes it
		}
		d.stateFiles = slices.DeleteFunc(d.stateFiles, func(own stateFile) bool { return own.lock == f })
		return f.Close()
	})
	return nil
}

// hasOpen reports a file of state that this process has locked.
func (d *Daemon) hasOpen(info os.FileInfo) bool {
	return slices.ContainsFunc(d.stateFiles, func(own stateFile) bool { return os.SameFile(own.info, info) })
}

// copyTime is how long a copy may take: mail waits.
const copyTime = time.Minute

// copyBeforeUpgrade keeps a database beside its place as it is before this kanmon changes its schema: an older kanmon does not read what
// comes out of that. Without a copy kanmon starts all the same.
func (d *Daemon) copyBeforeUpgrade(path string) {
	ctx, cancel := context.WithTimeout(context.Background(), copyTime)
	defer cancel()
	have, err := store.Versions(ctx, path)
	if err != nil {
		return // whoever opens it says what is wrong
	}
	for part, version := range Schemas() {
		if have[part] == 0 || have[part] >= version {
			continue
		}
		kept := fmt.Sprintf("%s.before-%s-%d", path, part, version)
		if _, err := os.Lstat(kept); err == nil {
			continue
		}
		if err := backup.KeepDatabase(ctx, path, kept); err != nil {
			d.log.Warn("no copy of a database before its upgrade", "file", path, "error", err)
			continue
		}
		d.log.Info("a database is upgraded; as it was it is kept for an older kanmon", "file", path, "kept", kept, "part", part, "from", have[part], "to", version)
	}
}
