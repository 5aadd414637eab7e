package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

// A child is this program in one of its roles, on a host.
type child struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
}

// startRole starts a role and gives it its first order.
func startRole(host *netlab.Host, name string, order any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	cmd := exec.Command(self, name)
	cmd.Stderr = os.Stderr
	// Ctrl-C is for the runner, which ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := host.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, stdin: stdin, orders: json.NewEncoder(stdin), answers: json.NewDecoder(stdout)}
	if err := c.orders.Encode(order); err != nil {
		c.stop()
		return nil, fmt.Errorf("tell %s what to do: %w", name, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child: by itself when its input ends, or else by force.
func (c *child) stop() {
	_ = c.stdin.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	_ = c.cmd.Wait() // how it ended does not matter any more: all it had to say has been read
}
