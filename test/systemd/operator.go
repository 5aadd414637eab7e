package main

import (
	"fmt"
	"regexp"
	"strings"
)

// operate is an operator's day, in the sandbox of the shipped unit: orders have the name of who gave them, a backup is made while mail flows,
// and put back into a kanmon that is stopped.
//
// firstday-8, firstday-9, firstday-16
func operate(r *rig) error {
	const saved = "/root/saved.tar.gz"
	alice := func(args ...string) []string {
		return append([]string{"runuser", "-u", "alice", "--", "kanmon"}, args...)
	}
	restore := []string{"kanmon", "restore", saved, "--only", "state"}
	for _, args := range [][]string{
		{"useradd", "--groups", "kanmon", "alice"},
		alice("ip", "suspend", "203.0.113.10", "--provider", "google", "--for", "2h", "--reason", "asked"),
		{"kanmon", "backup", saved},
		alice("ip", "resume", "203.0.113.10"),
	} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	if err := r.finds("alice +suspend +IP 203.0.113.10 at google", "kanmon", "audit"); err != nil {
		return err
	}
	if out, err := r.machine.run(restore...); err == nil || !strings.Contains(out, "kanmon is running") {
		return fmt.Errorf("a restore over a running kanmon gives: %s", out)
	}
	for _, args := range [][]string{append([]string{"systemctl", "stop"}, r.units()...), restore} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	if err := mend(r); err != nil { // starts it
		return err
	}
	return r.finds(`google +suspended .*operator alice +asked`, "kanmon", "ip", "list")
}

// units are those that are stopped and started together, in this order: systemctl begins with each at once.
func (r *rig) units() []string {
	if r.mode == "tproxy" {
		return []string{"kanmon.socket", "kanmon.service"}
	}
	return []string{"kanmon.service"}
}

// finds waits for nothing: what a command prints has it, or not.
func (r *rig) finds(want string, args ...string) error {
	out, err := r.machine.run(args...)
	if err == nil && !regexp.MustCompile(want).MatchString(out) {
		err = fmt.Errorf("%s: want %q in: %s", strings.Join(args, " "), want, out)
	}
	return err
}
