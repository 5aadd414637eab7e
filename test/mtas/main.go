package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"kanmon/test/netlab"
)

// deadline bounds a run, whatever happens.
const deadline = 20 * time.Minute

func main() {
	if len(os.Args) > 1 && os.Args[1] == clientRole {
		if err := runClient(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "mtas client:", err)
			os.Exit(1)
		}
		return
	}
	conf := configFromArgs()
	if code, done := netlab.Isolate(); done {
		os.Exit(code)
	}
	if err := run(conf); err != nil {
		fmt.Fprintln(os.Stderr, "mtas:", err)
		os.Exit(1)
	}
}

// A config is what the command line says.
type config struct {
	out      string
	only     []string
	modes    []string
	parallel int
	logs     string
}

func configFromArgs() config {
	var c config
	var only, modes string
	flag.StringVar(&c.out, "out", "", "also write the report to this `file`")
	flag.StringVar(&only, "only", "", "measure these `programs`, separated by commas")
	flag.StringVar(&modes, "modes", "", "measure these `modes`, separated by commas: direct, kanmon, kanmon-v4, observing")
	flag.IntVar(&c.parallel, "parallel", 5, "worlds at once: most of the time they wait")
	flag.StringVar(&c.logs, "logs", "", "write the logs of every world to files of this `folder`")
	flag.Parse()
	c.only = strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	c.modes = strings.FieldsFunc(modes, func(r rune) bool { return r == ',' })
	return c
}

func run(conf config) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	report, failed := measureAll(ctx, conf)
	output := io.Writer(os.Stdout)
	if conf.out != "" {
		file, err := os.Create(conf.out)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		output = io.MultiWriter(os.Stdout, file)
	}
	return errors.Join(failed, report.write(output))
}

// measureAll measures every program in every mode, some worlds at once. Worlds that cannot be measured are in the error.
func measureAll(ctx context.Context, conf config) (*report, error) {
	report := newReport()
	slots := make(chan struct{}, conf.parallel)
	var worlds sync.WaitGroup
	for _, p := range programs {
		for _, m := range modes {
			if !wanted(conf.only, p.name) || !wanted(conf.modes, m.name) {
				continue
			}
			worlds.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				begun := time.Now()
				samples, err := measure(ctx, p, m, conf.logs)
				if err != nil {
					report.fail(fmt.Errorf("NOT MEASURED: %s %s: %w", p.name, m.name, err))
					return
				}
				fmt.Fprintf(os.Stderr, "%s %s: measured in %s\n", p.name, m.name, time.Since(begun).Round(time.Second))
				report.add(p, m, samples)
			})
		}
	}
	worlds.Wait()
	return report, errors.Join(report.failed...)
}

// wanted reports whether a name is in the list, which means all names if it is empty.
func wanted(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
