package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

const (
	fileMode   = 0o640 // who sends what for whom is not for everybody
	folderMode = 0o750
	newSuffix  = ".new"
	group      = "kanmon" // of the service, which must read the file
)

// Free says why a file cannot be written: it is there already, or its path is none for a service.
func Free(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and is not overwritten: name another file, such as %s", path, unused(path+newSuffix))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Aside moves what is at a path out of the way, and says where to; "" if there is nothing.
func Aside(path string) (string, error) {
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !there.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file that could be kept beside another: name another one", path)
	}
	old := unused(path + ".old")
	return old, os.Rename(path, old)
}

// unused returns a path at which nothing is: the given one, or it with a number.
func unused(path string) string {
	for n, free := 2, path; ; n++ {
		if _, err := os.Lstat(free); err != nil {
			return free
		}
		free = path + strconv.Itoa(n)
	}
}

// Write makes a file, where none is, that kanmon's group may read.
func Write(path, text string) error {
	folder := filepath.Dir(path)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(folder, folderMode); err != nil {
			return err
		}
		if err := give(folder); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close(), give(path))
}

// give lets the group of the service read a path, if there is one and this process may.
func give(path string) error {
	found, err := user.LookupGroup(group)
	if err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // the service is not installed: the file is for whoever runs kanmon
	}
	id, err := strconv.Atoi(found.Gid)
	if err != nil {
		return fmt.Errorf("group %s: %w", group, err)
	}
	return os.Chown(path, -1, id)
}
