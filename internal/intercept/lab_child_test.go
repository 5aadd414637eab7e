package intercept_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A child is a process of this test binary in a namespace. It ends when its standard input does.
type child struct {
	t      *testing.T
	name   string
	stdin  io.WriteCloser
	events chan event
	seen   []event
}

const optionsVariable = "KANMON_TEST_OPTIONS"

// raced is the exit code of a process that has found data races in itself.
const raced = 66

// executable is a copy of the test binary that a user without privileges can execute too.
var executable string

func TestMain(m *testing.M) {
	if o := os.Getenv(optionsVariable); o != "" {
		runChild(o)
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kmtest-")
	if err == nil {
		defer os.RemoveAll(dir)
		executable = filepath.Join(dir, "child")
		err = errors.Join(os.Chmod(dir, 0o755), copyFile(executable, "/proc/self/exe"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "copy the test binary:", err)
		return 1
	}
	return m.Run()
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

func (l *lab) start(ns string, o options) *child {
	l.t.Helper()
	args := []string{"netns", "exec", ns}
	if o.NetAdmin {
		args = append(args, "setpriv", "--bounding-set", "-all,+net_admin")
	}
	if o.Unprivileged {
		args = append(args, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
		if o.NetRaw {
			args = append(args, "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw")
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.Command("ip", append(args, executable)...)
	// A process that looks for data races sleeps for a second before it ends, unless it is told not to: that was most of the time these tests took.
	cmd.Env = append(os.Environ(), optionsVariable+"="+string(text), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		l.t.Fatal(err)
	}
	c := &child{t: l.t, name: o.Role, stdin: stdin, events: make(chan event, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.events)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			var e event
			if err := json.Unmarshal(in.Bytes(), &e); err != nil {
				e = event{Msg: in.Text(), Error: err.Error()}
			}
			c.events <- e
		}
	}()
	l.t.Cleanup(func() {
		stdin.Close()
		select {
		case <-done:
		case <-time.After(time.Minute):
			l.t.Errorf("%s does not end", o.Role)
			_ = cmd.Process.Kill()
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() == raced {
			l.t.Errorf("%s has a data race: %v", o.Role, err)
		}
	})
	return c
}

// expect waits for an event that has not been expected before.
func (c *child) expect(msg string) event {
	c.t.Helper()
	timeout := time.After(time.Minute)
	for {
		if i := slices.IndexFunc(c.seen, func(e event) bool { return e.Msg == msg }); i >= 0 {
			e := c.seen[i]
			c.seen[i].Msg = "expected " + msg
			return e
		}
		select {
		case e, ok := <-c.events:
			if !ok {
				c.t.Fatalf("%s ended before %q; it said %+v", c.name, msg, c.seen)
			}
			c.seen = append(c.seen, e)
		case <-timeout:
			c.t.Fatalf("%s does not say %q; it said %+v", c.name, msg, c.seen)
		}
	}
}

// collect takes what the child has said so far.
func (c *child) collect() {
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return
			}
			c.seen = append(c.seen, e)
		default:
			return
		}
	}
}

// drop takes what the child has said so far as expected.
func (c *child) drop(msg string) {
	c.tell("report")
	for c.unexpected(msg) > 0 {
		c.expect(msg)
	}
}

// unexpected gives how often the child has said something that was not expected.
func (c *child) unexpected(msg string) int {
	c.collect()
	n := 0
	for _, e := range c.seen {
		if e.Msg == msg {
			n++
		}
	}
	return n
}

// count gives how often the child has said something, expected or not.
func (c *child) count(msg string) int { return c.unexpected(msg) + c.unexpected("expected "+msg) }

// tell gives the child a command and waits until it is done.
func (c *child) tell(what string) event {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, what+"\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.expect("done " + what)
}
