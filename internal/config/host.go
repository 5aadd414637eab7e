package config

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Host answers what [Host.Check] asks about the machine. The zero value asks this one; tests set fields.
type Host struct {
	Proc       string                       // "": "/proc"
	Addresses  func() ([]net.Addr, error)   // nil: net.InterfaceAddrs
	Interface  func(name string) error      // no error if the host has it; nil: net.InterfaceByName
	FileLimit  func() (uint64, error)       // hard limit of open files; nil: RLIMIT_NOFILE
	LookPath   func(string) (string, error) // nil: exec.LookPath
	LookupUser func(string) error           // by name or number; nil: package user
	Access     func(path string) error      // may this process write there; nil: access(2)
	Now        func() time.Time             // nil: time.Now

	SocketsGiven bool // systemd opens the listeners
}

func (h *Host) addresses() (map[netip.Addr]bool, error) {
	list := h.Addresses
	if list == nil {
		list = net.InterfaceAddrs
	}
	addrs, err := list()
	if err != nil {
		return nil, err
	}
	set := map[netip.Addr]bool{}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				set[addr.Unmap()] = true
			}
		}
	}
	return set, nil
}

func (h *Host) hasInterface(name string) bool {
	if h.Interface != nil {
		return h.Interface(name) == nil
	}
	_, err := net.InterfaceByName(name)
	return err == nil
}

// fileLimit is the hard limit: the Go runtime raises the soft one to it at start.
func (h *Host) fileLimit() (uint64, error) {
	if h.FileLimit != nil {
		return h.FileLimit()
	}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Max, err
}

func (h *Host) lookPath(program string) error {
	look := h.LookPath
	if look == nil {
		look = exec.LookPath
	}
	_, err := look(program)
	return err
}

func (h *Host) lookupUser(name string) error {
	if h.LookupUser != nil {
		return h.LookupUser(name)
	}
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return nil // a number needs no entry
	}
	_, err := user.Lookup(name)
	return err
}

func (h *Host) access(path string) error {
	if h.Access != nil {
		return h.Access(path)
	}
	return unix.Access(path, unix.W_OK)
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
	status, err := os.ReadFile(h.proc("self/status"))
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

// sysctl gives a setting of the kernel, which older kernels and some namespaces lack.
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

// sysctls gives the settings that a pattern names.
func (h *Host) sysctls(pattern string) []string {
	root := h.proc("sys")
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		return nil
	}
	for i := range files {
		files[i] = strings.TrimPrefix(files[i], root+"/")
	}
	return files
}
