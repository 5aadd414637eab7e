package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kanmon/test/netlab"
)

// A host is a Debian 12 to try a package in: the one of test/setup/install.sh, and over it what is written here. systemd does not run in
// it, and it has no network.
type host struct {
	b    *bench
	root string
}

func (b *bench) newHost(name string) (*host, error) {
	lower, err := netlab.Debian()
	if err != nil {
		return nil, err
	}
	h := &host{b, filepath.Join(b.dir, name)}
	layers := h.root + ".layers"
	if err := os.Mkdir(layers, 0o755); err != nil {
		return nil, err
	}
	// An overlay cannot lie on another one, which the folder for temporary files may be.
	if err := syscall.Mount("tmpfs", layers, "tmpfs", 0, "mode=0755"); err != nil {
		return nil, err
	}
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	for _, dir := range []string{h.root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := syscall.Mount("overlay", h.root, "overlay", 0, options); err != nil {
		return nil, fmt.Errorf("lay over %s: %w", lower, err)
	}
	return h, syscall.Mount("proc", h.path("/proc"), "proc", 0, "")
}

func (h *host) close() {
	_ = syscall.Unmount(h.root, syscall.MNT_DETACH)
	_ = syscall.Unmount(h.root+".layers", syscall.MNT_DETACH)
}

func (h *host) path(file string) string { return filepath.Join(h.root, file) }

// run runs a command in the host and gives all that it says.
func (h *host) run(command ...string) (string, error) {
	clean := []string{"/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"}
	cmd := h.b.command(append(clean, command...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr.Chroot, cmd.SysProcAttr.Cloneflags = h.root, syscall.CLONE_NEWNET
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return string(out), err
}

// bring copies a file into the host's /root.
func (h *host) bring(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	inside := filepath.Join("/root", filepath.Base(path))
	return inside, os.WriteFile(h.path(inside), content, 0o644)
}

func (h *host) write(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(h.path(file)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(h.path(file), []byte(content), 0o640)
}

// is checks files of the host: "+/path" must be there, "-/path" must not.
func (h *host) is(files ...string) error {
	for _, f := range files {
		_, err := os.Lstat(h.path(f[1:]))
		if there, want := err == nil, f[0] == '+'; there != want {
			return fmt.Errorf("%s is there: %v, want %v", f[1:], there, want)
		}
	}
	return nil
}
