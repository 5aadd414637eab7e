// Command restricted shows, with real mail servers, what kanmon finds by time alone: a provider that restricts one of three sending IPs, and what only
// looks like that. Nothing but times tells it: no MX refuses anything.
//
// A scene is a small internet (see package netlab): three tenants, each with a Postfix that knows nothing of kanmon, kanmon with three sending IPs and
// act = "move", and three MXs. What mail usually takes is in kanmon's file, as its own detector writes it in virtual time (package usual). A scene
// goes on until there is enough to see, and not for so long: a busy machine makes it longer. Then all its mail has to have arrived, each once.
//
// Normal use, as root on Linux:
//
//  1. test/setup/install.sh, once
//  2. go run ./test/restricted -out restricted.md (QUICK=1: a tarpit and an MX that is slow for all, half a minute)
//
// The exit code is the verdict: whatever is told that is not true fails it. Nothing is left behind, also after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
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
		fmt.Fprintln(os.Stderr, "restricted:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// A config is what the command line and the environment say.
type config struct {
	out   string
	only  []string
	quick bool
}

func configFromArgs() config {
	var c config
	var only string
	flag.StringVar(&c.out, "out", "", "also write the report to this `file`")
	flag.StringVar(&only, "only", "", "only these `scenes`, separated by commas")
	flag.BoolVar(&c.quick, "quick", os.Getenv("QUICK") == "1", "a sample, sooner; QUICK=1 says the same")
	flag.Parse()
	c.only = strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	return c
}

func run(conf config) (passed bool, err error) {
	p := planOf(conf.quick)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	var chosen []scene
	for _, s := range scenes(conf.quick) {
		if len(conf.only) == 0 || slices.Contains(conf.only, s.name) {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return false, fmt.Errorf("no scene is named %q", conf.only)
	}
	outcomes, errs := make([]*outcome, len(chosen)), make([]error, len(chosen))
	var all sync.WaitGroup
	for i, s := range chosen {
		all.Go(func() {
			outcomes[i], errs[i] = play(ctx, s, p)
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", s.name, errs[i])
			}
		})
	}
	all.Wait()
	text, wrong := report(slices.DeleteFunc(outcomes, func(o *outcome) bool { return o == nil }))
	return len(wrong) == 0, errors.Join(errors.Join(errs...), traffic.Publish(text, conf.out))
}

// A plan says how much, and for how long at most.
type plan struct {
	quick bool
	limit time.Duration // of the whole run
	every time.Duration // a mail of each tenant
	since int           // mails of a restricted IP that are seen once something is done about it
	each  int           // mails of each sending IP to each MX, where nothing is to be found
	found time.Duration // until when all is to be found
	drain time.Duration // until when all mail is to have arrived then
}

func planOf(quick bool) plan {
	if quick {
		return plan{quick: true, limit: 4 * time.Minute, every: 500 * time.Millisecond, since: 4, each: 8, found: 90 * time.Second, drain: time.Minute}
	}
	return plan{limit: 14 * time.Minute, every: 1200 * time.Millisecond, since: 20, each: 25, found: 8 * time.Minute, drain: 4 * time.Minute}
}
