// Command packages builds kanmon's packages and tries what an operator's host would do with them: twice for the same octets, what is in
// them, what lintian, rpmlint and shellcheck say, and installation, upgrade, removal and purge in a Debian 12 that it lays over the
// one which test/setup/install.sh has made.
//
// Normal use, as root on Debian or Ubuntu:
//
//  1. test/setup/install.sh packages, once
//  2. go run ./test/packages
//
// Each step is printed. The exit code is the verdict. Nothing is left behind, also after Ctrl-C. What a real systemd does with the
// package is tried in test/systemd.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// limit is how long all of it may take, also on a machine that does other things, too.
const limit = 40 * time.Minute

func main() {
	only := flag.String("only", "", "take this `step` alone, and build what it needs")
	keep := flag.String("keep", "", "keep what was built in this `folder`, and build nothing that is there")
	flag.Parse()
	code, err := run(*only, *keep)
	if err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		code = 1
	}
	os.Exit(code)
}

// inside says that this process has a mount namespace of its own, in which what it mounts goes with it.
const inside = "KANMON_PACKAGES_INSIDE"

func run(only, keep string) (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("must run as root")
	}
	if os.Getenv(inside) == "" {
		return apart()
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("make mounts private: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	bench, err := newBench(ctx, keep)
	if err != nil {
		return 0, err
	}
	defer bench.close()
	return bench.try(only), nil
}

// apart runs this program again, where its mounts are its own.
func apart() (int, error) {
	signal.Ignore(syscall.SIGINT) // the child ends, and then this
	runtime.LockOSThread()        // with which Pdeathsig would go off
	defer runtime.UnlockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), inside+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	err := child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// A bench is where packages are tried.
type bench struct {
	ctx  context.Context
	dir  string // removed at the end
	tree string // the source tree
	made string // where packages are, in a folder for each version
}

func newBench(ctx context.Context, keep string) (*bench, error) {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return nil, fmt.Errorf("find the source tree: %w", err)
	}
	dir, err := os.MkdirTemp("", "kanmon-packages-")
	if err != nil {
		return nil, err
	}
	b := &bench{ctx: ctx, dir: dir, tree: filepath.Clean(string(out[:len(out)-1])), made: dir}
	if keep != "" {
		if b.made, err = filepath.Abs(keep); err != nil {
			return nil, err
		}
	}
	// A folder from MkdirTemp is its owner's alone; the package's user reads in it.
	return b, os.Chmod(dir, 0o755)
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// A step is one thing that must be so.
type step struct {
	name string
	do   func() (said string, err error)
}

// try takes the steps in turn; those behind a failed one are taken, too, unless they need what it makes.
func (b *bench) try(only string) int {
	code := 0
	for _, s := range b.steps() {
		if only != "" && only != s.name && s.name != "build" {
			continue
		}
		began := time.Now()
		said, err := s.do()
		verdict := "ok  "
		if err != nil {
			verdict, said, code = "FAIL", err.Error(), 1
		}
		fmt.Printf("%s %-12s %5.1f s  %s\n", verdict, s.name, time.Since(began).Seconds(), said)
		if err != nil && (s.name == "build" || b.ctx.Err() != nil) {
			break
		}
	}
	return code
}

func (b *bench) steps() []step {
	return []step{
		{"build", b.build},
		{"same", b.same},
		{"contents", b.contents},
		{"control", b.control},
		{"readme", b.readme},
		{"sums", b.sums},
		{"tarball", b.tarball},
		{"materials", b.materials},
		{"shellcheck", b.shellcheck},
		{"lintian", b.lintian},
		{"rpmlint", b.rpmlint},
		{"deb", b.debLife},
		{"rpm", b.rpmLife},
		{"container", b.container},
	}
}
