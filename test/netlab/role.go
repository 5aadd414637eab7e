package netlab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A RoleFunc is what a program does when it is started again by itself, as one process on one of the hosts: its name is the only argument.
// It reads what to do from its standard input and ends when that ends.
type RoleFunc func(in io.Reader, out io.Writer) error

// RunRole runs the role that the program was started for, before anything else of main. Otherwise done is false: go on.
func RunRole(roles map[string]RoleFunc) (code int, done bool) {
	if len(os.Args) != 2 || roles[os.Args[1]] == nil {
		return 0, false
	}
	if err := roles[os.Args[1]](os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		return 1, true
	}
	return 0, true
}

// A Child is this program in one of its roles, on a host.
type Child struct {
	Orders  *json.Encoder // to its standard input
	Answers *json.Decoder // of its standard output

	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// StartRole starts a role and gives it its first order. Stop it.
func StartRole(host *Host, name string, order any) (*Child, error) {
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
	c := &Child{cmd: cmd, stdin: stdin, Orders: json.NewEncoder(stdin), Answers: json.NewDecoder(stdout)}
	if err := c.Orders.Encode(order); err != nil {
		c.Stop()
		return nil, fmt.Errorf("tell %s what to do: %w", name, err)
	}
	return c, nil
}

// PID is the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Kill ends the child at once. It is stopped all the same.
func (c *Child) Kill() { _ = c.cmd.Process.Kill() }

// CloseOrders ends the child's input, which asks it to end.
func (c *Child) CloseOrders() { _ = c.stdin.Close() }

// Stop ends the child: by itself when its input ends, or else by force.
func (c *Child) Stop() {
	c.CloseOrders()
	kill := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	_ = c.cmd.Wait() // how it ended does not matter any more: all it had to say has been read
}
