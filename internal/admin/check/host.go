package check

import (
	"context"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/intercept"
	"kanmon/internal/outlet/host"
	"kanmon/internal/outlet/trust/dns"
)

// A Host answers what the checks ask about the machine. The zero value asks this one, as the process that runs kanmon; tests set fields.
type Host struct {
	Proc         string                                                // "": "/proc"
	Network      Network                                               // nil: the kernel's
	Look         func([]netip.Addr) (map[netip.Addr]host.State, error) // whether mail can leave from addresses; nil: host.Look, or not known if Network is set
	FileLimit    func() (uint64, error)                                // hard limit of open files of this process; nil: RLIMIT_NOFILE
	LookPath     func(string) (string, error)                          // nil: exec.LookPath
	LookupUser   func(name string) (*User, error)                      // by name or number; nil: package user
	Service      func(context.Context) (*Service, error)               // what systemd says of kanmon's unit; nil: this process is kanmon
	Ruleset      func(context.Context) ([]byte, error)                 // nft's list of all rules, as JSON; nil: nft
	InForce      func(context.Context) ([]Fault, error)                // what is wrong with kanmon's own rules; nil: not known
	LegacyTables func() []string                                       // of iptables-legacy that there are; nil: the kernel's list
	Kept         func() (*intercept.Keeper, *intercept.Report)         // what is remembered of kanmon's own rules; nil: intercept.Here
	Own          func() User                                           // the user of this process; nil: the kernel's word
	Root         func(server string) dns.Answer                        // what a DNS server says of the root; nil: it is asked
	Built        time.Time                                             // when this program was, at the earliest; the zero time: not known
	Now          func() time.Time                                      // nil: time.Now

	As           *User                     // whose eyes files are seen with; nil: those of the unit's user, else of this process
	SocketsGiven bool                      // systemd has opened the listeners
	Listens      func(netip.AddrPort) bool // reports that a listener is there already, of a kanmon that has died; nil: none is
	Serving      bool                      // kanmon runs: the listeners are its own

	// InUse reports the databases that this process has open; nil: none. It must not open and close such a file:
	// SQLite's locks on it would be gone. What it has open it has looked at.
	InUse func(fs.FileInfo) bool
}

// inUse reports whether a path leads to a database that this process has open.
func (h *Host) inUse(path string) bool {
	if h.InUse == nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && h.InUse(info)
}

func (h *Host) network() Network {
	if h.Network != nil {
		return h.Network
	}
	return kernel{}
}

func (h *Host) interfaces() ([]Interface, error) { return h.network().Interfaces() }

// fileLimit is the hard limit: the Go runtime raises the soft one to it at start.
func (h *Host) fileLimit() (uint64, error) {
	if h.FileLimit != nil {
		return h.FileLimit()
	}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err
}

// find looks for a program where the system's own are too: they are not in everybody's PATH.
func (h *Host) find(program string) (path string, err error) {
	look := h.LookPath
	if look == nil {
		look = exec.LookPath
	}
	path, err = look(program)
	for _, folder := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = look(filepath.Join(folder, program))
		}
	}
	return path, err
}

// FindUser returns a user by name or number.
func (h *Host) FindUser(name string) (*User, error) {
	if h.LookupUser != nil {
		return h.LookupUser(name)
	}
	u, err := user.Lookup(name)
	if id, bad := strconv.Atoi(name); bad == nil && err != nil {
		if u, err = user.LookupId(name); err != nil {
			return &User{Name: name, ID: id, Groups: []int{id}}, nil // a number needs no entry
		}
	}
	if err != nil {
		return nil, err
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	found := &User{Name: u.Username, ID: id}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, text := range append([]string{u.Gid}, ids...) {
		if gid, err := strconv.Atoi(text); err == nil && !slices.Contains(found.Groups, gid) {
			found.Groups = append(found.Groups, gid)
		}
	}
	return found, nil
}

func (h *Host) own() User {
	if h.Own != nil {
		return h.Own()
	}
	u := User{ID: os.Geteuid(), Groups: []int{os.Getegid()}}
	u.Name = "id " + strconv.Itoa(u.ID)
	if known, err := user.LookupId(strconv.Itoa(u.ID)); err == nil {
		u.Name = known.Username
	}
	return u
}

func (h *Host) kept() (*intercept.Keeper, *intercept.Report) {
	if h.Kept != nil {
		return h.Kept()
	}
	return intercept.Here()
}

func (h *Host) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Host) proc(path string) string {
	if h.Proc == "" {
		return filepath.Join("/proc", path)
	}
	return filepath.Join(h.Proc, path)
}

// capable reports whether the process has a capability in effect.
func (h *Host) capable(capability uint) bool {
	status, err := os.ReadFile(h.proc("thread-self/status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if mask, found := strings.CutPrefix(line, "CapEff:"); found {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && bits>>capability&1 == 1
		}
	}
	return false
}

// sysctl returns a setting of the kernel, which older kernels and some namespaces lack.
func (h *Host) sysctl(path string) (string, bool) {
	text, err := os.ReadFile(h.proc(filepath.Join("sys", path)))
	return strings.TrimSpace(string(text)), err == nil
}

func (h *Host) number(path string) (uint64, bool) {
	text, ok := h.sysctl(path)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// effective returns a setting of an interface for which the kernel takes the larger one of the interface's and of "all".
func (h *Host) effective(link, setting string) (n uint64, file string) {
	for _, name := range []string{"all", link} {
		path := "net/ipv4/conf/" + name + "/" + setting
		if value, ok := h.number(path); ok && (file == "" || value > n) {
			n, file = value, path
		}
	}
	return n, file
}

// has reports whether the host has an address.
func (c *checker) has(a netip.Addr) bool { return c.linkOf(a) != nil }

// linkOf returns the interface that has an address; nil: none has.
func (c *checker) linkOf(a netip.Addr) *Interface {
	for i := range c.links {
		if slices.ContainsFunc(c.links[i].Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return &c.links[i]
		}
	}
	return nil
}

// link returns an interface by its name; nil: there is none.
func (c *checker) link(name string) *Interface {
	i := slices.IndexFunc(c.links, func(l Interface) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &c.links[i]
}

// named returns the interfaces that a name of the configuration stands for: "msa*" for all that begin so.
func (c *checker) named(name string) (list []*Interface) {
	for i := range c.links {
		if intercept.Meets(name, c.links[i].Name) {
			list = append(list, &c.links[i])
		}
	}
	return list
}
