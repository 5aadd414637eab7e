package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/test/netlab"
)

const (
	bootTimeout    = 90 * time.Second
	commandTimeout = 60 * time.Second
)

// A machine is a Debian 12 that boots in the network of a lab's host. What is written stays from one boot to the next, and goes with
// the program.
type machine struct {
	host *netlab.Host
	root string // of its files; the mount is the host's, so they are reached on its thread alone

	group string // control group of its own: systemds that share one kill each other's services

	process *netlab.Process // systemd-nspawn
	init    int             // its process 1, as numbered here
	boots   int
}

// newMachine lays a file system in memory over the base.
func newMachine(host *netlab.Host) (*machine, error) {
	base, err := netlab.Debian()
	if err != nil {
		return nil, err
	}
	m := &machine{host: host, root: filepath.Join(host.Dir, "root"), group: fmt.Sprintf("kanmon-test-%d", time.Now().UnixNano())}
	var errs []error
	for _, dir := range []string{"root", "upper", "work"} {
		errs = append(errs, os.Mkdir(filepath.Join(host.Dir, dir), 0o755))
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, filepath.Join(host.Dir, "upper"), filepath.Join(host.Dir, "work"))
	errs = append(errs, host.Do(func() error { return unix.Mount("overlay", m.root, "overlay", 0, options) }))
	return m, errors.Join(errs...)
}

// inOwnGroup runs its further arguments in the control group that the first names, in the hierarchies that systemd uses.
const inOwnGroup = `
group=$1
shift
for at in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
	[ ! -f $at/cgroup.procs ] || { mkdir -p $at/$group && echo $$ >$at/$group/cgroup.procs; }
done
exec "$@"`

// leaveNoGroup removes what inOwnGroup has made, and the machine in it, once its last process has ended.
func (m *machine) leaveNoGroup() error {
	for deadline := time.Now().Add(groupTimeout); ; time.Sleep(50 * time.Millisecond) {
		left := false
		for _, at := range []string{"", "unified", "systemd"} {
			left = !removeFolders(filepath.Join("/sys/fs/cgroup", at, m.group)) || left
		}
		if !left {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the control group %s does not go: processes of the machine are left", m.group)
		}
	}
}

const groupTimeout = 10 * time.Second

// removeFolders removes a folder of folders, and reports whether it is gone.
func removeFolders(top string) bool {
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir)
	}
	_, err := os.Stat(top)
	return errors.Is(err, os.ErrNotExist)
}

// boot starts the machine with the kernel's firewall and policy routes as a kernel that has just started has them, and waits until
// systemd has started all that it wants to.
func (m *machine) boot(ctx context.Context) error {
	if err := m.forget(); err != nil {
		return err
	}
	m.boots++
	process, err := m.host.Start(netlab.Command{
		Name: fmt.Sprintf("boot%d", m.boots),
		Args: []string{
			"sh", "-c", inOwnGroup, "sh", m.group,
			"systemd-nspawn", "--quiet", "--directory", m.root, "--boot", "--register=no", "--keep-unit", "--console=pipe", "--capability=CAP_NET_ADMIN",
			"--network-namespace-path=/proc/self/ns/net", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		},
	})
	if err != nil {
		return err
	}
	m.process = process
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	for m.init = 0; ; time.Sleep(100 * time.Millisecond) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("boot: %w: %s", ctx.Err(), process.Log())
		case <-process.Done():
			return fmt.Errorf("the machine ended while it booted: %s", process.Log())
		default:
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", m.init)); m.init == 0 || err != nil {
			m.init = childOf(process.PID())
			continue
		}
		state, _ := m.run("systemctl", "is-system-running")
		if s := strings.TrimSpace(state); s == "running" || s == "degraded" {
			return nil
		}
	}
}

// forget takes away what a kernel forgets that is started anew: the MSAs' network is down. The addresses stay: a static configuration
// would bring them back.
func (m *machine) forget() error {
	err := errors.Join(m.host.Sysctl("net.ipv6.conf.msa1.keep_addr_on_down", "1"), m.host.IP("link set msa1 down"))
	if _, err2 := m.host.Run("nft", "flush", "ruleset"); err2 != nil {
		err = errors.Join(err, err2)
	}
	for _, family := range []string{"-4", "-6"} {
		for {
			if _, err := m.host.Run("ip", family, "rule", "delete", "priority", "250"); err != nil {
				break // there is none
			}
		}
		_, _ = m.host.Run("ip", family, "route", "flush", "table", "27501")
	}
	return err
}

// shutDown lets the machine stop all its services and end.
func (m *machine) shutDown() error {
	_, err := m.run("systemctl", "poweroff", "--no-block")
	if err != nil {
		return err
	}
	select {
	case <-m.process.Done():
		return nil
	case <-time.After(bootTimeout):
		return errors.New("the machine does not shut down")
	}
}

// run runs a command inside, and gives its output.
func (m *machine) run(args ...string) (string, error) { return m.answer("", args...) }

// answer is run with somebody who answers what the command asks.
func (m *machine) answer(answers string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(m.init), "--all", "--", "env", "--chdir=/"}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER="}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(answers), &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), err
}

// write makes a file inside, with its folders.
func (m *machine) write(path, content string, mode os.FileMode) error {
	path = filepath.Join(m.root, path)
	return m.host.Do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode))
	})
}

// link makes a symbolic link inside.
func (m *machine) link(to, path string) error {
	path = filepath.Join(m.root, path)
	return m.host.Do(func() error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(to, path))
	})
}

func (m *machine) unlink(path string) error {
	err := m.host.Do(func() error { return os.Remove(filepath.Join(m.root, path)) })
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// replace replaces a text of a file inside.
func (m *machine) replace(path, old, text string) error {
	var data []byte
	err := m.host.Do(func() (err error) {
		data, err = os.ReadFile(filepath.Join(m.root, path))
		return err
	})
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), old) {
		return fmt.Errorf("%s has no %q", path, old)
	}
	return m.write(path, strings.ReplaceAll(string(data), old, text), 0o644)
}

// end stops the machine as a power cut does.
func (m *machine) end() error {
	if m.process != nil {
		m.process.Kill()
	}
	if m.init != 0 { // with it goes all that runs in the machine
		_ = unix.Kill(m.init, unix.SIGKILL)
	}
	return errors.Join(m.leaveNoGroup(), m.host.Do(func() error { return unix.Unmount(m.root, unix.MNT_DETACH) }))
}

// copy copies a file of the host inside.
func (m *machine) copy(from, to string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return m.write(to, string(data), mode)
}

// childOf gives the first child of a process; 0: none yet.
func childOf(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return 0
	}
	child, _ := strconv.Atoi(fields[0])
	return child
}
