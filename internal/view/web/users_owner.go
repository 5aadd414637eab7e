package web

import (
	"os"
	"path/filepath"
	"syscall"
)

// likeOld gives a file the owner and the mode that the one before has. A new one is its directory's group's to read: that of kanmon, where
// it lies in /etc/kanmon.
func likeOld(f *os.File, old string) error {
	mode := os.FileMode(0o640)
	info, err := os.Stat(old)
	if err == nil {
		mode = info.Mode().Perm()
	} else if info, err = os.Stat(filepath.Dir(old)); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if stat, is := info.Sys().(*syscall.Stat_t); is && os.Geteuid() == 0 {
		return f.Chown(int(stat.Uid), int(stat.Gid))
	}
	return nil
}
