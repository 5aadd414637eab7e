// Lab repeats the experiments of the paper that kanmon implements, with real Postfix in network namespaces (see package netlab), and
// draws their figures. Every number and line is made from the receipts of the MXs; each mail has an id of its own.
//
// Normal use, as root on Linux:
//
//  1. test/setup/install.sh, once
//  2. go run ./lab                    all of it, into docs/experiments (under 18 minutes)
//  3. QUICK=1 go run ./lab            shorter, into build/experiments (under 6 minutes)
//  4. go run ./lab -only fig4,listing some of it, into build/experiments; the page then has only these
//  5. go run ./lab -only restricted   the restricted sending IP, which has a page of its own: that alone is made anew
//  6. go run ./lab -only compromised  the compromised account, which is not in all of it and has a page of its own (under 12 minutes;
//     QUICK=1: under 6)
//  7. go run ./lab -only content      of that, what has scanners
//
// A run fails if a mail is lost or arrives twice, or if what must hold (verdict.go) does not. It then says so and leaves the page that
// is there alone; what it did find out is in build/experiments. Nothing but these folders is touched on the host, also after Ctrl-C.
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
	"syscall"
	"time"

	"kanmon/test/netlab"
)

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	o, err := optionsFromArgs()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(2)
	}
	if code, done := netlab.Isolate(); done {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit())
	defer cancel()
	// What does not heed the context is ended with this process, which is the first of its namespaces.
	time.AfterFunc(o.limit()+grace, func() {
		fmt.Fprintln(os.Stderr, "lab: it does not end by itself")
		os.Exit(1)
	})
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// A run is bounded, whatever happens.
const (
	fullLimit  = 17*time.Minute + 30*time.Second
	quickLimit = 5*time.Minute + 50*time.Second
	grace      = 10 * time.Second // for what has to be tidied up after the limit

	compromisedLimit      = 11 * time.Minute
	compromisedQuickLimit = 5*time.Minute + 45*time.Second
)

// Experiments with a page of their own.
const (
	compromisedPart = "compromised"
	contentPart     = "content" // of the page of compromisedPart: alone it makes a figure and a table on the terminal
	restrictedPart  = "restricted"
)

// parts are the experiments but for the compromised account, in their order: all that runs if nothing else is said.
var parts = []string{"fig4", "mass", "scale", "memory", "listing", restrictedPart}

// draftFolder is where results go that are not the whole ones, or do not show what they must.
const draftFolder = "build/experiments"

// Options are what the command line and the environment say.
type options struct {
	out   string
	quick bool
	parts []string
}

func optionsFromArgs() (o options, err error) {
	o.quick = os.Getenv("QUICK") == "1"
	all := strings.Join(parts, ",")
	only := flag.String("only", all, "`experiments` to run, such as "+compromisedPart+", or fig4,mass")
	flag.StringVar(&o.out, "out", "", "`folder` for the results; \"\": docs/experiments for a whole run, and a whole one of "+compromisedPart+" or "+restrictedPart+", else "+draftFolder)
	flag.Parse()
	o.parts = strings.Split(*only, ",")
	for _, part := range o.parts {
		if !slices.Contains(parts, part) && part != compromisedPart && part != contentPart {
			return o, fmt.Errorf("unknown experiment %q; there are %s, %s and %s", part, strings.Join(parts, ", "), compromisedPart, contentPart)
		}
	}
	if o.out == "" {
		o.out = draftFolder
		if !o.quick && slices.Contains([]string{all, compromisedPart, restrictedPart}, *only) {
			o.out = "docs/experiments"
		}
	}
	return o, nil
}

func (o options) limit() time.Duration {
	alone := slices.Equal(o.parts, []string{compromisedPart}) || slices.Equal(o.parts, []string{contentPart})
	switch {
	case alone && o.quick:
		return compromisedQuickLimit
	case alone:
		return compromisedLimit
	case o.quick:
		return quickLimit
	}
	return fullLimit
}

func run(ctx context.Context, o options) error {
	if _, err := netlab.RaiseDescriptors(); err != nil {
		return err
	}
	r, err := measure(ctx, o)
	for _, rows := range [][][]string{r.CompromisedRows(), r.ContentRows()} {
		err = errors.Join(err, printRows(os.Stdout, rows))
	}
	if err = errors.Join(err, r.judge()); err == nil {
		return r.publish(o.out)
	}
	if r.empty() {
		return fmt.Errorf("%w\nnothing is written", err)
	}
	return errors.Join(err, fmt.Errorf("what did run is in %s, for a look", draftFolder), r.publish(draftFolder))
}

// measure runs the experiments. It gives those that ran to their end, even with an error.
func measure(ctx context.Context, o options) (*results, error) {
	p := newPlan(o.quick)
	r := &results{plan: p, Began: time.Now(), Load: loadAverage()}
	var err error
	if r.Postfix, err = askPostfix(); err != nil {
		return r, err
	}
	for _, part := range o.parts {
		began, busy := time.Now(), busyNow()
		var err error
		switch part {
		case "fig4":
			r.Fig4, err = runFig4(ctx, p)
		case "mass":
			r.Mass, err = runMass(ctx, p)
		case "scale":
			r.Scale, err = runScale(ctx, p)
		case "memory":
			r.Memory, err = runMemory(ctx, p)
		case "listing":
			r.Listing, err = runListing(ctx, p)
		case restrictedPart:
			r.Restricted, err = runRestricted(ctx, p)
		case compromisedPart:
			if r.Compromised, err = runCompromised(ctx, p); err == nil {
				r.Content, err = runContent(ctx, p)
			}
		case contentPart:
			r.Content, err = runContent(ctx, p)
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", part, err)
		}
		took := time.Since(began)
		r.note(part, took, busyNow()-busy)
		fmt.Fprintf(os.Stderr, "lab: %s took %v\n", part, took.Round(time.Second))
	}
	return r, nil
}
