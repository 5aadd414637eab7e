package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/config"
	"kanmon/internal/intercept"
)

type upgradeCommand struct {
	socketFlag
	Wait   bool `help:"Wait until the kanmon before has let its sessions end."`
	Status bool `help:"Change nothing; say which kanmon runs where."`
}

// Help says what it does, and what it needs.
func (*upgradeCommand) Help() string {
	return `The program that is installed now takes over from the kanmon that runs: no connection is refused, no session is cut, nobody is told 421. It starts in a free unit of kanmon.service, kanmon@2.service and kanmon@3.service, reads what the other one has written, and takes what is new; the other one lets its sessions end ([drain] idle, soft) and ends. If the new one does not come up, the other one goes on as before. To go back, install the older program and run this again: there are three units, so it need not be waited for the first.

systemd must hold the listeners: see "kanmon socket".`
}

// slots are the units that one kanmon after the other runs in.
var slots = []string{"kanmon.service", "kanmon@2.service", "kanmon@3.service"}

// A slot is one of them, as systemd has it.
type slot struct {
	unit  string
	state string // "active", "inactive", "failed", "deactivating"
	pid   int    // 0: none
}

func (s *slot) free() bool { return s.pid == 0 && (s.state == "inactive" || s.state == "failed") }

// Run has the new program take over.
func (k *upgradeCommand) Run(c *console) error {
	all, serving, err := k.look()
	if err != nil {
		return err
	}
	if k.Status {
		return printSlots(c.stdout, all, serving)
	}
	if serving == nil {
		return errors.New("no kanmon runs that could be taken over from: systemctl start kanmon.socket kanmon")
	}
	cfg, err := k.load()
	if err != nil {
		return err
	}
	free := slices.IndexFunc(all, func(s slot) bool { return s.free() })
	if free < 0 {
		_ = printSlots(c.stdout, all, serving)
		return errors.New("no unit is free: one must have let its sessions end first (systemctl stop UNIT drains it now, a second signal cuts)")
	}
	next := all[free].unit
	_, _ = systemctl("reset-failed", next) // where it has not failed there is nothing to forget
	if _, err := systemctl("start", next); err != nil {
		_, _ = systemctl("stop", next) // or it would be tried again and again
		return fmt.Errorf("%s has not taken over, and %s goes on as before: journalctl -u %s -n 20", next, serving.unit, next)
	}
	fmt.Fprintf(c.stdout, "%s has taken over; %s lets its sessions end, and is free again after %s at most\n", next, serving.unit, cfg.Drain.Soft+cfg.Drain.Timeout)
	if !k.Wait {
		return nil
	}
	if err := waitFree(serving.unit, cfg.Drain.Soft+cfg.Drain.Timeout+time.Minute); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s has ended, and is free\n", serving.unit)
	return nil
}

// look says what runs in which unit, and which of them takes what is new.
func (k *upgradeCommand) look() (all []slot, serving *slot, err error) {
	state, err := systemctl("is-active", "kanmon.socket")
	if err != nil && state == "" {
		return nil, nil, fmt.Errorf("systemd does not answer: %w", err)
	}
	if strings.TrimSpace(state) != "active" {
		return nil, nil, errors.New("kanmon.socket is not active: without it the listeners are kanmon's own, and only one can have them. " +
			"Once, while mail waits for a moment: kanmon socket >/etc/systemd/system/kanmon.socket; systemctl daemon-reload; systemctl stop kanmon; systemctl enable --now kanmon.socket; systemctl start kanmon")
	}
	if all, err = slotsNow(); err != nil {
		return nil, nil, err
	}
	client, _, err := k.client()
	if err != nil {
		return nil, nil, err
	}
	pid, err := client.Process(context.Background())
	if err != nil {
		return all, nil, nil //nolint:nilerr // nobody listens: none serves
	}
	i := slices.IndexFunc(all, func(s slot) bool { return s.pid == pid })
	if i < 0 {
		return nil, nil, fmt.Errorf("process %d has the admin socket, and is none of %s: only what systemd started there is upgraded so", pid, strings.Join(slots, ", "))
	}
	return all, &all[i], nil
}

func slotsNow() ([]slot, error) {
	text, err := systemctl(append([]string{"show", "--property=Id,ActiveState,MainPID"}, slots...)...)
	if err != nil {
		return nil, fmt.Errorf("systemd does not say how kanmon's units are: %w", err)
	}
	all := make([]slot, len(slots))
	for i, unit := range slots {
		all[i] = slot{unit: unit, state: "inactive"}
	}
	for _, block := range strings.Split(text, "\n\n") {
		of := map[string]string{}
		for line := range strings.Lines(block) {
			if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
				of[name] = value
			}
		}
		if i := slices.Index(slots, of["Id"]); i >= 0 {
			all[i].state = of["ActiveState"]
			all[i].pid, _ = strconv.Atoi(of["MainPID"])
		}
	}
	return all, nil
}

func printSlots(w io.Writer, all []slot, serving *slot) error {
	for _, s := range all {
		what := "free"
		switch {
		case serving != nil && s.unit == serving.unit:
			what = fmt.Sprintf("process %d takes what is new", s.pid)
		case !s.free():
			what = fmt.Sprintf("process %d lets its sessions end, or begins", s.pid)
		}
		if _, err := fmt.Fprintf(w, "%-18s %s\n", s.unit, what); err != nil {
			return err
		}
	}
	return nil
}

// waitFree waits until a unit has ended.
func waitFree(unit string, most time.Duration) error {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(slotPoll) {
		all, err := slotsNow()
		if err != nil {
			return err
		}
		if i := slices.Index(slots, unit); all[i].free() {
			return nil
		}
	}
	return fmt.Errorf("%s has not ended within %s", unit, most)
}

const slotPoll = 500 * time.Millisecond

// systemctl runs one command and gives its output. How long that may take, systemd decides.
func systemctl(args ...string) (string, error) {
	out, err := exec.Command("systemctl", append([]string{"--no-ask-password"}, args...)...).Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		err = errors.New(strings.TrimSpace(string(failed.Stderr)))
	}
	return string(out), err
}

type socketCommand struct{ configFlag }

// Help says where it goes.
func (*socketCommand) Help() string {
	return `With it systemd holds the listeners of kanmon: an upgrade then refuses no connection ("kanmon upgrade"), and what comes while kanmon is stopped waits. It goes to /etc/systemd/system/kanmon.socket, again whenever intercept.listen, intercept.mode or a tenant's listen_port has changed.`
}

// Run prints the unit.
func (k *socketCommand) Run(c *console) error {
	cfg, err := k.load()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.stdout, socketUnit(cfg))
	return err
}

// socketUnit makes kanmon.socket for the listeners of a configuration (systemd.socket(5)).
func socketUnit(cfg *config.Config) string {
	listen := cfg.Listeners()
	four := slices.ContainsFunc(listen, func(a netip.AddrPort) bool { return a.Addr() == netip.IPv4Unspecified() })
	six := "ipv6-only"
	var text strings.Builder
	text.WriteString("# Made by \"kanmon socket\", of intercept.listen, intercept.mode and the tenants' listen_port.\n\n[Unit]\nDescription=Listeners of kanmon\n" +
		"Documentation=man:kanmon(1)\nConditionPathExists=/etc/kanmon/kanmon.toml\nStartLimitIntervalSec=0\n\n[Socket]\n")
	for _, a := range listen {
		fmt.Fprintf(&text, "ListenStream=%s\n", a)
		if a.Addr() == netip.IPv6Unspecified() && !four {
			six = "both"
		}
	}
	fmt.Fprintf(&text, "BindIPv6Only=%s\nBacklog=4096\n", six)
	if cfg.Intercept.Mode == intercept.TProxy {
		text.WriteString("Transparent=yes\n")
	}
	text.WriteString("# However often kanmon ends at once, this stays open, and connections wait in it.\nTriggerLimitIntervalSec=0\n\n[Install]\nWantedBy=sockets.target\n")
	return text.String()
}
