package check

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/config"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/store"
)

// What kanmon does with a file.
type use uint8

const (
	reads  use = iota
	writes     // and makes it if it is missing
	keeps      // likewise, and other files beside it: SQLite
	binds      // a socket, which it makes
)

// A need is a file that the configuration names.
type need struct {
	key, path string
	use       use
}

// needs are all files that a start opens.
func needs(cfg *config.Config) (list []need) {
	for _, plan := range cfg.PlanFiles() {
		list = append(list, need{plan.Key, plan.Path, reads})
	}
	if p := &cfg.TLSPolicy; p.On {
		list = append(list, need{"tls_policy.roots", p.Roots, reads}, need{"tls_policy.store", p.Store, keeps})
		list = slices.DeleteFunc(list, func(n need) bool { return n.path == "" })
	}
	for _, n := range []need{
		{"providers_file", cfg.ProvidersFile, reads},
		{"classification.rules", cfg.Classification.Rules, reads},
		{"tls.msa_certificate", cfg.TLS.MSACertificate, reads},
		{"tls.msa_key", cfg.TLS.MSAKey, reads},
		{"journal.hash_key_file", cfg.Journal.HashKeyFile, reads},
		{"journal.records", cfg.Journal.Records, writes},
		{"journal.session_log", cfg.Journal.SessionLog, writes},
		{"standing.file", cfg.Standing.File, keeps},
		{"senders.file", cfg.Senders.File, keeps},
		{"admin.socket", cfg.Admin.Socket, binds},
	} {
		if n.path != "" && (n.path != "-" || n.use != writes) {
			list = append(list, n)
		}
	}
	return list
}

// files: what kanmon's user cannot open, kanmon cannot. Root's eyes see nothing of that.
func (c *checker) files() {
	c.seeing(func(u User) {
		if c.isItsOwn(c.Config.File()) {
			c.readable(u, need{"the configuration", c.Config.File(), reads})
		}
		before := []need{{"the configuration", c.Config.File(), reads}}
		for _, n := range needs(c.Config) {
			other := n.among(before)
			before = append(before, n)
			switch {
			case c.hidden(n):
			case other != "":
				c.find(pathWrong, n.key, fmt.Sprintf("%s is the file of %s, too: what is written there would leave neither to be read", n.path, other), "want another path")
			case n.use != keeps && c.Host.inUse(n.path):
				c.find(pathWrong, n.key, n.path+" is a database of kanmon's state", "want another path")
			case n.use == reads:
				if c.readable(u, n) {
					c.content(n)
				}
			default:
				c.makeable(u, n)
			}
		}
	})
}

// among returns what else a file that kanmon writes to is for; "": nothing. The databases of state may be one.
func (n need) among(list []need) string {
	info, err := os.Stat(n.path)
	if err != nil || !info.Mode().IsRegular() || n.use == reads {
		return ""
	}
	for _, other := range list {
		if both, err := os.Stat(other.path); err == nil && os.SameFile(info, both) && (n.use != keeps || other.use != keeps) {
			return other.key
		}
	}
	return ""
}

// isItsOwn reports whether a configuration is that of the service: an operator's draft need not be readable for it.
func (c *checker) isItsOwn(file string) bool {
	switch {
	case c.Host.Service == nil: // this process is the service, and has read it
		return false
	case c.Host.As != nil:
		return true
	case c.service != nil && c.service.Config != "":
		return file == c.service.Config
	default:
		return file == config.DefaultPath
	}
}

func (c *checker) readable(u User, n need) bool {
	f, err := os.Open(n.path)
	if err == nil {
		info, statErr := f.Stat()
		_ = f.Close()
		if statErr != nil || !info.IsDir() {
			return true
		}
		c.find(pathWrong, n.key, n.path+" is a directory", "want the path of a file in it")
		return false
	}
	if errors.Is(err, fs.ErrPermission) {
		what, cure := n.path, fmt.Sprintf("chgrp %s %s && chmod g+r %s", u.Name, n.path, n.path)
		if folder := closedFolder(n.path); folder != "" {
			what, cure = fmt.Sprintf("%s, in the folder %s that is closed to it,", n.path, folder), fmt.Sprintf("chgrp %s %s && chmod g+x %s", u.Name, folder, folder)
		}
		c.find(fileUnreadable, n.key, fmt.Sprintf("%s cannot be read by user %s", what, u.Name), cure)
		return false
	}
	c.find(fileMissing, n.key, config.CauseOf(err, n.path), "")
	return false
}

// closedFolder returns the topmost folder on the way to a file that cannot be entered; "": all can.
func closedFolder(path string) string {
	for at := 1; at < len(path); at++ {
		if path[at] == '/' && unix.Faccessat(unix.AT_FDCWD, path[:at], unix.X_OK, unix.AT_EACCESS) != nil {
			return path[:at]
		}
	}
	return ""
}

// content judges what stands in a file.
func (c *checker) content(n need) {
	switch n.key {
	case "classification.rules":
		text, err := os.ReadFile(n.path)
		if err == nil {
			_, err = classify.Parse(n.path, text)
		}
		if err != nil {
			c.find(rulesFileWrong, n.key, err.Error(), "")
		}
	case "journal.hash_key_file":
		if info, err := os.Stat(n.path); err == nil && info.Size() < minHashKey {
			c.find(hashKeyShort, n.key, fmt.Sprintf("%s has %d octets, want at least %d", n.path, info.Size(), minHashKey), "head -c 32 /dev/urandom > "+n.path)
		}
	case "tls.msa_key":
		c.certificate()
	}
}

const minHashKey = 16

// certificate: both files are there.
func (c *checker) certificate() {
	t := &c.Config.TLS
	if c.Host.inUse(t.MSACertificate) {
		return // told of the file
	}
	pair, err := tls.LoadX509KeyPair(t.MSACertificate, t.MSAKey)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return // told of the file
	}
	if err != nil {
		c.find(certificateWrong, "tls.msa_certificate", fmt.Sprintf("%s and %s are no certificate with its key: %s", t.MSACertificate, t.MSAKey, strings.TrimPrefix(err.Error(), "tls: ")), "")
		return
	}
	now := c.Host.now()
	switch {
	case now.After(pair.Leaf.NotAfter):
		c.find(certificateExpired, "tls.msa_certificate", fmt.Sprintf("%s expired on %s", t.MSACertificate, pair.Leaf.NotAfter.UTC().Format(time.DateOnly)), "")
	case now.Before(pair.Leaf.NotBefore):
		c.find(certificateEarly, "tls.msa_certificate", fmt.Sprintf("%s is not valid before %s", t.MSACertificate, pair.Leaf.NotBefore.UTC().Format(time.DateTime)), "")
	}
}

// makeable judges a path that may not exist yet, without making it.
func (c *checker) makeable(u User, n need) {
	info, err := os.Lstat(n.path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 && n.use != binds {
		info, err = os.Stat(n.path)
	}
	folder := filepath.Dir(n.path)
	switch {
	case err == nil && info.IsDir():
		c.find(pathWrong, n.key, n.path+" is a directory", "want the path of a file in it")
		return
	case err == nil && n.use == binds && info.Mode().Type() != fs.ModeSocket:
		c.find(pathWrong, n.key, n.path+" is a file that is no socket", "remove it, or want another path")
		return
	case err == nil && n.use != binds && unix.Faccessat(unix.AT_FDCWD, n.path, unix.W_OK, unix.AT_EACCESS) != nil:
		c.find(notWritable, n.key, fmt.Sprintf("%s cannot be written by user %s", n.path, u.Name), fmt.Sprintf("chown %s %s", u.Name, n.path))
		return
	case err == nil && n.use == keeps && !c.Host.inUse(n.path) && !isDatabase(n.path):
		c.find(stateWrong, n.key, n.path+" is no SQLite file", "")
		return
	case err == nil && n.use == keeps && info.Mode().IsRegular() && info.Size() == 0:
		c.find(stateWrong, n.key, n.path+" has 0 octets, and none that kanmon makes has: it was emptied", store.Remedy)
		return
	case err == nil && n.use == writes:
		return
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if !c.service.makes(folder) {
			c.find(folderMissing, n.key, config.CauseOf(err, folder), fmt.Sprintf("install -d -o %s -m 0750 %s", u.Name, folder))
		}
		return
	}
	if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		c.find(notWritable, n.key, fmt.Sprintf("%s cannot be written by user %s", folder, u.Name), fmt.Sprintf("chown %s %s", u.Name, folder))
	}
}

// isDatabase reports whether a file can be SQLite's: an empty one can. None that is in use may be asked for.
func isDatabase(path string) bool {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return true // told of its permissions
	}
	defer func() { _ = f.Close() }()
	begin := make([]byte, len(magic))
	n, err := io.ReadFull(f, begin)
	return n == 0 && errors.Is(err, io.EOF) || string(begin) == magic
}

// hidden reports a file that the unit's sandbox keeps away from kanmon, whatever its permissions say.
func (c *checker) hidden(n need) bool {
	s := c.service
	switch {
	case s == nil:
		return false
	case s.HidesHome && underAny(n.path, []string{"/home", "/root", "/run/user"}):
		c.find(sandboxForbids, n.key, fmt.Sprintf("%s hides %s from kanmon (ProtectHome)", s.Unit, n.path), "want a path outside of /home, /root and /run/user, such as one in /etc/kanmon")
	case n.use != reads && s.ReadOnly && !underAny(n.path, append(s.Folders(), s.ReadWrite...)):
		c.find(sandboxForbids, n.key, fmt.Sprintf("%s lets kanmon write only in %s (ProtectSystem), not at %s", s.Unit, strings.Join(s.Folders(), ", "), n.path),
			fmt.Sprintf("systemctl edit kanmon: [Service] ReadWritePaths=%s, or want a path in one of these", filepath.Dir(n.path)))
	default:
		return false
	}
	return true
}

func underAny(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") })
}
