package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/test/steady"
)

// packageSteps are what becomes of a machine that gets kanmon as a package.
var packageSteps = slices.Concat([]step{
	{name: "boot, without kanmon", do: boot, person: true, behind: steady.Directly},
	{name: "the package is installed", do: install, person: true, behind: steady.Directly, calm: true},
	{name: "shells complete its commands", do: complete, person: true, behind: steady.Directly, calm: true},
	{name: "boot, nothing configured", do: bootBare, person: true, behind: steady.Directly},
	{name: "configured and started", do: configureAndStart, person: true},
	{name: "boot, configured", do: bootWhole},
	{name: "the logs are rotated", do: rotate, calm: true},
	{name: "the package is upgraded", do: upgrade, calm: true},
	{name: "the new version is started", do: startNewer},
}, takeoverSteps, []step{
	{name: "kanmon manages the rules itself", do: manage, person: true},
	{name: "the package is removed, kanmon managing", do: remove, person: true, behind: steady.Directly},
	{name: "installed and started again, kanmon managing", do: installManaged, person: true},
	{name: "the unit has the rules again", do: unmanage, person: true},
	{name: "the package is removed", do: remove, person: true, behind: steady.Directly},
	{name: "installed and started again", do: installAgain, person: true},
	{name: "the rules are loaded by hand", do: applyByHand, person: true},
	{name: "the package is purged", do: purge, person: true, behind: steady.Directly},
	{name: "boot, purged", do: bootWhole, person: true, behind: steady.Directly},
})

// Places in the folder of packages, one for each version.
const (
	older = "older"
	newer = "newer"
)

// deb brings a version's package into the machine, and gives its path there.
func (r *rig) deb(version string) (string, error) {
	found, err := filepath.Glob(filepath.Join(r.debs, version, "kanmon_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("packages in %s/%s: %v, %w; make test-systemd builds them", r.debs, version, found, err)
	}
	path := "/root/" + filepath.Base(found[0])
	return path, r.machine.copy(found[0], path, 0o644)
}

func (r *rig) dpkg(version string) (string, error) {
	path, err := r.deb(version)
	if err != nil {
		return "", err
	}
	return r.machine.run("dpkg", "--install", path)
}

func install(r *rig) error {
	said, err := r.dpkg(older)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "nothing runs, no mail is touched") {
		return fmt.Errorf("the installation does not say what is next: %s", said)
	}
	return r.states(map[string]string{"kanmon": "inactive enabled", "kanmon-rules": "inactive enabled", "kanmon.socket": "inactive disabled"})
}

// states compares units with what "systemctl is-active" and "is-enabled" should say of them.
func (r *rig) states(want map[string]string) error {
	for unit, state := range want {
		enabled, _ := r.machine.run("systemctl", "is-enabled", unit) // it exits with the state, too
		for end := time.Now().Add(settleTimeout); ; time.Sleep(100 * time.Millisecond) {
			active, _ := r.machine.run("systemctl", "is-active", unit)
			got := strings.TrimSpace(active) + " " + strings.TrimSpace(enabled)
			if got == state {
				break
			}
			if !strings.HasPrefix(got, "activating ") || time.Now().After(end) { // nobody waits for what a unit only wants
				return fmt.Errorf("%s is %s, want %s", unit, got, state)
			}
		}
	}
	return r.noneFailed()
}

func (r *rig) noneFailed() error {
	failed, err := r.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "kanmon*")
	if err == nil && strings.TrimSpace(failed) != "" {
		err = errors.New("units have failed: " + failed)
	}
	return err
}

// bootBare: what is enabled and not configured does nothing, and nothing fails or complains.
func bootBare(r *rig) error {
	if err := boot(r); err != nil {
		return err
	}
	log, _ := r.machine.run("journalctl", "--boot", "--output", "cat", "--no-pager", "--priority", "warning", "--unit", "kanmon*")
	if lines := strings.TrimSpace(log); lines != "" && !strings.HasPrefix(lines, "-- No entries") {
		return fmt.Errorf("a boot without a configuration complains: %s", lines)
	}
	return r.states(map[string]string{"kanmon": "inactive enabled", "kanmon-rules": "inactive enabled", "kanmon-rules-guard": "inactive static"})
}

// configureAndStart does what the pages say, in as many commands.
func configureAndStart(r *rig) error {
	for _, args := range [][]string{
		{"kanmon", "init", "--yes", "--role", "gateway", "--sources", "10.20.0.0/16,fd20::/32", "--sending-ip", "203.0.113.10=out10.example", "--sending-ip", "2001:db8:71::10=out10.example"},
		{"kanmon", "check"},
		{"systemctl", "start", "kanmon", "kanmon-rules"},
	} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	return r.works()
}

// works says whether all that carries mail runs.
func (r *rig) works() error {
	return r.states(map[string]string{"kanmon": "active enabled", "kanmon-rules": "active enabled", "kanmon-rules-guard": "active static"})
}

func bootWhole(r *rig) error {
	if err := boot(r); err != nil {
		return err
	}
	return r.noneFailed()
}

// upgrade: what runs goes on running, as it was.
func upgrade(r *rig) error {
	before, err := r.processes()
	if err != nil {
		return err
	}
	config, err := r.machine.run("cat", configFile)
	if err != nil {
		return err
	}
	said, err := r.dpkg(newer)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "the version that was running goes on running") {
		return fmt.Errorf("the upgrade does not say that the old version runs: %s", said)
	}
	after, err := r.processes()
	if err == nil && before != after {
		err = fmt.Errorf("an upgrade has exchanged processes:\n%s\n%s", before, after)
	}
	if kept, _ := r.machine.run("cat", configFile); kept != config {
		err = errors.Join(err, fmt.Errorf("an upgrade has changed the configuration: %s", kept))
	}
	return errors.Join(err, r.works())
}

// processes gives the processes of all units, and which programs they run.
func (r *rig) processes() (string, error) {
	return r.machine.run("systemctl", "show", "--property", "Id,MainPID,NRestarts,ActiveEnterTimestampMonotonic", "kanmon", "kanmon-rules", "kanmon-rules-guard")
}

func startNewer(r *rig) error {
	if _, err := r.machine.run("systemctl", "restart", "kanmon", "kanmon-rules"); err != nil {
		return err
	}
	if err := r.works(); err != nil {
		return err
	}
	for _, unit := range []string{"kanmon", "kanmon-rules-guard"} {
		pid, err := r.machine.run("systemctl", "show", "--property", "MainPID", "--value", unit)
		if err != nil {
			return err
		}
		program, err := r.machine.run("readlink", "/proc/"+strings.TrimSpace(pid)+"/exe")
		if err != nil || strings.TrimSpace(program) != "/usr/bin/kanmon" { // the older one is "(deleted)"
			return errors.Join(err, fmt.Errorf("%s runs %q", unit, program))
		}
	}
	return nil
}

func remove(r *rig) error {
	said, err := r.machine.run("dpkg", "--remove", "kanmon")
	if err != nil {
		return err
	}
	if !strings.Contains(said, "THE DIRECT WAY IS OPEN") {
		return fmt.Errorf("a removal does not say that it opens the way: %s", said)
	}
	return r.noneFailed()
}

func installAgain(r *rig) error {
	if _, err := r.dpkg(newer); err != nil {
		return err
	}
	if _, err := r.machine.run("systemctl", "start", "kanmon", "kanmon-rules"); err != nil {
		return err
	}
	return r.works()
}

// applyByHand leaves the rules to nobody: no unit knows of them.
func applyByHand(r *rig) error {
	for _, args := range [][]string{{"systemctl", "stop", "kanmon-rules"}, {"kanmon", "rules", "apply"}} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	return nil
}

func purge(r *rig) error {
	if _, err := r.machine.run("dpkg", "--purge", "kanmon"); err != nil {
		return err
	}
	left, err := r.machine.run("find", "/etc", "/usr", "/var/lib", "/var/log", "/run", "-xdev", "-name", "*kanmon*")
	if err == nil && strings.TrimSpace(left) != "" {
		err = errors.New("a purge has left: " + left)
	}
	return errors.Join(err, r.noneFailed())
}
