package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/steady"
)

const header = "step                                            | rules in force         | by kanmon | directly | refused | seconds open | lost\n" +
	"------------------------------------------------|------------------------|-----------|----------|---------|--------------|-----"

// soon is how fast what another program takes away must be back.
const soon = 2 * time.Second

const settleTimeout = 30 * time.Second

// A step is something that happens to the machine, and what must be true of mail meanwhile and behind it.
type step struct {
	name string
	mode string // "": both
	do   func(*rig) error

	person bool        // a person opens the way
	calm   bool        // no mail is refused
	few    bool        // none but what was under way
	thief  bool        // another program may: for two seconds at most, and the guard's log tells
	behind steady.Fate // what becomes of mail when the step is over
}

// A rig is the machine with mail that passes it.
type rig struct {
	mode    string
	lab     *netlab.Lab
	machine *machine
	mail    *steady.Sender
	program string
	source  string // folder of kanmon's source
	debs    string // folder of the packages; "": kanmon is installed by hand
	logged  int    // lines of the guard's log that were seen
	typed   string // of a page, last
	errs    []error
}

func newRig(mode, program, source, debs string) (*rig, error) {
	lab, err := netlab.New("systemd-" + mode)
	if err != nil {
		return nil, err
	}
	r := &rig{mode: mode, lab: lab, program: program, source: source, debs: debs}
	if r.program == "" {
		r.program = netlab.Program()
	}
	if r.source == "" {
		r.source = here()
	}
	world, err := netlab.NewOutbound(lab, netlab.OutboundOptions{Tenants: 1, MXs: 1})
	if err == nil {
		r.machine, err = newMachine(world.Gateway)
	}
	if err == nil {
		err = r.prepare()
	}
	if err == nil && debs == "" {
		err = r.install()
	}
	if err == nil {
		r.mail, err = steady.Start(context.Background(), world)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rig) close() error {
	var errs []error
	if r.mail != nil {
		r.mail.End()
	}
	if r.machine != nil {
		errs = append(errs, r.machine.end())
	}
	return errors.Join(append(errs, r.lab.Close())...)
}

// take does a step, waits until mail goes where it must go behind it, and prints what has happened.
func (r *rig) take(s step) error {
	if s.thief { // it slows down where several take the rules away within minutes, as they do here
		_, _ = r.machine.run("systemctl", "try-restart", "kanmon-rules-guard") // a former kanmon has none
	}
	r.mail.Cut()
	if err := s.do(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	settled := r.mail.Settle(ctx, s.behind)
	t := r.mail.Cut()
	lost := r.mail.Lost()
	fmt.Printf("%-47s | %-22s | %9d | %8d | %7d | %12.2f | %4d\n", s.name, r.inForce(), t.Through, t.Direct, t.Refused, t.Open().Seconds(), lost)
	complain := func(format string, args ...any) {
		r.errs = append(r.errs, fmt.Errorf("%s: %s: %s", r.mode, s.name, fmt.Sprintf(format, args...)))
	}
	told := r.toldOf()
	switch {
	case s.person:
	case t.Direct > 0 && !s.thief:
		complain("%d mails went directly, in %v", t.Direct, t.Open())
	case t.Open() > soon:
		complain("mail went directly for %v", t.Open())
	case t.Direct > 0 && !told:
		complain("%d mails went directly, and the guard's log does not tell", t.Direct)
	}
	if s.calm && t.Refused > 0 || s.few && t.Refused > steady.MostAtOnce {
		complain("%d tries were refused: %s", t.Refused, t.Why)
	}
	if lost > 0 {
		complain("%d mails are lost", lost)
	}
	if settled != nil {
		complain("%v", settled)
	}
	return nil
}

// inForce is what the kernel has.
func (r *rig) inForce() string {
	table, err := r.machine.host.Run("nft", "list", "table", "inet", "kanmon")
	if err != nil {
		return "none"
	}
	text := "table"
	if r.mode == "tproxy" && strings.Contains(table, "tproxy") {
		for _, family := range []string{"-4", "-6"} {
			rules, _ := r.machine.host.Run("ip", family, "rule")
			if strings.Contains(rules, "lookup 27501") {
				text += ", route" + family
			}
		}
	}
	return text
}

// toldOf says whether the guard has told of something since it was asked last.
func (r *rig) toldOf() bool {
	log, _ := r.machine.run("journalctl", "--unit", "kanmon-rules-guard", "--output", "cat", "--no-pager")
	lines := strings.Split(log, "\n")
	news := strings.Join(lines[min(r.logged, len(lines)):], "\n")
	r.logged = len(lines)
	return strings.Contains(news, "firewall rules lost") && strings.Contains(news, "firewall rules put back") || strings.Contains(news, "by the guard")
}

func (r *rig) judge() error { return errors.Join(r.errs...) }

// explain shows what the machine has logged.
func (r *rig) explain() {
	if r.machine.init == 0 {
		return
	}
	for _, args := range [][]string{
		{"journalctl", "--no-pager", "--lines", "60", "--unit", "kanmon*"},
		{"journalctl", "--no-pager", "--lines", "20", "--unit", "nftables", "--unit", "firewalld", "--unit", "systemd-networkd"},
		{"systemctl", "--no-pager", "--full", "status", "kanmon-rules", "kanmon-rules-guard", "kanmon"},
	} {
		out, _ := r.machine.run(args...)
		fmt.Fprintln(os.Stderr, out)
	}
}

// prepare makes the machine's network, and keeps what a package has enabled from starting before a step wants it; a firewall that lets
// everything pass is enough to see it flush.
func (r *rig) prepare() error {
	m := r.machine
	return errors.Join(
		m.write("/etc/systemd/system/network-up.service", networkUp, 0o644),
		m.link("/etc/systemd/system/network-up.service", "/etc/systemd/system/multi-user.target.wants/network-up.service"),
		m.unlink("/etc/systemd/system/multi-user.target.wants/firewalld.service"),
		m.unlink("/etc/systemd/system/sysinit.target.wants/nftables.service"),
		m.write("/etc/resolv.conf", "nameserver "+netlab.DNSServer.String()+"\n", 0o644),
		m.replace("/etc/firewalld/firewalld.conf", "DefaultZone=public", "DefaultZone=trusted"),
	)
}

// install puts kanmon on the machine by hand, as the pages say: program, units, user, configuration.
func (r *rig) install() error {
	m := r.machine
	errs := []error{m.copy(r.program, "/usr/local/bin/kanmon", 0o755), m.write("/etc/kanmon/kanmon.toml", r.config(), 0o644)}
	for _, dir := range []string{"systemd", "sysusers.d", "tmpfiles.d"} {
		to := map[string]string{"systemd": "/etc/systemd/system", "sysusers.d": "/usr/lib/sysusers.d", "tmpfiles.d": "/usr/lib/tmpfiles.d"}[dir]
		files, err := filepath.Glob(filepath.Join(r.source, "dist", dir, "*"))
		errs = append(errs, err)
		for _, file := range files {
			errs = append(errs, m.copy(file, filepath.Join(to, filepath.Base(file)), 0o644))
		}
	}
	wants := "/etc/systemd/system/multi-user.target.wants"
	for _, unit := range []string{"kanmon-rules.service", "kanmon.service"} {
		errs = append(errs, m.link("/etc/systemd/system/"+unit, filepath.Join(wants, unit)))
	}
	if r.mode == "tproxy" {
		errs = append(errs, m.link("/etc/systemd/system/kanmon.socket", "/etc/systemd/system/sockets.target.wants/kanmon.socket"))
	}
	return errors.Join(errs...)
}

// networkUp is what brings a host's network up, where nothing else does.
const networkUp = `[Unit]
Description=The network of the MSAs
Wants=network-pre.target network.target
After=network-pre.target
Before=network.target
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip link set msa1 up
`

// config is what the operator has written.
func (r *rig) config() string {
	mode := "redirect"
	if r.mode == "tproxy" {
		mode = r.mode
	}
	return fmt.Sprintf(`hostname = "gateway.example"

[intercept]
mode    = %q
sources = ["10.20.0.0/16", "fd20::/32"]

[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.example"

[[sending_ip]]
address = "2001:db8:71::10"
ehlo    = "out10.example"

[admin]
socket = "/run/kanmon/admin.sock"
`, mode)
}

// here is the folder of this source.
func here() string {
	dir, _ := os.Getwd()
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	return dir
}
