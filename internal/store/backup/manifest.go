package backup

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// format is of the archive. A reader refuses a later one.
const format = 1

const manifestName = "manifest.json"

// Kinds of what is saved.
const (
	Configuration = "configuration" // the file itself, and those that it names
	Database      = "database"      // of state
)

// An Item is a file that is to be saved.
type Item struct {
	Kind string
	Key  string // of the configuration, as "senders.file"; "" for the configuration itself
	Path string
}

// A Set is what is to be saved, and who does.
type Set struct {
	Items   []Item
	Program string // name and version
	Scratch string // folder for copies of databases; "": the system's
	Clock   func() time.Time
}

// A Manifest says what an archive has.
type Manifest struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`
	Host    string    `json:"host"`
	Program string    `json:"program"`
	Files   []File    `json:"files"`
}

// A File is one of an archive.
type File struct {
	Name    string         `json:"name"` // in the archive
	Kind    string         `json:"kind"`
	Keys    []string       `json:"keys,omitempty"` // of the configuration that name it
	Path    string         `json:"path"`
	Mode    os.FileMode    `json:"mode"`
	Owner   string         `json:"owner"`
	Group   string         `json:"group"`
	Octets  int64          `json:"octets"`
	SHA256  string         `json:"sha256"`
	Schemas map[string]int `json:"schemas,omitempty"` // of a database: versions by part
}

// filesOf returns what is to be saved, each file once.
func filesOf(items []Item) ([]File, error) {
	var all []File
	for _, item := range items {
		path, err := filepath.Abs(item.Path)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nameOf(item), err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %s is no file", nameOf(item), path)
		}
		if twice := seen(all, info); twice != nil {
			twice.Keys = append(twice.Keys, item.Key)
			continue
		}
		f := File{
			Name: fmt.Sprintf("%02d-%s", len(all)+1, filepath.Base(path)), Kind: item.Kind, Path: path, Mode: info.Mode().Perm(),
		}
		if item.Key != "" {
			f.Keys = []string{item.Key}
		}
		f.Owner, f.Group = ownerOf(info)
		all = append(all, f)
	}
	return all, nil
}

func nameOf(item Item) string {
	if item.Key == "" {
		return item.Kind
	}
	return item.Key
}

// seen returns the file that is the same one, by whatever name.
func seen(all []File, info os.FileInfo) *File {
	for i := range all {
		if other, err := os.Stat(all[i].Path); err == nil && os.SameFile(other, info) {
			return &all[i]
		}
	}
	return nil
}

// ownerOf returns names: numbers differ from host to host. Where there is none, the number has to do.
func ownerOf(info os.FileInfo) (owner, group string) {
	uid, gid := numbersOf(info)
	owner, group = strconv.Itoa(uid), strconv.Itoa(gid)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner, group
}

// numbersOf returns a file's user and group; -1 where they are not known.
func numbersOf(info os.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(stat.Uid), int(stat.Gid)
}

// idsOf returns the numbers that the names have here; -1 for one that is unknown here: the file keeps that of whoever restores it.
func (f *File) idsOf() (uid, gid int) {
	uid, gid = -1, -1
	if u, err := user.Lookup(f.Owner); err == nil {
		uid, _ = strconv.Atoi(u.Uid)
	} else if n, err := strconv.Atoi(f.Owner); err == nil {
		uid = n
	}
	if g, err := user.LookupGroup(f.Group); err == nil {
		gid, _ = strconv.Atoi(g.Gid)
	} else if n, err := strconv.Atoi(f.Group); err == nil {
		gid = n
	}
	return uid, gid
}
