package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("INTEROP_FORWARDER") != "" {
		if err := forward(); err != nil {
			fmt.Fprintln(os.Stderr, "forwarder:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv("INTEROP_ISOLATED") == "" {
		os.Exit(isolate())
	}
	os.Exit(m.Run())
}

// isolate runs this program again where it can leave nothing behind, however it ends: with processes of its own, which
// die with it, and mounts of its own, among them the folder of namespaces.
func isolate() int {
	const run = `mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; exec "$@"`
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", run, "sh"}, os.Args...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), "INTEROP_ISOLATED=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1) // -1: killed by a signal
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "interop: making namespaces (root is needed):", err)
		return 1
	}
	return 0
}

// TestSuites runs each suite direct, through the control, through kanmon, and through kanmon looking at nothing.
func TestSuites(t *testing.T) {
	written, err := Differences()
	if err != nil {
		t.Fatal(err)
	}
	rig, err := NewRig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rig.Close)
	folder := t.TempDir()
	suites := Suites(pythonTests(t))
	direct := map[string]Verdicts{}
	for _, s := range suites {
		if err := s.Build(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
		direct[s.Name] = runSuite(t, s, rig).Verdicts
		if n := len(direct[s.Name]); n < s.Size {
			t.Fatalf("%s has %d tests, want at least %d", s.Name, n, s.Size)
		}
	}
	t.Run("control", func(t *testing.T) {
		start(t, rig, controlCommand(t, rig))
		compareAll(t, suites, rig, direct, nil)
	})
	t.Run("kanmon", func(t *testing.T) {
		start(t, rig, kanmonCommand(t, rig, folder, ""))
		compareAll(t, suites, rig, direct, written)
	})
	t.Run("passthrough", func(t *testing.T) {
		start(t, rig, kanmonCommand(t, rig, folder, passthrough))
		compareAll(t, suites, rig, direct, nil)
	})
}

func compareAll(t *testing.T, suites []*Suite, rig *Rig, direct map[string]Verdicts, written []Difference) {
	for _, s := range suites {
		t.Run(s.Name, func(t *testing.T) {
			if err := rig.Through(t.Context()); err != nil {
				t.Fatal(err)
			}
			through := runSuite(t, s, rig)
			connections, err := rig.Connections(t.Context())
			if err != nil {
				t.Error(err)
			}
			if err := rig.Direct(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, problem := range Compare(s.Name, direct[s.Name], through.Verdicts, written) {
				t.Errorf("%s\n%s", problem, through.Output[problem.Test])
			}
			if connections < s.Connections {
				t.Errorf("%d connections came through the proxy, want at least %d", connections, s.Connections)
			}
			t.Logf("%d tests (%d with subtests), %d connections, %d changed verdicts",
				through.Verdicts.Tests(), len(through.Verdicts), connections, direct[s.Name].Changed(through.Verdicts))
		})
	}
}

func runSuite(t *testing.T, s *Suite, rig *Rig) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r, err := s.Run(ctx, rig)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pythonTests(t *testing.T) string {
	t.Helper()
	fetch := exec.CommandContext(t.Context(), "./fetch.sh")
	fetch.Stderr = os.Stderr
	out, err := fetch.Output()
	if err != nil {
		t.Fatalf("fetching Python's test package: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func controlCommand(t *testing.T, rig *Rig) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := rig.Gateway(context.WithoutCancel(t.Context()), self)
	cmd.Env = append(os.Environ(), "INTEROP_FORWARDER=1")
	return cmd
}

// kanmonCommand builds kanmon and gives it a configuration: the rig's, and what is added.
func kanmonCommand(t *testing.T, rig *Rig, folder, added string) *exec.Cmd {
	binary := os.Getenv("KANMON_PROGRAM")
	if binary == "" { // package test/built says why
		binary = filepath.Join(folder, "kanmon")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/kanmon")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building kanmon: %v: %s", err, out)
		}
	}
	config := filepath.Join(folder, "kanmon.toml")
	text := fmt.Sprintf(rigConfig, ProxyPort, SourceNet) + added
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return rig.Gateway(context.WithoutCancel(t.Context()), binary, "run", "--config", config)
}

// Configuration for the rig. No sending IP is configured: kanmon observes, and changes nothing but TLS.
const (
	rigConfig = `
[intercept]
mode    = "redirect"
listen  = ["0.0.0.0:%d"]
sources = [%q]

[journal]
session_log = "-"
`
	passthrough = `
[[destination]]
networks    = ["10.99.1.1/32"]
passthrough = true
`
)

// start runs a proxy until the test ends, and waits until it listens.
func start(t *testing.T, rig *Rig, cmd *exec.Cmd) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "proxy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, cmd, stdin, log) })
	for deadline := time.Now().Add(10 * time.Second); !rig.Listening(t.Context()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the proxy does not listen")
		}
	}
}

// stop ends a proxy: the control at the end of its input, kanmon by SIGTERM.
func stop(t *testing.T, cmd *exec.Cmd, stdin io.Closer, log *os.File) {
	_ = stdin.Close()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	hard := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer hard.Stop()
	_ = cmd.Wait() // the control ends by the signal or by itself, whichever comes first
	_ = log.Close()
	if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
		t.Logf("the proxy's log, its end:\n%s", text[max(0, len(text)-8<<10):])
	}
}
