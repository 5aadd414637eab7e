package netns

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kanmon/test/netlab"
)

// TestDemo runs the demo to its end.
func TestDemo(t *testing.T) {
	t.Parallel()
	_, demo, output := startDemo(t, buildDemo(t))
	if err := demo.Wait(); err != nil {
		t.Fatalf("the demo ended with %v:\n%s", err, output)
	}
	if !strings.Contains(output.String(), "5 of 5 delivered") {
		t.Errorf("the demo did not deliver everything:\n%s", output)
	}
}

// TestDemoInterrupted ends the demo as Ctrl-C, as a service manager and as kill -9 does it: before the lab, while it is being
// built and while mail flows. Then it looks for traces. The namespaces of this test stand for the host.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	program := buildDemo(t)
	for _, c := range []struct {
		signal syscall.Signal
		after  time.Duration
	}{
		{syscall.SIGINT, 300 * time.Millisecond},
		{syscall.SIGINT, 1500 * time.Millisecond},
		{syscall.SIGINT, 4 * time.Second},
		{syscall.SIGTERM, 1500 * time.Millisecond},
		{syscall.SIGKILL, 1500 * time.Millisecond},
		{syscall.SIGKILL, 4 * time.Second},
	} {
		t.Run(c.signal.String()+" after "+c.after.String(), func(t *testing.T) {
			before := netlab.TakeSnapshot()
			temp, demo, output := startDemo(t, program)
			time.Sleep(c.after)
			must(t, demo.Process.Signal(c.signal))
			err := demo.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("the demo ended with %v:\n%s", err, output)
			}
			if diff := settle(before); len(diff) > 0 {
				t.Errorf("left behind:\n%s", strings.Join(diff, "\n"))
			}
			// After kill -9 the empty folder stays until the next run.
			if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 && c.signal != syscall.SIGKILL {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func buildDemo(t *testing.T) (program string) {
	t.Helper()
	return buildProgram(t, "demo")
}

// buildProgram builds a program of the folder test. `go run` would stand between it and the signals.
func buildProgram(t *testing.T, name string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", program, "kanmon/test/"+name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return program
}

// startDemo starts the demo with a folder of its own for what is temporary.
func startDemo(t *testing.T, program string) (temp string, demo *exec.Cmd, output *bytes.Buffer) {
	t.Helper()
	dir := tempFolder(t)
	output = new(bytes.Buffer)
	demo = exec.Command(program)
	demo.Env = append(netlab.HostEnviron(), "TMPDIR="+dir)
	demo.Stdout, demo.Stderr = output, output
	must(t, demo.Start())
	return dir, demo, output
}

// tempFolder gives an empty folder. Programs of a lab run under users of their own, which must be able to pass.
func tempFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	return dir
}
