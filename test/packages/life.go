package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Files whose coming and going is watched.
const (
	program    = "/usr/bin/kanmon"
	settings   = "/etc/kanmon/kanmon.toml"
	rotation   = "/etc/logrotate.d/kanmon"
	state      = "/var/lib/kanmon"
	records    = "/var/log/kanmon"
	enabled    = "/etc/systemd/system/multi-user.target.wants/kanmon.service"
	guarded    = "/etc/systemd/system/multi-user.target.wants/kanmon-rules.service"
	bySource   = "/usr/local/lib/systemd/system/kanmon.service"
	bySocket   = "/etc/systemd/system/sockets.target.wants/kanmon.socket"
	certifies  = "/etc/kanmon/msa.key"
	remembered = "/var/lib/kanmon-rules/rules.json"
)

// An act is what is done to a host, and what must be true behind it.
type act struct {
	name  string
	do    func() (said string, err error)
	judge func(said string) error
}

func live(acts []act) error {
	for _, a := range acts {
		said, err := a.do()
		if err == nil && a.judge != nil {
			err = a.judge(said)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// debLife takes a host through installation, upgrade, removal, installation anew and purge.
func (b *bench) debLife() (string, error) {
	h, err := b.newHost("debian")
	if err != nil {
		return "", err
	}
	defer h.close()
	pack := map[string]string{}
	for _, version := range []string{older, newer} {
		path, err := b.packageOf(version, "deb", b.arch())
		if err != nil {
			return "", err
		}
		if pack[version], err = h.bring(path); err != nil {
			return "", err
		}
	}
	dpkg := func(args ...string) func() (string, error) {
		return func() (string, error) { return h.run(append([]string{"dpkg"}, args...)...) }
	}
	return "installed, upgraded, removed, installed anew, purged", live([]act{
		{"installation", dpkg("--install", pack[older]), h.fresh},
		{"an operator's changes", h.configure, nil},
		{"upgrade", dpkg("--install", pack[newer]), func(said string) error {
			if !strings.Contains(said, bySource+" hides the package's unit") {
				return fmt.Errorf("it does not say that a unit is hidden: %s", said)
			}
			return h.upgraded()
		}},
		{"removal where the rules stay", h.removeInVain(dpkg("--remove", "kanmon")), func(said string) error {
			if !strings.Contains(said, "cannot be removed") {
				return fmt.Errorf("it does not say why the package stays: %s", said)
			}
			return h.is("+"+program, "+"+enabled, "+"+settings)
		}},
		{"removal", dpkg("--remove", "kanmon"), h.removed},
		{"installation anew", dpkg("--install", pack[newer]), func(string) error {
			return h.is("+"+enabled, "-"+guarded, "+"+settings)
		}},
		{"purge", dpkg("--purge", "kanmon"), h.purged},
	})
}

// rpmLife is the same for rpm, which knows no purge, in a Debian that has the programs that the scripts run.
func (b *bench) rpmLife() (string, error) {
	h, err := b.newHost("rpm")
	if err != nil {
		return "", err
	}
	defer h.close()
	pack := map[string]string{}
	for _, version := range []string{older, newer} {
		if pack[version], err = b.packageOf(version, "rpm", rpmArch[b.arch()]); err != nil {
			return "", err
		}
	}
	// dpkg's helper is not there on a host of rpm's.
	if err := os.Remove(h.path("/usr/bin/deb-systemd-helper")); err != nil {
		return "", err
	}
	rpm := func(args ...string) func() (string, error) {
		// What it needs is installed, but no rpm knows of it; and Debian's rpm asks whether it is meant.
		command := append([]string{"sh", "-c", `exec "$@" 2>&1`, "rpm", "rpm", "--root", h.root, "--nodeps", "--force-debian"}, args...)
		return func() (string, error) { return b.output(command...) }
	}
	return "installed, upgraded, erased", live([]act{
		{"installation", rpm("--install", pack[older]), h.fresh},
		{"an operator's changes", h.configure, nil},
		{"upgrade", rpm("--upgrade", pack[newer]), func(string) error { return h.upgraded() }},
		{"removal", rpm("--erase", "kanmon"), h.removed},
	})
}

// fresh judges a host that has the package, and that nobody has configured.
func (h *host) fresh(said string) error {
	if err := h.is("+"+program, "-"+settings, "+"+rotation, "+"+state, "+"+records, "+"+enabled, "+"+guarded, "-"+bySocket); err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	if !strings.Contains(said, "not configured: nothing runs, no mail is touched") {
		return fmt.Errorf("an installation does not say what is next: %s", said)
	}
	owners, err := h.run("stat", "--format", "%U:%G %a", "/etc/kanmon", state, records)
	if want := "root:kanmon 750\nkanmon:kanmon 750\nkanmon:kanmon 750\n"; err != nil || owners != want {
		return fmt.Errorf("owners of the folders: %s, %w, want %s", owners, err, want)
	}
	version, err := h.run("kanmon", "version")
	if err != nil || !strings.HasPrefix(version, "kanmon "+older+",") {
		return fmt.Errorf("kanmon version says %q, %w", version, err)
	}
	_, err = h.run("systemd-analyze", "verify", "--man=no", "kanmon.service", "kanmon.socket", "kanmon-rules.service", "kanmon-history.service", "kanmon-view.service")
	return err
}

// mine is what a person has written, each in its place.
var mine = map[string]string{
	settings:             "[intercept]\nsources = [\"192.0.2.0/24\"]\n",
	rotation:             "# a year is what the law says here\n",
	certifies:            "a key",
	state + "/standing":  "learnt",
	records + "/records": "written",
	remembered:           "what was in force",
	bySource:             "[Service]\n",
}

// configure does what people do, and kanmon.
func (h *host) configure() (string, error) {
	for path, content := range mine {
		if err := h.write(path, content); err != nil {
			return "", err
		}
	}
	if said, err := h.run("systemctl", "enable", "kanmon.socket"); err != nil {
		return said, err
	}
	return h.run("systemctl", "disable", "kanmon-rules.service")
}

// upgraded judges a host with the newer version: what people have changed is as they have left it.
func (h *host) upgraded() error {
	version, err := h.run("kanmon", "version")
	if err != nil || !strings.HasPrefix(version, "kanmon "+newer+",") {
		return fmt.Errorf("kanmon version says %q, %w", version, err)
	}
	for path, content := range mine {
		got, err := os.ReadFile(h.path(path))
		if err != nil || string(got) != content {
			return fmt.Errorf("%s holds %q, %w", path, got, err)
		}
	}
	return h.is("+"+enabled, "-"+guarded, "+"+bySocket, "-"+rotation+".rpmnew", "-"+rotation+".dpkg-new")
}

// removeInVain tries a removal where the rules are in force, and nft does not remove them: without kanmon all mail would be refused.
func (h *host) removeInVain(remove func() (string, error)) func() (string, error) {
	const nft = "/usr/sbin/nft"
	return func() (said string, err error) {
		if err := os.Rename(h.path(nft), h.path(nft+".real")); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, os.Rename(h.path(nft+".real"), h.path(nft))) }()
		if err := os.WriteFile(h.path(nft), []byte("#!/bin/sh\n[ \"$1\" = list ]\n"), 0o755); err != nil {
			return "", err
		}
		said, err = remove()
		if err == nil {
			return "", errors.New("the package is removed, and the rules are not")
		}
		return said, nil
	}
}

func (h *host) removed(said string) error {
	if !strings.Contains(said, "these stay: /etc/kanmon") {
		return fmt.Errorf("it does not say what stays: %s", said)
	}
	return h.is("-"+program, "-/usr/lib/systemd/system/kanmon.service", "+"+settings, "+"+state, "+"+records)
}

func (h *host) purged(said string) error {
	if !strings.Contains(said, "left, because others have made them: "+certifies) {
		return fmt.Errorf("it does not say what it leaves: %s", said)
	}
	if err := os.Remove(h.path(bySource)); err != nil { // a person's, as the key is
		return err
	}
	left, err := h.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*kanmon*", "-not", "-path", "/etc/kanmon")
	if err != nil || left != "" {
		return fmt.Errorf("it has left: %s, %w", left, err)
	}
	return h.is("+" + certifies)
}
