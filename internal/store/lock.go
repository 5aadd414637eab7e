package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A file of state belongs to one process: what two of them keep in one file, neither obeys. The lock is on the file itself, whatever
// name leads to it, and the kernel gives it back when the process ends, however it does. SQLite's own locks (fcntl(2)) are of another
// kind: they last for a transaction, and do not see this one (flock(2)).

// ErrInUse is what [Lock] returns while another process has the file.
var ErrInUse = errors.New("another kanmon has it")

// ErrLink is what [Lock] returns for a symbolic link: who may make one in the folder of a file does not choose what root opens.
var ErrLink = errors.New("it is a symbolic link: name the file that it leads to, or put that in its place")

// Lock makes a file this process's own for as long as what it gives is open, and makes the file if there is none. A descriptor of a
// database must not be closed while SQLite has it open in this process: the process's fcntl locks would go with it.
func Lock(path string) (*os.File, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, ErrLink
	}
	if err != nil {
		return nil, errors.Unwrap(err) // who calls has named the path
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w%s", ErrInUse, holderOf(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// holderOf names the process that has the lock of a file, as far as the kernel shows it (proc(5), /proc/locks); else "".
func holderOf(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
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
