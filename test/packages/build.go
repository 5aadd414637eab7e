package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Versions of the trial: an older one to begin with, and the one to upgrade to.
const (
	older = "1.2.3"
	newer = "1.2.4"
)

// arches are what packages are made for.
var arches = []string{"amd64", "arm64"}

// packages gives the folder of a version's packages.
func (b *bench) packages(version string) string { return filepath.Join(b.made, version) }

// packageOf gives the path of a package; arch is as its format names it.
func (b *bench) packageOf(version, format, arch string) (string, error) {
	found, err := filepath.Glob(filepath.Join(b.packages(version), "kanmon*"+arch+"."+format))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("%s for %s of version %s: found %v", format, arch, version, found)
	}
	return found[0], nil
}

// build builds the newer version for all architectures, and the older one for this machine's.
func (b *bench) build() (string, error) {
	if err := b.buildIn(b.tree, b.packages(newer), newer, arches...); err != nil {
		return "", err
	}
	if err := b.buildIn(b.tree, b.packages(older), older, b.arch()); err != nil {
		return "", err
	}
	files, err := os.ReadDir(b.packages(newer))
	return fmt.Sprintf("%d files", len(files)), err
}

func (b *bench) buildIn(tree, out, version string, arch ...string) error {
	if _, err := os.Stat(filepath.Join(out, "SHA256SUMS")); err == nil {
		return nil
	}
	cmd := b.command("packaging/build.sh")
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "VERSION="+version, "OUT="+out, "ARCHES="+strings.Join(arch, " "))
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build.sh: %w\n%s", err, said)
	}
	return nil
}

func (b *bench) arch() string {
	out, err := b.output("dpkg", "--print-architecture")
	if err != nil {
		return arches[0]
	}
	return strings.TrimSpace(out)
}

// same builds once more, from another folder, at another time, in another zone and with other permissions by default, and compares.
func (b *bench) same() (string, error) {
	tree, out := filepath.Join(b.dir, "elsewhere", "kanmon"), filepath.Join(b.dir, "again")
	copying := fmt.Sprintf("mkdir -p %[2]q && tar -C %[1]q --exclude=./build -cf - . | tar -C %[2]q -xf -", b.tree, tree)
	if _, err := b.output("sh", "-c", copying); err != nil {
		return "", err
	}
	command := fmt.Sprintf("umask 077 && cd %q && TZ=Asia/Tokyo LC_ALL= LANG=C.UTF-8 GIT_OPTIONAL_LOCKS=0 VERSION=%s OUT=%q packaging/build.sh", tree, newer, out)
	if _, err := b.output("bash", "-c", command); err != nil {
		return "", err
	}
	first, err := os.ReadFile(filepath.Join(b.packages(newer), "SHA256SUMS"))
	if err != nil {
		return "", err
	}
	second, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first, second) {
		return "", fmt.Errorf("the same input gave other octets:\n%s\nand elsewhere:\n%s", first, second)
	}
	return fmt.Sprintf("%d files built twice, each with the same hash", bytes.Count(first, []byte("\n"))), nil
}

// command prepares a command that ends, with all that it has started, when this run does.
func (b *bench) command(command ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// output runs a command and gives what it prints; an error tells all that it said.
func (b *bench) output(command ...string) (string, error) {
	cmd := b.command(command...)
	var out, all bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(command, " "), err, out.String(), all.String())
	}
	return out.String(), nil
}
