// Command bench measures kanmon's speed and memory beside others on one machine, in one run: direct delivery, HAProxy in TCP mode,
// a plain byte-copying proxy in Go and, if asked for, nginx. What it says about a proxy is in the ratios of a run; the absolute
// figures belong to the machine.
//
// Three hosts in network namespaces (see package netlab) stand in a row: the source of mail, the gateway with all proxies, the MX.
// On the gateway the kernel redirects port 25 to a proxy by the source address of the connection, to kanmon with kanmon's own
// rules. In the TLS rows kanmon and the direct source use STARTTLS; HAProxy, nginx and the byte copier speak TLS to another port
// of the MX from the first octet, which spares them the dialogue. haproxy.cfg and nginx.conf beside this file are what they run with.
//
// Normal use, as root on Linux:
//
//  1. test/setup/install.sh bench, once
//  2. go run ./test/bench -out bench.md (QUICK=1: a few minutes, for a look)
//
// The contenders take turns, A B C A B C; medians and the spread are reported. A window in which other programs used the machine is
// measured again. Nothing is left behind, also after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// deadline bounds a run, whatever happens.
const (
	deadline      = 25 * time.Minute
	quickDeadline = 9 * time.Minute
)

func main() {
	if code, done := netlab.RunRole(roles); done {
		os.Exit(code)
	}
	conf := configFromArgs()
	if code, done := netlab.Isolate(); done {
		os.Exit(code)
	}
	if err := run(conf); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A config is what the command line says.
type config struct {
	out        string
	quick      bool
	rounds     int
	window     time.Duration
	warmup     time.Duration
	held       int // sessions held at once
	idle       time.Duration
	contenders []string
	parts      []string
	cells      *regexp.Regexp // of the part cost; nil: all
	before     string         // the program of the contender of that name
	senders    bool           // kanmon has a tenant, a limit, containment and files of state
	metrics    bool           // kanmon counts for Prometheus; the one before does not
	behind     bool           // kanmon has a scanner asked about one of ten messages behind their replies; the one before does not
}

func configFromArgs() config {
	var c config
	var contenders, parts string
	flag.StringVar(&c.out, "out", "", "also write the report to this `file`")
	flag.BoolVar(&c.quick, "quick", os.Getenv("QUICK") == "1", "few and short rounds; QUICK=1 says the same")
	flag.IntVar(&c.rounds, "rounds", 0, "rounds of each contender; 0: 5, or 3 if quick")
	flag.IntVar(&c.held, "held", 0, "sessions held at once; 0: 9900, or 2000 if quick; fewer if descriptors are short")
	flag.StringVar(&contenders, "contenders", "direct,haproxy,copy,kanmon", "who takes part; nginx can too")
	flag.StringVar(&parts, "parts", "speed,latency,held,drip", "what is measured; cost, too")
	flag.StringVar(&c.before, "before", "", "the `program` of another kanmon: the contender \"before\"")
	flag.Func("cells", "the loads of the part cost that are measured: those whose name matches this `pattern`; all without it", func(pattern string) (err error) {
		c.cells, err = regexp.Compile(pattern)
		return err
	})
	flag.BoolVar(&c.senders, "senders", false, "kanmon has a tenant, a limit, containment and files of state")
	flag.BoolVar(&c.metrics, "metrics", false, "kanmon counts for Prometheus; the contender \"before\" does not")
	flag.BoolVar(&c.behind, "behind", false, "kanmon has a scanner asked about one of ten messages behind their replies, with -senders; the contender \"before\" does not")
	flag.Parse()
	c.senders = c.senders || c.behind
	if c.before != "" {
		if path, err := filepath.Abs(c.before); err == nil {
			c.before = path
		}
	}
	c.contenders, c.parts = strings.Split(contenders, ","), strings.Split(parts, ",")
	rounds, held := 5, 9900
	c.window, c.warmup, c.idle = 1200*time.Millisecond, 300*time.Millisecond, 65*time.Second // longer than kanmon leaves a waiting session alone
	if c.quick {
		rounds, held = 3, 2000
		c.window, c.warmup, c.idle = 300*time.Millisecond, 150*time.Millisecond, 3*time.Second
	}
	if c.held == 0 {
		c.held = held
	}
	if c.rounds == 0 {
		c.rounds = rounds
	}
	return c
}

func (c config) limit() time.Duration {
	if c.quick {
		return quickDeadline
	}
	return deadline
}

func run(conf config) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, conf.limit())
	defer cancel()

	rig, err := newRig(conf)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	results, err := rig.measureAll(ctx)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, rig.lab.Logs(5))
	}
	// What was measured before an error is worth reading too.
	if !results.empty() {
		err = errors.Join(results.publish(conf.out), err)
	}
	return err
}

// publish prints the report, and writes it to a file if that has a name.
func (r *results) publish(file string) error {
	var text strings.Builder
	r.write(&text)
	return traffic.Publish(text.String(), file)
}
