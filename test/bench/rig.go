package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"kanmon/test/netlab"
)

// A rig is everything that a run needs.
type rig struct {
	conf       config
	lab        *netlab.Lab
	tools      *netlab.Tools
	world      *world
	all        []*contender  // in the order of their networks
	spare      time.Duration // time that windows may still be measured again
	repeated   int           // windows that were
	descriptor int           // limit of descriptors of a process
}

func newRig(conf config) (_ *rig, err error) {
	r := &rig{conf: conf, all: newContenders(), spare: conf.limit() / 15}
	if err := r.checkNames(); err != nil {
		return nil, err
	}
	if r.descriptor, err = netlab.RaiseDescriptors(); err != nil {
		return nil, err
	}
	// Two descriptors a session, a few hundred for all else: the ten sessions of normal mail, listeners, files.
	r.conf.held = min(conf.held, (r.descriptor-200)/2)
	if r.tools, err = netlab.FindTools("bench"); err != nil {
		return nil, err
	}
	if r.lab, err = netlab.New("bench"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.world, err = newWorld(r.lab, len(r.all)); err != nil {
		return nil, err
	}
	if r.world.sink, err = startMail(r.world.mx); err != nil {
		return nil, err
	}
	return r, r.world.redirect(r.all)
}

var parts = []string{"speed", "latency", "held", "drip", "cost"}

func (r *rig) checkNames() error {
	for _, name := range r.conf.contenders {
		if !slices.ContainsFunc(r.all, func(c *contender) bool { return c.name == name && name != quiet }) {
			return fmt.Errorf("unknown contender %q", name)
		}
		if name == before && r.conf.before == "" {
			return errors.New("the contender \"before\" wants a program: -before FILE")
		}
	}
	for _, part := range r.conf.parts {
		if !slices.Contains(parts, part) {
			return fmt.Errorf("unknown part %q; there are %s", part, strings.Join(parts, ", "))
		}
	}
	return nil
}

func (r *rig) close() error {
	for _, c := range r.all {
		r.halt(c)
	}
	if r.world != nil {
		if r.world.scanner != nil {
			r.world.scanner.Stop()
		}
		for _, s := range []*sink{r.world.sink, r.world.tarpit} {
			if s != nil {
				s.Stop()
			}
		}
	}
	return r.lab.Close()
}

// chosen gives the contenders that take part, without those named.
func (r *rig) chosen(without ...string) []*contender {
	var chosen []*contender
	for _, c := range r.all {
		if slices.Contains(r.conf.contenders, c.name) && !slices.Contains(without, c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func (r *rig) named(name string) *contender {
	i := slices.IndexFunc(r.all, func(c *contender) bool { return c.name == name })
	return r.all[i]
}

// A results is what a run has found out.
type results struct {
	rig     *rig
	speed   []cellResult
	latency []latencyResult
	held    []heldResult
	drip    []dripResult
	cost    []costResult
}

func (r *results) empty() bool {
	return len(r.speed)+len(r.latency)+len(r.held)+len(r.drip)+len(r.cost) == 0
}

// measureAll gives what it has even if there is an error.
func (r *rig) measureAll(ctx context.Context) (*results, error) {
	res := &results{rig: r}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"speed", func(ctx context.Context) (err error) { res.speed, err = r.measureSpeed(ctx); return }},
		{"latency", func(ctx context.Context) (err error) { res.latency, err = r.measureLatency(ctx); return }},
		{"held", func(ctx context.Context) (err error) { res.held, err = r.measureHeld(ctx); return }},
		{"drip", func(ctx context.Context) (err error) { res.drip, err = r.measureDrip(ctx); return }},
		{"cost", func(ctx context.Context) (err error) { res.cost, err = r.measureCost(ctx); return }},
	} {
		if !slices.Contains(r.conf.parts, part.name) {
			continue
		}
		began := time.Now()
		if err := part.run(ctx); err != nil {
			return res, fmt.Errorf("measure %s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %s took %v\n", part.name, time.Since(began).Round(time.Second))
	}
	return res, nil
}

// withProxies runs do while the proxies of the contenders run.
func (r *rig) withProxies(contenders []*contender, copyBuffer int, do func() error) error {
	for _, c := range contenders {
		defer r.halt(c)
		if err := r.launch(c, copyBuffer); err != nil {
			return err
		}
	}
	return do()
}

// target is where a contender's sessions go for plain mail or mail with TLS.
func target(plain, tls netip.Addr, secure bool) netip.AddrPort {
	if secure {
		return netip.AddrPortFrom(tls, smtpPort)
	}
	return netip.AddrPortFrom(plain, smtpPort)
}

// pause waits, or ends early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
