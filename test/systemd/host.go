package main

import (
	"fmt"
	"strings"
	"time"
)

// rotate has the host's logrotate move the logs away, by the shipped file, while mail goes: what is written from then on is in new files, and
// every mail that the MX took is in the old or the new ones.
func rotate(r *rig) error {
	if _, err := r.machine.run("logrotate", "--force", "/etc/logrotate.d/kanmon"); err != nil {
		return err
	}
	const patience = 10 * time.Second // records are written behind the mail
	for _, name := range []string{"session.log", "records.jsonl"} {
		path := "/var/log/kanmon/" + name
		mails := r.mail.Through()
		for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
			before, err := r.machine.run("cat", path+".1")
			if err != nil {
				return err
			}
			behind, err := r.machine.run("cat", path)
			last := r.mail.Through()
			missing := notIn(before+behind, mails)
			if err == nil && missing == 0 && notIn(behind, last[len(mails):]) < len(last)-len(mails) {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%s, %v behind the rotation: %d of %d mails are neither in it nor in the old file, or nothing new is in it (%w)", path, patience, missing, len(mails), err)
			}
		}
	}
	return nil
}

// notIn counts the tokens that a text does not have.
func notIn(text string, tokens []string) (missing int) {
	have := map[string]bool{}
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || r == '\n' || r == '\\' }) {
		have[field] = true
	}
	for _, token := range tokens {
		if !have[token] {
			missing++
		}
	}
	return missing
}

// shells are the real ones, and how each says what it offers for the beginning of a command. zsh offers it to a person at a terminal alone.
var shells = map[string][]string{
	"bash": {"bash", "-c", `. /usr/share/bash-completion/completions/kanmon; COMP_LINE='kanmon ip susp' COMP_POINT=14; _kanmon; echo "${COMPREPLY[@]}"`},
	"fish": {"env", "HOME=/root", "fish", "--command", `complete --do-complete 'kanmon ip susp'`},
	"zsh": {"env", "HOME=/root", "TERM=dumb", "timeout", "30", "zsh", "-f", "-c", `
		zmodload zsh/zpty
		zpty shell zsh -f -i
		zpty -w shell 'autoload -Uz compinit; compinit -u -D; PS1=; echo re""ady'
		zpty -r -m shell said '*ready*'
		zpty -w -n shell $'kanmon ip susp\t'
		zpty -r -m shell said '*suspend*'
		print -r -- $said`},
}

// complete asks each shell that the package has brought a completion for.
func complete(r *rig) error {
	for shell, args := range shells {
		out, err := r.machine.run(args...)
		if err != nil || !strings.Contains(out, "suspend") {
			return fmt.Errorf("%s does not complete \"kanmon ip susp\" (%w): %q", shell, err, out)
		}
	}
	return nil
}

// Where kanmon manages the rules itself: the page of the firewall has the drop-in.
const (
	managedDropIn = "/etc/systemd/system/kanmon.service.d/rules.conf"
	managed       = `[Service]
CapabilityBoundingSet=CAP_NET_ADMIN
AmbientCapabilities=CAP_NET_ADMIN
StateDirectory=kanmon-rules
RuntimeDirectory=kanmon-rules
`
)

// manage takes the rules from their unit and has kanmon manage them.
func manage(r *rig) error {
	config := strings.Replace(r.config(), "[intercept]\n", "[intercept]\nmanage_rules = true\n", 1)
	if err := r.machine.write(configFile, config, 0o644); err != nil {
		return err
	}
	if err := r.machine.write(managedDropIn, managed, 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"systemctl", "daemon-reload"}, {"systemctl", "disable", "--now", "kanmon-rules"}, {"systemctl", "restart", "kanmon"},
	} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	return r.states(map[string]string{"kanmon": "active enabled", "kanmon-rules": "inactive disabled"})
}

// installManaged: who has removed the package and installs it again has what he had.
func installManaged(r *rig) error {
	if _, err := r.dpkg(newer); err != nil {
		return err
	}
	_, err := r.machine.run("systemctl", "start", "kanmon")
	return err
}

// unmanage gives the rules back to their unit.
func unmanage(r *rig) error {
	if err := r.machine.write(configFile, r.config(), 0o644); err != nil {
		return err
	}
	if err := r.machine.unlink(managedDropIn); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"systemctl", "daemon-reload"}, {"systemctl", "restart", "kanmon"}, {"systemctl", "enable", "--now", "kanmon-rules"},
	} {
		if _, err := r.machine.run(args...); err != nil {
			return err
		}
	}
	return r.works()
}
