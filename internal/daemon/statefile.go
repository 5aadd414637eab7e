package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// A file of state belongs to one process: what two of them keep in one file, neither obeys. The lock is on the file itself, whatever
// name leads to it, and the kernel gives it back when the process ends, however it does. SQLite's own locks (fcntl(2)) are of another
// kind: they last for a transaction, and do not see this one (flock(2)).

// A stateFile is one that this process has locked.
type stateFile struct {
	info os.FileInfo
	lock *os.File
}

// errInUse is what lockState returns while another process has the file.
var errInUse = errors.New("another kanmon has it")

// lockState makes a file of state this process's own until Stop, and makes the file if there is none. Two parts may share a file.
func (d *Daemon) lockState(path string) error {
	// A descriptor of a database must not be closed while SQLite has it open: the process's fcntl locks would go with it. So this one is
	// opened before the database, once, and closed behind it; where that has been given up, which may write still, by the end of the process.
	if info, err := os.Stat(path); err == nil && slices.ContainsFunc(d.stateFiles, func(own stateFile) bool { return os.SameFile(own.info, info) }) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w%s: stop that one first, or give this one a file of its own", errInUse, holderOf(info))
		}
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

// holderOf names the process that has the lock of a file, as far as the kernel shows it (proc(5), /proc/locks); else "".
func holderOf(info os.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	inode := fmt.Appendf(nil, "%02x:%02x:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	for lines := bufio.NewScanner(bytes.NewReader(locks)); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:01:131084 0 EOF
		f := bytes.Fields(lines.Bytes())
		if len(f) > 5 && string(f[1]) == "FLOCK" && bytes.Equal(f[5], inode) {
			return fmt.Sprintf(", process %s", f[4])
		}
	}
	return ""
}
