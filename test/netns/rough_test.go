package netns

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kanmon/test/netlab"
)

// TestLongRunsInterrupted ends the soak and the hostile tenant in the middle. Nothing of them may stay: no process, no namespace, no
// share of the CPUs. What kill -9 leaves, the next run removes.
func TestLongRunsInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program string
		signals []syscall.Signal // one for each run
	}{
		{"soak", []syscall.Signal{syscall.SIGINT}},
		{"hostile", []syscall.Signal{syscall.SIGTERM}},
		{"hostile", []syscall.Signal{syscall.SIGKILL, syscall.SIGINT}},
	} {
		program, temp := buildProgram(t, c.program), tempFolder(t)
		before := netlab.TakeSnapshot()
		var folders []string
		for _, signal := range c.signals {
			folders = append(folders, interrupt(t, program, temp, signal))
		}
		if diff := settle(before); len(diff) > 0 {
			t.Errorf("%s left behind:\n%s", c.program, strings.Join(diff, "\n"))
		}
		if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
			t.Errorf("%s left behind: %q", c.program, left)
		}
		for _, folder := range folders {
			if left := netlab.SharesOf(folder); len(left) > 0 {
				t.Errorf("%s left behind: %q", c.program, left)
			}
		}
	}
}

// interrupt runs a program until its mail flows, and ends it. It gives the folder that the run had.
func interrupt(t *testing.T, program, temp string, signal syscall.Signal) (folder string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "output")
	output, err := os.Create(file)
	must(t, err)
	defer func() { _ = output.Close() }()
	run := exec.Command(program)
	run.Env = append(netlab.HostEnviron(), "TMPDIR="+temp, "QUICK=1")
	run.Stdout, run.Stderr = output, output
	must(t, run.Start())
	var text []byte
	eventually(t, "mail flows", func() bool {
		text, _ = os.ReadFile(file)
		return strings.Contains(string(text), ": mail flows")
	})
	for _, found := range glob(t, filepath.Join(temp, "kanmon-lab-*")) {
		if _, err := os.Stat(filepath.Join(found, "kanmon")); err == nil {
			folder = found // of the runs before there is at most an empty one
		}
	}
	if strings.Contains(string(text), " CPUs\n") && len(netlab.SharesOf(folder)) == 0 {
		t.Errorf("%s runs without a share of the CPUs", program)
	}
	must(t, run.Process.Signal(signal))
	var exit *exec.ExitError
	if err := run.Wait(); !errors.As(err, &exit) {
		text, _ = os.ReadFile(file)
		t.Fatalf("%s ended with %v:\n%s", program, err, text)
	}
	return folder
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	must(t, err)
	return found
}
