package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoTools is returned when a program that the lab runs is missing.
var ErrNoTools = errors.New("run `make test` or `make demo` once, or test/setup/install.sh, as root")

// Tools is a folder of programs that setup unpacked for the lab without installing them.
type Tools struct {
	root string
}

// FindTools gives the tools of a group of test/setup/install.sh: "lab", "dns" or "bench".
func FindTools(group string) (*Tools, error) {
	root := filepath.Join(cacheDir(), group)
	if _, err := os.Stat(filepath.Join(root, "usr")); err != nil {
		return nil, fmt.Errorf("tools %q are not unpacked in %s: %w", group, root, ErrNoTools)
	}
	return &Tools{root: root}, nil
}

// Debian gives the folder of a Debian 12 with systemd that test/setup/install.sh has made, not to be written to.
func Debian() (string, error) {
	root := filepath.Join(cacheDir(), "debian12")
	if _, err := os.Stat(filepath.Join(root, "made-of")); err != nil {
		return "", fmt.Errorf("there is no Debian 12: run test/setup/install.sh systemd, as root: %w", err)
	}
	return root, nil
}

func cacheDir() string {
	if dir := os.Getenv("KANMON_TEST_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "kanmon-test")
	}
	return "/var/cache/kanmon-test"
}

// Path gives the path of a program under /usr/sbin of the packages, such as "smtp-sink", or else under /usr/bin.
func (t *Tools) Path(program string) string {
	path := filepath.Join(t.root, "usr/sbin", program)
	if _, err := os.Stat(path); err != nil {
		return filepath.Join(t.root, "usr/bin", program)
	}
	return path
}

// Libraries is the value of LD_LIBRARY_PATH that the programs need.
func (t *Tools) Libraries() string {
	dirs := []string{filepath.Join(t.root, "usr/lib/postfix")}
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(t.root, pattern))
		dirs = append(dirs, found...)
	}
	return strings.Join(dirs, ":")
}

// Env is the environment the programs need besides the caller's own.
func (t *Tools) Env() []string { return []string{"LD_LIBRARY_PATH=" + t.Libraries()} }

// checkTools says what is missing, before anything is started.
func checkTools() error {
	if _, err := FindTools("lab"); err != nil {
		return err
	}
	for _, program := range []string{"ip", "nft", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %w", err, ErrNoTools)
		}
	}
	return nil
}
