package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kanmon/test/steady"
)

const (
	configFile = "/etc/kanmon/kanmon.toml"
	broken     = "[intercept\nsources = nonsense\n"
)

// steps are tried one after the other, on one machine.
var steps = []step{
	{name: "boot", do: boot},
	{name: "orders, a backup, a restore", do: operate},
	{name: "the page is opened", do: openPage},

	// Debian's /etc/nftables.conf begins with "flush ruleset".
	{name: "nftables starts", do: systemctl("start", "nftables"), thief: true},
	{name: "nftables reloads", do: systemctl("reload", "nftables"), thief: true},
	{name: "nftables restarts", do: systemctl("restart", "nftables"), thief: true},
	{name: "nftables stops", do: systemctl("stop", "nftables"), thief: true},
	{name: "nft flush ruleset", do: command("nft", "flush", "ruleset"), thief: true},

	{name: "firewalld starts", do: systemctl("start", "firewalld"), thief: true},
	{name: "firewalld reloads", do: systemctl("reload", "firewalld"), thief: true},
	{name: "firewall-cmd --complete-reload", do: command("firewall-cmd", "--complete-reload"), thief: true},
	{name: "firewalld stops", do: systemctl("stop", "firewalld"), thief: true},

	{name: "networkd starts", do: systemctl("start", "systemd-networkd"), thief: true},
	{name: "networkd restarts", do: systemctl("restart", "systemd-networkd"), thief: true},
	{name: "networkd stops", do: systemctl("stop", "systemd-networkd"), thief: true},
	{name: "policy rules deleted", mode: "tproxy", do: deletePolicyRules, thief: true},

	{name: "the guard is killed, and the rules flushed", do: killGuard, thief: true},
	{name: "kanmon-rules restarts", do: systemctl("restart", "kanmon-rules")},
	{name: "kanmon-rules reloads", do: systemctl("reload", "kanmon-rules")},

	{name: "kanmon reloads, and the rules with it", do: reloadWhole},
	{name: "kanmon does not reload a broken configuration", do: reloadBroken},
	{name: "kanmon starts without a sending IP", do: startWithout},
	{name: "kanmon restarts, broken for 15 seconds", do: restartBroken},

	{name: "a broken configuration is not reloaded", do: breakAndReload},
	{name: "boot with a broken configuration", do: boot, behind: steady.Waits},
	{name: "the configuration is mended", do: mend},

	{name: "rules remove, with a broken configuration", do: removeBroken, person: true, behind: steady.Directly},
	{name: "nftables restarts, rules removed", do: systemctl("restart", "nftables"), person: true, behind: steady.Directly},
	{name: "kanmon-rules reloads and restarts, rules removed", do: reloadRemoved, person: true, behind: steady.Directly},
	{name: "boot, rules removed", do: boot, person: true, behind: steady.Directly},
	{name: "rules apply --last", do: applyLast, person: true, behind: steady.Waits},
	{name: "kanmon-rules stops, with a broken configuration", do: systemctl("stop", "kanmon-rules"), person: true, behind: steady.Directly},
	{name: "the guard starts behind the stop", do: systemctl("start", "kanmon-rules-guard"), person: true, behind: steady.Directly},
	{name: "boot behind the stop", do: boot, person: true, behind: steady.Waits},
	{name: "the configuration is mended again", do: mend},
	{name: "boot with nftables, firewalld, networkd enabled", do: bootWithAll, thief: true},
}

// steps gives what is tried on this machine.
func (r *rig) steps() ([]step, error) {
	switch r.mode {
	case "package":
		return packageSteps, nil
	case "guide":
		return r.guideSteps()
	}
	return steps, nil
}

func systemctl(args ...string) func(*rig) error {
	return command(append([]string{"systemctl"}, args...)...)
}

func command(args ...string) func(*rig) error {
	return func(r *rig) error {
		_, err := r.machine.run(args...)
		return err
	}
}

// boot starts the machine, or starts it anew.
func boot(r *rig) error {
	if r.machine.init != 0 {
		if err := r.machine.shutDown(); err != nil {
			return err
		}
	}
	r.logged = 0
	return r.machine.boot(context.Background())
}

func bootWithAll(r *rig) error {
	if _, err := r.machine.run("systemctl", "enable", "nftables", "firewalld", "systemd-networkd"); err != nil {
		return err
	}
	// It would wait for a network that networkd does not configure.
	if _, err := r.machine.run("systemctl", "mask", "systemd-networkd-wait-online"); err != nil {
		return err
	}
	return boot(r)
}

func deletePolicyRules(r *rig) error {
	for _, family := range []string{"-4", "-6"} {
		if _, err := r.machine.run("ip", family, "rule", "delete", "priority", "250"); err != nil {
			return err
		}
	}
	return nil
}

func killGuard(r *rig) error {
	if _, err := r.machine.run("systemctl", "kill", "--signal=KILL", "kanmon-rules-guard"); err != nil {
		return err
	}
	_, err := r.machine.run("nft", "flush", "ruleset")
	return err
}

// breakAndReload: the reload fails and says why, and nothing changes.
func breakAndReload(r *rig) error {
	if err := r.machine.write(configFile, broken, 0o644); err != nil {
		return err
	}
	if out, err := r.machine.run("systemctl", "reload", "kanmon-rules"); err == nil {
		return fmt.Errorf("the reload took a broken configuration: %s", out)
	}
	if _, err := r.machine.run("journalctl", "--sync"); err != nil { // what units write comes to the journal later
		return err
	}
	log, _ := r.machine.run("journalctl", "--unit", "kanmon-rules", "--output", "cat", "--lines", "20")
	if !strings.Contains(log, configFile+":1:") {
		return fmt.Errorf("the log does not say what is wrong with the configuration:\n%s", log)
	}
	return nil
}

func mend(r *rig) error {
	if err := r.machine.write(configFile, r.config(), 0o644); err != nil {
		return err
	}
	if _, err := r.machine.run("systemctl", "reload", "kanmon-rules"); err != nil {
		return err
	}
	_, _ = r.machine.run("systemctl", "reset-failed", "kanmon", "kanmon.socket")
	if r.mode == "tproxy" {
		if _, err := r.machine.run("systemctl", "start", "kanmon.socket"); err != nil {
			return err
		}
	}
	_, err := r.machine.run("systemctl", "start", "kanmon")
	return err
}

// removeBroken is the emergency exit: it needs no configuration, and holds against the guard.
func removeBroken(r *rig) error {
	if err := r.machine.write(configFile, broken, 0o644); err != nil {
		return err
	}
	out, err := r.machine.run("kanmon", "rules", "remove")
	if err == nil && !strings.Contains(out, "mail leaves directly") {
		err = errors.New("rules remove does not say what it has done: " + out)
	}
	time.Sleep(2 * soon) // the guard has had its time
	return err
}

// reloadRemoved: no service acts against a person.
func reloadRemoved(r *rig) error {
	for _, verb := range []string{"reload", "restart"} {
		if _, err := r.machine.run("systemctl", verb, "kanmon-rules"); err != nil {
			return err
		}
	}
	return nil
}

func applyLast(r *rig) error {
	_, err := r.machine.run("kanmon", "rules", "apply", "--last")
	return err
}
