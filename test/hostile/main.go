// Command hostile shows what tenants of a gateway feel while another one does its worst: one tenant after the other, each with MSAs
// and MXs of its own, attacks in one of more than thirty ways, at full rate, while two honest tenants send 50 mails a second to MXs of
// providers. The measure is a plain byte copier in the place of kanmon, beside the same attackers: what it cannot help is not kanmon's.
//
// Three hosts in network namespaces (see package netlab) stand in a row: all MSAs, the gateway, the Internet. The attackers' MSAs and MXs
// are processes in a control group with a fixed share of the CPU; the honest ones are in this process (package traffic). The honest MXs
// are some milliseconds away, as MXs are.
//
// Normal use, as root on Linux:
//
//  1. test/setup/install.sh bench, once
//  2. go run ./test/hostile -out hostile.md (QUICK=1: under a minute, without the copier and the verdicts that noise can break)
//
// The exit code is the verdict. Nothing is left behind, also after Ctrl-C. docs/dev/hostile.md tells what the table means.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"kanmon/test/bench/bytecopy"
	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// roles are what this program does when it is started again by itself.
var roles = map[string]netlab.RoleFunc{attackRole: attack, evilRole: evil, scannerRole: scanner, bytecopy.RoleName: bytecopy.Role}

func main() {
	if code, done := netlab.RunRole(roles); done {
		os.Exit(code)
	}
	conf := configFromArgs()
	if code, done := netlab.Isolate(); done {
		os.Exit(code)
	}
	passed, err := run(conf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// A config is what the command line says.
type config struct {
	out    string
	log    string // file for kanmon's own log
	only   []string
	quick  bool
	rounds int
	window time.Duration // of one contender in one round
	warmup time.Duration // the part of it that is not measured

	content bool // messages are scanned, those of everybody, before they leave
}

func configFromArgs() config {
	var c config
	var only string
	flag.StringVar(&c.out, "out", "", "also write the report to this `file`")
	flag.StringVar(&c.log, "log", "", "write kanmon's own log to this `file`")
	flag.StringVar(&only, "only", "", "only these `kinds`, separated by commas")
	flag.BoolVar(&c.quick, "quick", os.Getenv("QUICK") == "1", "a second of each kind, kanmon alone; QUICK=1 says the same")
	flag.BoolVar(&c.content, "content", false, "all messages are held until a scanner has seen them")
	flag.IntVar(&c.rounds, "rounds", 3, "windows of each kind and contender")
	flag.DurationVar(&c.window, "window", 4500*time.Millisecond, "length of a window")
	flag.Parse()
	c.only = strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	c.warmup = time.Second
	if c.quick {
		c.rounds, c.window, c.warmup = 1, time.Second, 200*time.Millisecond
	}
	return c
}

// deadline bounds a run, whatever happens.
const deadline = 25 * time.Minute

func run(conf config) (passed bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	rig, err := newRig(conf)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	if err := rig.attackAll(ctx); err != nil {
		return false, fmt.Errorf("%w\n%s", err, rig.lab.Logs(10))
	}
	if conf.log != "" {
		err = os.WriteFile(conf.log, []byte(rig.kanmon.Log()), 0o644)
	}
	var text strings.Builder
	passed = rig.report(&text)
	return passed, errors.Join(err, traffic.Publish(text.String(), conf.out))
}
