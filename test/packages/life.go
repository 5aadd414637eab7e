package main

import (
	"fmt"
	"os"
	"path/filepath"
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
	bySocket   = "/etc/systemd/system/sockets.target.wants/kanmon.socket"
	certifies  = "/etc/kanmon/msa.key"
	remembered = "/var/lib/kanmon-rules/rules.json"
)

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
	said, err := h.run("dpkg", "--install", pack[older])
	if err != nil {
		return "", err
	}
	if err := h.fresh(said); err != nil {
		return "", err
	}
	if err := h.configure(); err != nil {
		return "", err
	}
	if _, err := h.run("systemctl", "disable", "kanmon-rules.service"); err != nil {
		return "", err
	}
	if _, err := h.run("dpkg", "--install", pack[newer]); err != nil {
		return "", err
	}
	if err := h.upgraded(); err != nil {
		return "", err
	}
	if err := h.is("upgrade, disabled by a person", "-"+guarded); err != nil {
		return "", err
	}
	if said, err = h.run("dpkg", "--remove", "kanmon"); err != nil {
		return "", err
	}
	if err := h.removed(said); err != nil {
		return "", err
	}
	if _, err := h.run("dpkg", "--install", pack[newer]); err != nil {
		return "", err
	}
	if err := h.is("installed anew", "+"+enabled, "-"+guarded, "+"+settings); err != nil {
		return "", err
	}
	if said, err = h.run("dpkg", "--purge", "kanmon"); err != nil {
		return "", err
	}
	if err := h.is("purge", "-"+program, "-"+settings, "-"+rotation, "-"+state, "-"+filepath.Dir(remembered), "-"+records, "-"+enabled, "+"+certifies); err != nil {
		return "", err
	}
	if !strings.Contains(said, "left, because others have made them: "+certifies) {
		return "", fmt.Errorf("purge does not say what it leaves: %s", said)
	}
	left, err := h.run("find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*kanmon*", "-not", "-path", "/etc/kanmon")
	if err != nil {
		return "", err
	}
	if left != "" {
		return "", fmt.Errorf("purge has left:\n%s", left)
	}
	return "installed, upgraded, removed, installed anew, purged", nil
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
	rpm := func(args ...string) (string, error) {
		// What it needs is installed, but no rpm knows of it. dpkg's helper is not there on a host of rpm's.
		return b.output(append([]string{"sh", "-c", `exec "$@" 2>&1`, "rpm", "rpm", "--root", h.root, "--nodeps", "--force-debian"}, args...)...)
	}
	if err := os.Remove(h.path("/usr/bin/deb-systemd-helper")); err != nil {
		return "", err
	}
	said, err := rpm("--install", pack[older])
	if err != nil {
		return "", err
	}
	if err := h.fresh(said); err != nil {
		return "", err
	}
	if err := h.configure(); err != nil {
		return "", err
	}
	if _, err := h.run("systemctl", "disable", "kanmon-rules.service"); err != nil {
		return "", err
	}
	if _, err := rpm("--upgrade", pack[newer]); err != nil {
		return "", err
	}
	if err := h.upgraded(); err != nil {
		return "", err
	}
	if err := h.is("upgrade, disabled by a person", "-"+guarded); err != nil {
		return "", err
	}
	if said, err = rpm("--erase", "kanmon"); err != nil {
		return "", err
	}
	return "installed, upgraded, erased", h.removed(said)
}

// fresh judges a host that has the package, and that nobody has configured.
func (h *host) fresh(said string) error {
	if err := h.is("installation", "+"+program, "-"+settings, "+"+rotation, "+"+state, "+"+records, "+"+enabled, "+"+guarded, "-"+bySocket); err != nil {
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
	_, err = h.run("systemd-analyze", "verify", "--man=no", "kanmon.service", "kanmon.socket", "kanmon-rules.service")
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
}

// configure does what people do, and kanmon.
func (h *host) configure() error {
	for path, content := range mine {
		if err := h.write(path, content); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) unchanged(when string) error {
	for path, content := range mine {
		got, err := os.ReadFile(h.path(path))
		if err != nil || string(got) != content {
			return fmt.Errorf("%s: %s holds %q, %w", when, path, got, err)
		}
	}
	return nil
}

func (h *host) upgraded() error {
	version, err := h.run("kanmon", "version")
	if err != nil || !strings.HasPrefix(version, "kanmon "+newer+",") {
		return fmt.Errorf("upgrade: kanmon version says %q, %w", version, err)
	}
	if err := h.is("upgrade", "+"+enabled, "-"+rotation+".rpmnew"); err != nil {
		return err
	}
	return h.unchanged("upgrade")
}

func (h *host) removed(said string) error {
	if err := h.is("removal", "-"+program, "-/usr/lib/systemd/system/kanmon.service", "+"+settings, "+"+state, "+"+records); err != nil {
		return err
	}
	if !strings.Contains(said, "these stay: /etc/kanmon") {
		return fmt.Errorf("a removal does not say what stays: %s", said)
	}
	return nil
}
