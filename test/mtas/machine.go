package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

// A machine is a host with a program on it.
type machine struct {
	*netlab.Host
	program program
	image   *netlab.Image   // nil: the program is not in an image
	postfix *netlab.Postfix // nil: another program
}

const (
	machineName = "msa1.example"
	sender      = "sender@" + machineName
)

func newMachine(host *netlab.Host, p program) (*machine, error) {
	m := &machine{Host: host, program: p}
	if p.image != "" {
		if err := m.layImage(); err != nil {
			return nil, err
		}
	}
	if p.start == nil {
		return m, nil
	}
	if err := p.start(m); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return m, nil
}

// layImage gives the machine its image, with a name, the lab's DNS and a system log.
func (m *machine) layImage() (err error) {
	if m.image, err = m.Image(m.program.image); err != nil {
		return err
	}
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, address := range []netip.Addr{netlab.MSAAddr(1, false), netlab.MSAAddr(1, true), globalV6.Addr()} {
		hosts += fmt.Sprintf("%s %s msa1\n", address, machineName)
	}
	files := map[string]string{
		"/etc/resolv.conf":   "nameserver 192.0.2.53\n",
		"/etc/hosts":         hosts,
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
		"/etc/hostname":      machineName + "\n",
		"/etc/mailname":      machineName + "\n",
	}
	for file, content := range files {
		if err := m.image.Write(file, content); err != nil {
			return err
		}
	}
	return m.serveLog()
}

// serveLog writes what the programs send to the system log to a file of the machine.
func (m *machine) serveLog() error {
	var socket *net.UnixConn
	err := m.Do(func() (err error) {
		path := m.image.Path("/dev/log")
		if socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"}); err != nil {
			return err
		}
		return os.Chmod(path, 0o666)
	})
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(m.Dir, "syslog.log"))
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	go func() {
		defer func() { _ = file.Close() }()
		line := make([]byte, 64<<10)
		for {
			n, err := socket.Read(line)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(file, "%s %s\n", time.Now().Format("05.000"), strings.TrimSpace(string(line[:n])))
		}
	}()
	return nil
}

// run runs a program of the image, or of the machine itself, to its end.
func (m *machine) run(ctx context.Context, input string, program string, args ...string) error {
	cmd := m.command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	output, err := os.OpenFile(filepath.Join(m.Dir, "run.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	// A file, not a buffer: what a program leaves in the background keeps it, and must not be waited for.
	cmd.Stdout, cmd.Stderr = output, output
	if err := m.Do(cmd.Start); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

func (m *machine) command(program string, args ...string) *exec.Cmd {
	if m.image != nil {
		return m.image.Command(program, args...)
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// serve starts a program that stays.
func (m *machine) serve(name, program string, args ...string) error {
	_, err := m.Start(netlab.Command{Name: name, Args: m.command(program, args...).Args})
	return err
}

// setUp runs shell commands in the image.
func (m *machine) setUp(script string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return m.run(ctx, "", "sh", "-euc", script)
}

func (m *machine) submit(ctx context.Context, t target) error {
	return m.program.submit(ctx, m, t)
}

// message is the mail for a target.
func message(t target) string {
	return strings.Join([]string{
		"From: " + sender, "To: you@" + t.domain(), "Subject: " + t.token(),
		"Message-ID: <" + t.token() + "@" + machineName + ">", "Date: " + time.Now().Format(time.RFC1123Z), "", "Hello.", "",
	}, "\n")
}

// sendmail submits by the command that nearly every MTA has.
func sendmail(args ...string) func(context.Context, *machine, target) error {
	return func(ctx context.Context, m *machine, t target) error {
		return m.run(ctx, message(t), args[0], append(args[1:], "-i", "-f", sender, "you@"+t.domain())...)
	}
}

// submission submits by SMTP to an address of the machine itself.
func submission(address string) func(context.Context, *machine, target) error {
	return func(_ context.Context, m *machine, t target) error {
		conn, err := m.Dial(address, 10*time.Second)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		client, err := smtp.NewClient(conn, "localhost")
		if err != nil {
			return err
		}
		if err := client.Mail(sender); err != nil {
			return err
		}
		if err := client.Rcpt("you@" + t.domain()); err != nil {
			return err
		}
		data, err := client.Data()
		if err != nil {
			return err
		}
		if _, err := data.Write([]byte(message(t))); err != nil {
			return err
		}
		return errors.Join(data.Close(), client.Quit())
	}
}
