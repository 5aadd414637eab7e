// Command soak runs kanmon under mixed load for a long time and counts from both ends: what MSAs were told, what MXs took, what is on
// record. Ten kinds of MX, from good to mad; MSAs that hang up at any point, and others that speak no SMTP; reloads, log rotations and
// operators' orders all the time; a full disk in the middle. All of it in network namespaces (see package netlab), MSAs and MXs in this
// process (package traffic).
//
// Normal use, as root on Linux:
//
//  1. test/setup/install.sh, once
//  2. go run ./test/soak -minutes 40 -out soak.md (QUICK=1: half a minute)
//
// The exit code is the verdict. Nothing is left behind, also after Ctrl-C.
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

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

func main() {
	conf := configFromArgs()
	if code, done := netlab.Isolate(); done {
		os.Exit(code)
	}
	passed, err := run(conf)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// A config is what the command line says.
type config struct {
	out    string
	log    string // file for kanmon's own log, if the run does not pass
	length time.Duration
	rate   float64 // mails a second
}

// quickly is how long a short run mails.
const quickly = 20 * time.Second

func configFromArgs() config {
	var c config
	var minutes float64
	flag.StringVar(&c.out, "out", "", "also write the report to this `file`")
	flag.StringVar(&c.log, "log", "", "write kanmon's own log to this `file` if the run does not pass")
	flag.Float64Var(&minutes, "minutes", 40, "how long mail is sent; QUICK=1: 20 seconds")
	flag.Float64Var(&c.rate, "rate", 80, "mails a second")
	flag.Parse()
	c.length = time.Duration(minutes * float64(time.Minute))
	if os.Getenv("QUICK") == "1" {
		c.length = quickly
	}
	return c
}

// beyond is what a run may take besides: to build, to end what is under way, and to read what was written.
const beyond = 5 * time.Minute

func run(conf config) (passed bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, conf.length+beyond)
	defer cancel()
	rig, err := newRig(conf)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rig.lab.Close()) }()
	if err := rig.soak(ctx); err != nil {
		return false, fmt.Errorf("%w\n%s", err, rig.lab.Logs(10))
	}
	var text strings.Builder
	passed = rig.report(&text)
	if !passed && conf.log != "" {
		err = os.WriteFile(conf.log, []byte(rig.kanmon.Log()), 0o644)
	}
	return passed, errors.Join(err, traffic.Publish(text.String(), conf.out))
}
