package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// shellcheck reads every script that packages bring or that makes them.
func (b *bench) shellcheck() (string, error) {
	scripts, err := filepath.Glob(filepath.Join(b.tree, "packaging", "*.sh"))
	if err != nil {
		return "", err
	}
	scripts = append(scripts, filepath.Join(b.tree, "dist/install.sh"))
	_, err = b.output(append([]string{"shellcheck"}, scripts...)...)
	return fmt.Sprintf("%d scripts", len(scripts)), err
}

// lintian lets Debian's own judge look at the packages. What is overridden, and why, stands in packaging/lintian-overrides.
func (b *bench) lintian() (string, error) {
	for _, arch := range arches {
		path, err := b.packageOf(newer, "deb", arch)
		if err != nil {
			return "", err
		}
		if _, err := b.output("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", path); err != nil {
			return "", err
		}
	}
	return "no error, no warning", nil
}

// rpmlint lets rpm's look. What it is not asked, and why, stands in packaging/rpmlint.toml.
func (b *bench) rpmlint() (string, error) {
	// It unpacks with cpio, which takes the names as they are: packages of nfpm's have absolute ones, and would be installed here.
	bin := filepath.Join(b.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(bin, "cpio"), []byte("#!/bin/sh\nexec /usr/bin/cpio --no-absolute-filenames \"$@\"\n"), 0o755); err != nil {
		return "", err
	}
	command := []string{"env", "PATH=" + bin + ":" + os.Getenv("PATH"), "rpmlint", "--config", filepath.Join(b.tree, "packaging/rpmlint.toml")}
	for _, arch := range arches {
		path, err := b.packageOf(newer, "rpm", rpmArch[arch])
		if err != nil {
			return "", err
		}
		command = append(command, path)
	}
	said, err := b.output(command...)
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return strings.Trim(lines[len(lines)-1], "= "), nil
}
