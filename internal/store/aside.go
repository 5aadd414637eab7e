package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Damaged is what the name of a file that was set aside ends with.
const Damaged = ".damaged"

// SetAside gives a damaged file another name, so that its part can begin anew; what SQLite has beside it goes along. Of those that were set aside before, none
// stays: they would fill the disk of who has a bad one. It is for what nobody misses for long. What people have ordered is not: they decide about that file.
// Nobody may have the file open or locked.
func SetAside(path string) (where string, err error) {
	where = path + Damaged
	for _, beside := range [...]string{"-wal", "-shm", ""} { // the file itself last: whoever is ended between them does it again
		err := os.Rename(path+beside, where+beside)
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(where + beside)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", errors.Unwrap(err)
		}
	}
	return where, syncFolder(filepath.Dir(path))
}
