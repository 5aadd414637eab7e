package follow

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"kanmon/internal/event"
)

// A file is one of those that the records went to: the one that they go to now, or one that a rotation has put beside it.
type file struct {
	path   string
	live   bool // it is the one at the path itself
	stamp  stamp
	plain  bool
	broken bool   // it cannot be read
	first  []byte // its first octets, uncompressed
	from   int64  // what has been read of it
	newest bool   // of those that were moved and are not read to their end

	gateway, run string // of its first record
	line         uint64
	at           time.Time
}

// rotated is what a rotation puts behind a name, or before its ending: -20261129, .1, -20261129-1764374400, .old.
var rotated = regexp.MustCompile(`^[-.~][0-9A-Za-z][0-9A-Za-z:.~_-]*$`)

// isBeside reports whether a name can be that of a file that the one of another name was once.
func isBeside(name, of string) bool {
	plain := name
	if ext := filepath.Ext(name); slices.Contains(compressed, ext) || slices.Contains(unreadable, ext) {
		plain = strings.TrimSuffix(name, ext)
	}
	if plain == of {
		return name != of
	}
	if rest, ok := strings.CutPrefix(plain, of); ok {
		return rotated.MatchString(rest)
	}
	ending := filepath.Ext(of)
	rest, begins := strings.CutPrefix(plain, strings.TrimSuffix(of, ending))
	rest, ends := strings.CutSuffix(rest, ending)
	return ending != "" && begins && ends && rotated.MatchString(rest)
}

// look finds what there is to read, in the order in which it was written: what has been read to its end is left out. What cannot be read
// is told and left out, unless it is the file of the path.
func (f *Follower) look() (list []*file, err error) {
	all, err := f.beside()
	if err == nil && f.place.at.size > 0 && !isAmong(f.place.at, all) {
		if all, err = f.beside(); err == nil && !isAmong(f.place.at, all) { // what is moved while a folder is listed is seen in neither place
			f.teller.once("the file that was read last is gone", "what else was written to it is not in history, unless somebody imports it", "octets", f.place.offset)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(f.place.done) > keptDone {
		f.place.done = slices.DeleteFunc(f.place.done, func(h head) bool { return !isAmong(h, all) })
	}
	slices.SortStableFunc(all, func(a, b *file) int { return b.rank() - a.rank() })
	for _, one := range all {
		if f.wants(one, list) {
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, earlier)
	return list, nil
}

// beside gives all files that the records went to and that can be read.
func (f *Follower) beside() (all []*file, err error) {
	dir, name := filepath.Split(f.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]*file{}
	for _, e := range entries {
		if e.Name() != name && !isBeside(e.Name(), name) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() && path != f.Path {
			continue // moved meanwhile: whoever looks again finds it
		}
		one := f.seen[path]
		if one == nil || one.stamp != stampOf(info) {
			one, err = inspect(path, path == f.Path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil && path == f.Path:
			return nil, err
		case err != nil:
			one = &file{path: path, stamp: stampOf(info), broken: true}
			f.teller.once("a file is passed over", err.Error(), "file", path)
		}
		seen[path] = one
		if !one.broken && (one.live || len(one.first) > 0) {
			all = append(all, one)
		}
	}
	f.seen = seen
	return all, nil
}

// A stamp tells whether a file is the one that it was, and nobody has written to it since.
type stamp struct {
	inode uint64
	size  int64
	at    time.Time
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), at: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

func isAmong(h head, all []*file) bool {
	return slices.ContainsFunc(all, func(one *file) bool { return h.is(one.first) })
}

// rank says which of several files of one content is best to be read.
func (f *file) rank() int {
	switch {
	case f.live:
		return 2
	case f.plain:
		return 1
	}
	return 0
}

// wants reports whether something in a file is to be read, and from where on.
func (f *Follower) wants(one *file, chosen []*file) bool {
	one.from = 0
	switch {
	case f.place.at.is(one.first) && (!one.plain || one.stamp.size >= f.place.offset):
		one.from = f.place.offset
	case f.place.at.is(one.first) && !one.live:
		return false // a copy that was made before
	case f.place.isDone(one.first) && !one.live:
		return false
	}
	return one.live || !slices.ContainsFunc(chosen, func(other *file) bool { return len(other.first) > 0 && headOf(other.first).is(one.first) })
}

// earlier compares files by their first record. The one at the path is the last.
func earlier(a, b *file) int {
	switch {
	case a.live != b.live:
		if a.live {
			return 1
		}
		return -1
	case a.run != "" && a.gateway == b.gateway && a.run == b.run && a.line != b.line:
		if a.line < b.line {
			return -1
		}
		return 1
	}
	return a.at.Compare(b.at)
}

// inspect reads the beginning of a file.
func inspect(path string, live bool) (*file, error) {
	t, err := openText(path)
	if errors.Is(err, io.EOF) {
		return &file{path: path}, nil // compressed, and nothing in it yet
	}
	if err != nil {
		return nil, err
	}
	defer t.close()
	info, err := t.file.Stat()
	if err != nil {
		return nil, err
	}
	one := &file{path: path, live: live, stamp: stampOf(info), plain: t.unzip == nil, at: info.ModTime()}
	one.first, err = t.in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	one.first = bytes.Clone(one.first)
	for range 100 { // a killed kanmon may have left half a line
		line, err := t.next()
		if err != nil && !errors.Is(err, errTooLong) {
			break
		}
		if e, err := event.ParseEntry(line); err == nil {
			one.gateway, one.run, one.line, one.at = e.Gateway, e.Run, e.Line, e.At
			break
		}
	}
	return one, nil
}
