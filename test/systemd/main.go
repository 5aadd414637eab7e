// Systemd tries kanmon's units on a real Debian 12 with systemd as process 1, in a container of its own: a tenant's MSA sends all the
// time, other programs reload, restart and flush what they have, the configuration breaks, the host boots. After each step it prints
// whether the rules are in force, how mail has gone, and for how long it could go directly.
//
//	MSA 10.20.1.10 ── Debian 12, kanmon 203.0.113.10 ── internet ── MX 198.51.100.21
//
// It needs root, and the root folder that `test/setup/install.sh systemd` makes; `make test-systemd` sees to it. Nothing of it touches
// the host.
//
// Then the package: installed, configured, upgraded, removed and purged while mail goes. At last the guide: a machine without kanmon, and
// what the pages for operators have a person type, read out of them.
//
// For the steps see steps.go, package.go and guide.go; each is a function of the rig, and more can be added to the lists there.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

func main() {
	mode := flag.String("mode", "", `"redirect", "tproxy", "package" or "guide" alone`)
	packages := flag.String("packages", "build/systemd", "the `folder` of two packages, in older and newer")
	program := flag.String("kanmon", "", "another kanmon than this one, to see what it does")
	source := flag.String("source", "", "the folder of its source, for its units")
	only := flag.String("only", "", "stop behind the step of this name")
	code, done := netlab.Isolate()
	if done {
		os.Exit(code)
	}
	flag.Parse()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	modes := []string{"tproxy", "redirect", "package", "guide"}
	if *mode != "" {
		modes = []string{*mode}
	}
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		var errs []error
		for _, mode := range modes {
			errs = append(errs, try(mode, *program, *source, *packages, *only))
		}
		ended <- errors.Join(errs...)
	}()
	select {
	case <-interrupted:
		fmt.Println("interrupted")
		os.Exit(130)
	case err := <-ended:
		fmt.Printf("\n%s in all\n", time.Since(began).Round(time.Second))
		if err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			os.Exit(1)
		}
		fmt.Println("PASS")
	}
}

// try runs all steps in one mode.
func try(mode, program, source, packages, only string) (err error) {
	if mode != "package" && mode != "guide" {
		packages = ""
	}
	r, err := newRig(mode, program, source, packages)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	fmt.Printf("\n%s\n\n%s\n", mode, header)
	steps, err := r.steps()
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.mode != "" && s.mode != mode {
			continue
		}
		if err := r.take(s); err != nil {
			r.explain()
			return fmt.Errorf("%s: %s: %w", mode, s.name, err)
		}
		if s.name == only {
			return r.judge()
		}
	}
	return r.judge()
}
