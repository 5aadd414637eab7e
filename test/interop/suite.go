package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Verdict is what a suite says of one of its tests: "pass", "fail" or "skip".
type Verdict string

// Verdicts are those of one run of a suite, by test name. Subtests are counted as tests.
type Verdicts map[string]Verdict

// A Suite is another project's tests.
type Suite struct {
	Name string

	// A suite that lost its tests, or talks to itself in memory, proves nothing: both are least numbers.
	Size        int // tests and subtests
	Connections int // TCP connections that must come out of the proxy

	pkg    string // Go package, or "" for Python
	alone  string // a test that gets a process of its own: it leaves a goroutine behind whose failure would end the others
	python string // folder of Python's test package

	binary string // compiled tests
	dir    string // folder the tests must run in
}

// Suites gives all suites. pythonTests is the folder that fetch.sh printed.
func Suites(pythonTests string) []*Suite {
	return []*Suite{
		{Name: "go-smtp", Size: 74, Connections: 50, pkg: "github.com/emersion/go-smtp"},
		{Name: "mhale-smtpd", Size: 35, Connections: 0, pkg: "github.com/mhale/smtpd"},
		{Name: "net-smtp", Size: 20, Connections: 5, pkg: "net/smtp", alone: "TestNewClientWithTLS"},
		{Name: "cpython-smtplib", Size: 82, Connections: 50, python: pythonTests},
	}
}

// Build compiles the suite into the folder given. Modules that are not there yet are fetched.
func (s *Suite) Build(ctx context.Context, folder string) error {
	if s.pkg == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", s.pkg).Output()
	if err != nil {
		return fmt.Errorf("finding %s: %w", s.pkg, err)
	}
	s.dir = strings.TrimSpace(string(out))
	s.binary = filepath.Join(folder, s.Name+".test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, s.pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the tests of %s: %w: %s", s.pkg, err, out)
	}
	return nil
}

// Run runs the suite in the rig. A test that fails is in the report, not an error.
func (s *Suite) Run(ctx context.Context, rig *Rig) (Report, error) {
	if s.pkg == "" {
		return s.runPython(ctx, rig)
	}
	return s.runGo(ctx, rig)
}

// runGo runs the tests, and again without those that hung: one test that waits for ever must not hide the others.
func (s *Suite) runGo(ctx context.Context, rig *Rig) (Report, error) {
	const mostHung = 3
	all := Report{Verdicts{}, map[string]string{}}
	var hung []string
	if s.alone != "" {
		r, err := s.runGoTests(ctx, rig, "-test.run=^"+s.alone+"$")
		if err != nil {
			return Report{}, err
		}
		all = r
	}
	for range mostHung + 1 {
		r, err := s.runGoTests(ctx, rig, skip(append(hung, s.alone)))
		if err != nil {
			return Report{}, err
		}
		maps.Copy(all.Verdicts, r.Verdicts)
		maps.Copy(all.Output, r.Output)
		again := r.hung()
		if len(again) == 0 {
			return all, nil
		}
		hung = append(hung, again...)
	}
	return all, fmt.Errorf("%s: more than %d tests hang: %q", s.Name, mostHung, hung)
}

// skip gives the argument that leaves tests out; an empty name is none.
func skip(names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
	if len(names) == 0 {
		return "-test.skip="
	}
	return "-test.skip=^(" + strings.Join(names, "|") + ")$"
}

func (s *Suite) runGoTests(ctx context.Context, rig *Rig, which string) (Report, error) {
	cmd := rig.Suite(ctx, s.binary, "-test.v=test2json", "-test.count=1", "-test.timeout=20s", which)
	cmd.Dir = s.dir
	out, err := output(cmd)
	if err != nil {
		return Report{}, err
	}
	convert := exec.CommandContext(ctx, "go", "tool", "test2json")
	convert.Stdin = bytes.NewReader(out)
	events, err := convert.Output()
	if err != nil {
		return Report{}, fmt.Errorf("reading the verdicts of %s: %w", s.Name, err)
	}
	return goReport(events)
}

// unittest's own runner, pointed at a test package that is not installed.
const pythonRunner = `
import sys, test, unittest
test.__path__.insert(0, sys.argv[1])
unittest.main(module="test.test_smtplib", argv=["test_smtplib", "-v"])
`

func (s *Suite) runPython(ctx context.Context, rig *Rig) (Report, error) {
	out, err := output(rig.Suite(ctx, "/usr/bin/python3", "-B", "-c", pythonRunner, s.python))
	if err != nil {
		return Report{}, err
	}
	return pythonReport(out), nil
}

// output runs a suite. A suite with failed tests exits non-zero: that is not an error here.
func output(cmd *exec.Cmd) ([]byte, error) {
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("running %s: %w", cmd.Path, err)
	}
	return both.Bytes(), nil
}
