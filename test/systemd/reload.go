package main

import (
	"fmt"
	"strings"
	"time"
)

// reloadWhole: "systemctl reload kanmon" is all there is to do for other sources to be in force, in kanmon and in the rules.
//
// firstday-5
func reloadWhole(r *rig) error {
	const more = "10.77.0.0/16"
	wider := strings.Replace(r.config(), `"10.20.0.0/16"`, `"10.20.0.0/16", "`+more+`"`, 1)
	if err := r.machine.write(configFile, wider, 0o644); err != nil {
		return err
	}
	if out, err := r.machine.run("systemctl", "reload", "kanmon"); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if rules, err := r.machine.host.Run("nft", "list", "table", "inet", "kanmon"); err != nil || !strings.Contains(rules, more) {
		return fmt.Errorf("the rules do not have the new source (%w):\n%s", err, rules)
	}
	if err := r.machine.write(configFile, r.config(), 0o644); err != nil {
		return err
	}
	_, err := r.machine.run("systemctl", "reload", "kanmon")
	return err
}

// reloadBroken: a reload that is refused fails, and says where; kanmon goes on, and those who ask it find it.
//
// firstday-15, firstday-17
func reloadBroken(r *rig) error {
	if err := r.machine.write(configFile, broken, 0o644); err != nil {
		return err
	}
	if out, err := r.machine.run("systemctl", "reload", "kanmon"); err == nil {
		return fmt.Errorf("the reload took a broken configuration: %s", out)
	}
	status, _ := r.machine.run("systemctl", "status", "kanmon", "--no-pager", "--full")
	if !strings.Contains(status, "Active: active (running)") || !strings.Contains(status, "not reloaded; still running with the old configuration: "+configFile+":1:") {
		return fmt.Errorf("systemctl status does not say what is wrong with the configuration:\n%s", status)
	}
	if out, err := r.machine.run("kanmon", "ip", "list"); err != nil {
		return fmt.Errorf("kanmon ip list, while the configuration is broken: %w: %s", err, out)
	}
	if out, err := r.machine.run("kanmon", "status"); err == nil || !strings.Contains(out, "the last reload was refused, and what was before holds") {
		return fmt.Errorf("kanmon status does not say that the configuration is broken: %w: %s", err, out)
	}
	if err := r.machine.write(configFile, r.config(), 0o644); err != nil {
		return err
	}
	_, err := r.machine.run("systemctl", "reload", "kanmon")
	return err
}

// restartBroken: however long a configuration is broken, kanmon is back soon after it has been mended, and nobody has to start it.
//
// firstday-4
func restartBroken(r *rig) error {
	if err := r.machine.write(configFile, broken, 0o644); err != nil {
		return err
	}
	if out, err := r.machine.run("systemctl", "restart", "kanmon"); err == nil {
		return fmt.Errorf("kanmon has started with a broken configuration: %s", out)
	}
	time.Sleep(15 * time.Second) // systemd's usual limit is five starts in ten seconds
	if err := r.machine.write(configFile, r.config(), 0o644); err != nil {
		return err
	}
	return r.active(10 * time.Second)
}

// startWithout: a sending IP that is not there at the start is none of its pool until it is.
//
// firstday-4
func startWithout(r *rig) error {
	// A session that loses its address under way would hold up the stop.
	if _, err := r.machine.run(append([]string{"systemctl", "stop"}, r.units()...)...); err != nil {
		return err
	}
	if err := r.machine.host.IP("address delete 203.0.113.10/32 dev out0"); err != nil {
		return err
	}
	if out, err := r.machine.run(append([]string{"systemctl", "start"}, r.units()...)...); err != nil {
		return fmt.Errorf("kanmon does not start without a sending IP: %w: %s", err, out)
	}
	list, err := r.machine.run("kanmon", "ip", "list")
	if err != nil || !strings.Contains(list, "203.0.113.10") || !strings.Contains(list, "absent") {
		return fmt.Errorf("kanmon ip list does not say so (%w):\n%s", err, list)
	}
	return r.machine.host.IP("address add 203.0.113.10/32 dev out0")
}

// active waits until kanmon runs.
func (r *rig) active(patience time.Duration) error {
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		state, _ := r.machine.run("systemctl", "is-active", "kanmon")
		if strings.TrimSpace(state) == "active" {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("kanmon is %s, %v later", strings.TrimSpace(state), patience)
		}
	}
}
