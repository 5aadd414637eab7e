package story

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kanmon/test/built"
)

// A shell is what an operator types into: the program as it is built, and the history of the stories.
type shell struct {
	*Ledger
	program, dir, config string
}

// folder is that of the program; "": there is none yet.
var folder string

func TestMain(m *testing.M) {
	code := m.Run()
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}

// build builds the program, once.
var build = sync.OnceValues(func() (program string, err error) {
	if folder, err = os.MkdirTemp("", "kanmon-story"); err != nil {
		return "", err
	}
	program = filepath.Join(folder, "kanmon")
	return program, built.Kanmon(program)
})

// newShell writes the stories and has them imported, as from gateways whose configuration has more lines.
func newShell(t *testing.T, o Options, lines string) *shell {
	t.Helper()
	dir := t.TempDir()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	x := &shell{dir: dir, program: program, config: filepath.Join(dir, "kanmon.toml")}
	if x.Ledger, err = Write(dir, o); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`[intercept]
sources = ["10.20.0.0/16"]

[journal]
records  = %q
identify = true
%s
[history]
directory = %q

[[sending_ip]]
address = "203.0.113.10"
ehlo    = "out10.kanmon.example"
`, filepath.Join(dir, Tokyo+".jsonl"), lines, filepath.Join(dir, "history"))
	if err := os.WriteFile(x.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x.types(t, "", append([]string{"history", "import"}, x.Files...)...)
	return x
}

// run runs a command, and gives what it prints and its exit code.
func (x *shell) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, x.program, append(args, "--config", x.config)...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("kanmon %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// types runs a command that must succeed.
func (x *shell) types(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, said, code := x.run(t, stdin, args...)
	if code != 0 {
		t.Fatalf("kanmon %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out
}
