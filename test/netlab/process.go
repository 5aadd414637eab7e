package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Process is a program running on a host, with all that it started: they are one process group.
type Process struct {
	LogFile string // what it wrote to standard output and standard error

	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done
}

// A Command says what to run.
type Command struct {
	Name string   // name of its log file, without .log
	Args []string // program and arguments
	Env  []string // added to the environment
	User uint32   // user and group to run as; 0: root

	Output *os.File // where it writes instead of its log file; nil: there

	Files []*os.File // its descriptors from 3 on
}

// Start starts a program on the host. It is stopped when the lab is closed.
func (h *Host) Start(c Command) (*Process, error) {
	logFile := filepath.Join(h.Dir, c.Name+".log")
	output := c.Output
	if output == nil {
		file, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		output = file
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = c.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.User != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.User, Gid: c.User}
	}
	if err := h.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s on %s: %w", c.Name, h.Name, err)
	}
	p := &Process{LogFile: logFile, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	h.lab.Cleanup(func() error { p.Kill(); return nil })
	return p, nil
}

// runTimeout bounds programs that are run to their end.
const runTimeout = 30 * time.Second

// Run runs a program on the host to its end and gives its output. An error has the output in its text.
func (h *Host) Run(args ...string) (string, error) { return h.run(nil, args...) }

func (h *Host) run(env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := h.Do(cmd.Start); err != nil {
		return "", fmt.Errorf("%s on %s: %w", strings.Join(args, " "), h.Name, err)
	}
	if err := cmd.Wait(); err != nil {
		return output.String(), fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), h.Name, err, bytes.TrimSpace(output.Bytes()))
	}
	return output.String(), nil
}

// PID is the process's id, which is its group's as well.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the process itself.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ErrRunning is returned by Stop for a process that did not end in time.
var ErrRunning = errors.New("process did not end in time")

// Stop asks the process to end (SIGTERM) and waits for it. It returns how it ended: nil for exit code 0, else an
// [exec.ExitError]. A process that does not end in time is killed.
func (p *Process) Stop(timeout time.Duration) error {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		p.Kill()
		return ErrRunning
	}
}

// Kill ends the process and its whole group at once.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.done
}

// Log is what the process has written so far.
func (p *Process) Log() string {
	content, _ := os.ReadFile(p.LogFile)
	return string(content)
}
