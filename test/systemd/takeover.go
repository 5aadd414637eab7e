package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// takeoverSteps are one kanmon after the other behind a socket that systemd holds: no mail is refused.
var takeoverSteps = []step{
	{name: "systemd holds the listeners", do: holdListeners},
	{name: "kanmon upgrade", do: func(r *rig) error { return r.takesOver("kanmon@2.service") }, calm: true},
	{name: "and again, while the first lets its sessions end", do: func(r *rig) error { return r.takesOver("kanmon@3.service", "kanmon.service") }, calm: true},
	{name: "a version that crashes again and again", do: crashInALoop, calm: true},
	{name: "a version that does not read the configuration", do: upgradeBroken, calm: true},
	{name: "the older package is put back, and takes over", do: downgrade, calm: true},
	{name: "a boot behind it", do: bootWhole},
	{name: "kanmon holds its listeners again", do: dropSocket},
	{name: "it is killed, and systemd keeps its listeners", do: killWithoutSocket, few: true},
	{name: "it stops, and systemd keeps nothing", do: stopWithoutSocket},
}

func (r *rig) runAll(commands ...string) error {
	for _, one := range commands {
		if out, err := r.machine.run("sh", "-ec", one); err != nil {
			return fmt.Errorf("%s: %w: %s", one, err, out)
		}
	}
	return nil
}

func holdListeners(r *rig) error {
	err := r.runAll("kanmon socket >/etc/systemd/system/kanmon.socket", "systemctl daemon-reload", "systemctl stop kanmon",
		"systemctl enable --now kanmon.socket", "systemctl start kanmon")
	return errors.Join(err, r.serves("kanmon.service"))
}

// serves says whether one unit is the one that takes what is new.
func (r *rig) serves(units ...string) error {
	said, err := r.machine.run("kanmon", "upgrade", "--status")
	for _, unit := range units {
		for line := range strings.Lines(said) {
			if strings.HasPrefix(line, unit) && strings.Contains(line, "takes what is new") {
				return nil
			}
		}
	}
	return errors.Join(err, fmt.Errorf("none of %q takes what is new: %s", units, said))
}

func (r *rig) takesOver(units ...string) error {
	said, err := r.machine.run("kanmon", "upgrade")
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return errors.Join(r.serves(units...), r.socketStands())
}

func (r *rig) socketStands() error {
	if state, err := r.machine.run("systemctl", "is-active", "kanmon.socket"); err != nil {
		return fmt.Errorf("kanmon.socket is %s", state)
	}
	return nil
}

// crashInALoop: systemd starts it again for as long as it likes, and the socket stays.
func crashInALoop(r *rig) error {
	before, err := r.machine.run("kanmon", "upgrade", "--status")
	if err != nil {
		return err
	}
	free := ""
	for line := range strings.Lines(before) {
		if unit, _, _ := strings.Cut(line, " "); strings.Contains(line, "free") && strings.Contains(unit, "@") {
			free = unit
		}
	}
	if free == "" {
		return fmt.Errorf("no unit is free: %s", before)
	}
	err = r.runAll("mkdir -p /run/systemd/system/"+free+".d",
		"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestartSec=100ms\\n' >/run/systemd/system/"+free+".d/crash.conf", "systemctl daemon-reload",
		"systemctl start "+free+" || true")
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Second)
	count, _ := r.machine.run("systemctl", "show", "--property", "NRestarts", "--value", free)
	if strings.TrimSpace(count) == "0" {
		err = fmt.Errorf("%s was not started again", free)
	}
	return errors.Join(err, r.socketStands(), r.runAll("systemctl stop "+free+" || true", "rm -r /run/systemd/system/"+free+".d", "systemctl daemon-reload", "systemctl reset-failed "+free+" || true"))
}

// upgradeBroken: what a new program does not understand, it does not take over with, and says so.
func upgradeBroken(r *rig) error {
	err := r.runAll("cp -p "+configFile+" /root/kanmon.toml", "printf '\\n[nonsense]\\n' >>"+configFile)
	said, failed := r.machine.run("kanmon", "upgrade")
	if failed == nil || !strings.Contains(said+failed.Error(), "nonsense") {
		err = errors.Join(err, fmt.Errorf("an upgrade with a broken configuration: %w, %s", failed, said))
	}
	return errors.Join(err, r.runAll("cp -p /root/kanmon.toml "+configFile), r.socketStands())
}

// downgrade waits for a unit that is free: mail keeps connections open.
func downgrade(r *rig) error {
	said, err := r.dpkg(older)
	if err != nil {
		return err
	}
	if !strings.Contains(said, "has taken over") {
		return fmt.Errorf("the package has not had its version take over: %s", said)
	}
	if said, err = r.dpkg(newer); err != nil || !strings.Contains(said, "has taken over") {
		return fmt.Errorf("nor has the newer one: %w, %s", err, said)
	}
	return r.socketStands()
}

func dropSocket(r *rig) error {
	err := r.runAll("systemctl disable --now kanmon.socket", "systemctl stop kanmon kanmon@2 kanmon@3", "rm /etc/systemd/system/kanmon.socket", "systemctl daemon-reload", "systemctl start kanmon")
	return errors.Join(err, r.works())
}

// killWithoutSocket: MSAs that connect until systemd starts it again wait. Sessions under way break, those alone.
func killWithoutSocket(r *rig) error {
	if err := r.keeps("2"); err != nil {
		return err
	}
	return errors.Join(r.runAll("systemctl kill --signal KILL --kill-whom main kanmon", "sleep 3"), r.works())
}

func stopWithoutSocket(r *rig) error {
	return errors.Join(r.runAll("systemctl stop kanmon"), r.keeps("0"), r.runAll("systemctl start kanmon"), r.works())
}

// keeps says how many descriptors systemd keeps for kanmon.
func (r *rig) keeps(want string) error {
	have, err := r.machine.run("systemctl", "show", "--value", "--property", "NFileDescriptorStore", "kanmon")
	if err == nil && strings.TrimSpace(have) != want {
		err = fmt.Errorf("systemd keeps %q descriptors, want %s", strings.TrimSpace(have), want)
	}
	return err
}
