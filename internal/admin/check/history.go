package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kanmon/internal/config"
)

// What history takes for an octet of the records: a tenth to a fourth, of what real ones look like.
const recordsPerOctet = 4

// history: what keeps it from being kept. Mail needs none of it.
func (c *checker) history() {
	h := &c.Config.History
	if !h.On {
		return
	}
	if len(h.Records) == 0 {
		c.find(historyWithoutRecords, "history", "kanmon writes no records to a file, so there is no history to be kept", "")
		return
	}
	const files = "the files of [history]"
	u, err := c.Host.FindUser(config.ViewUser)
	if err != nil {
		c.unchecked(files, fmt.Sprintf("there is no user %s, whom its services run as (systemd-sysusers makes it): %v", config.ViewUser, err))
		return
	}
	c.seeingAs(files, "its services run", u, func(u User) {
		for i, path := range h.Records {
			key := "history.records"
			if c.said(key) {
				key = fmt.Sprintf("%s[%d]", key, i)
			}
			c.historyReads(u, key, path)
		}
		c.historyWrites(u)
	})
	c.historyFits()
}

// historyReads: a file that is not there yet is waited for, if it can be read when it comes.
func (c *checker) historyReads(u User, key, path string) {
	f, err := os.Open(path)
	if err == nil {
		_ = f.Close()
		return
	}
	closed := closedFolder(path)
	if errors.Is(err, fs.ErrNotExist) && closed == "" {
		return
	}
	what, cure := path, fmt.Sprintf("chgrp kanmon %s && chmod g+r %s", path, path)
	if closed != "" {
		what, cure = fmt.Sprintf("%s, in the folder %s that is closed to it,", path, closed), fmt.Sprintf("chgrp kanmon %s && chmod g+rx %s", closed, closed)
	}
	c.find(historyUnreadable, key, fmt.Sprintf("%s cannot be read by user %s: %s", what, u.Name, errorOf(err)), fmt.Sprintf("usermod -a -G kanmon %s; %s", u.Name, cure))
}

func errorOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// historyWrites: the directory is there, or its services make it.
func (c *checker) historyWrites(u User) {
	const key = "history.directory"
	dir := c.Config.History.Directory
	cure := fmt.Sprintf("install -d -o %s -g %s -m 0750 %s", u.Name, u.Name, dir)
	if !underAny(dir, []string{config.ViewState}) {
		cure += fmt.Sprintf("; systemctl edit kanmon-history: [Service] ReadWritePaths=%s", dir)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && underAny(dir, []string{config.ViewState}):
	case err != nil:
		c.find(historyFolder, key, fmt.Sprintf("%s: %s", dir, errorOf(err)), cure)
	case !info.IsDir():
		c.find(historyFolder, key, dir+" is a file, and history is kept in a directory", "want another path")
	case unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS) != nil:
		c.find(historyFolder, key, fmt.Sprintf("%s cannot be written by user %s", dir, u.Name), fmt.Sprintf("chown -R %s %s", u.Name, dir))
	}
}

// historyFits: a day has room in what history may take, and that is on its disk.
func (c *checker) historyFits() {
	h := &c.Config.History
	if h.Size == 0 {
		return
	}
	var largest int64
	for _, path := range h.Records {
		largest = max(largest, largestBeside(path))
	}
	if day := largest / recordsPerOctet; day > int64(h.Size) {
		c.find(historySmall, "history.size", fmt.Sprintf("%d MiB are to be enough, and a day takes about %d here: the records of one have %d MiB", h.Size>>20, day>>20, largest>>20),
			fmt.Sprintf("size = %q, or more", fmt.Sprintf("%dGiB", (8*day)>>30+1)))
	}
	var disk unix.Statfs_t
	if h.Database != "" || unix.Statfs(nearest(h.Directory), &disk) != nil {
		return // another host's disk, or told of the directory
	}
	if all := int64(disk.Blocks) * int64(disk.Bsize); int64(h.Size) > all { //nolint:unconvert // on other machines it is no int64
		c.find(historyDisk, "history.size", fmt.Sprintf("%d MiB are more than the whole disk of %s has, %d MiB", h.Size>>20, h.Directory, all>>20), "")
	}
}

// largestBeside is how large the largest plain file of records is, that they go to or that a rotation has left: of a day, as kanmon is shipped.
func largestBeside(path string) (largest int64) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		rest, is := strings.CutPrefix(e.Name(), filepath.Base(path))
		if !is || strings.Contains(rest, "z") { // it is compressed: .gz, .zst, .xz
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			largest = max(largest, info.Size())
		}
	}
	return largest
}

// nearest is a folder, or the one above it that is there.
func nearest(dir string) string {
	for _, err := os.Stat(dir); err != nil && dir != "/"; _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}
