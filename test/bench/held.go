package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"kanmon/test/bench/load"
	"kanmon/test/netlab"
)

// What a held session may cost kanmon: KiB plain and with TLS, CPU of all of them in per cent of a core, and what normal mail keeps of its rate.
const (
	heldPlainKiB = 10
	heldTLSKiB   = 26
	idlePercent  = 1
	normalKept   = 0.97
	dripPercent  = 5
	dripSessions = 1000
	heldSize     = 100 << 10 // of the one message of each held session
	heldOpening  = 128       // sessions that begin at once
	heldTimeout  = 2 * time.Minute
	settle       = 8 * time.Second // longer than a proxy takes to see that a busy time is over

	normalSessions = 10 // of normal mail beside the held ones
	normalWindows  = 3  // before, and after, the sessions are held; twice as many meanwhile
)

// A heldResult is what held sessions cost one contender.
type heldResult struct {
	name            string
	tls             bool
	sessions        int
	before          int // resident, KiB
	fresh           int // with all sessions held before their first message
	after           int // with all held after one message each
	idle            float64
	normal, loaded  []*sample // normal mail without and with held sessions
	opened, relayed time.Duration
}

// A dripResult is what sessions cost whose replies come an octet at a time.
type dripResult struct {
	name string
	cpu  float64 // per cent of a core
}

func (r *rig) measureHeld(ctx context.Context) ([]heldResult, error) {
	var out []heldResult
	for _, tls := range []bool{false, true} {
		without := []string{direct}
		if tls {
			without = append(without, byteCopy)
		}
		for _, c := range r.chosen(without...) {
			var result *heldResult
			err := r.withProxies([]*contender{c}, copyBufferHeld, func() (err error) {
				result, err = r.hold(ctx, c, tls)
				return err
			})
			if err != nil {
				return out, fmt.Errorf("%s, TLS %v: %w", c.name, tls, err)
			}
			out = append(out, *result)
			fmt.Fprintf(os.Stderr, "bench: held, %s, TLS %v\n", c.name, tls)
		}
	}
	return out, nil
}

// hold measures one contender: normal mail, then with held sessions: memory, idle CPU, normal mail, memory after one message each,
// and normal mail again once they are gone.
func (r *rig) hold(ctx context.Context, c *contender, tls bool) (*heldResult, error) {
	result := &heldResult{name: c.name, tls: tls, sessions: r.conf.held}
	var err error
	if result.normal, err = r.normalMail(ctx, c, tls, normalWindows); err != nil {
		return nil, err
	}
	if err = pause(ctx, settle); err != nil { // what a busy time leaves behind is not what the sessions are added to
		return nil, err
	}
	if result.before, err = netlab.ResidentOf(c.pid); err != nil {
		return nil, err
	}
	err = r.withTarpitted(c, load.Spec{
		Target: target(holdPlain, holdTLS, tls), Sessions: result.sessions, Size: heldSize, Opening: heldOpening,
	}, func() error {
		return r.weigh(ctx, c, result)
	})
	if err != nil {
		return nil, err
	}
	// Cutting all these sessions is work too.
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	again, err := r.normalMail(ctx, c, tls, normalWindows)
	result.normal = append(result.normal, again...)
	return result, err
}

func (r *rig) weigh(ctx context.Context, c *contender, result *heldResult) error {
	began := time.Now()
	if err := r.awaitHeld(ctx, result.sessions, 0); err != nil {
		return err
	}
	result.opened = time.Since(began)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	var err error
	if result.fresh, err = netlab.ResidentOf(c.pid); err != nil {
		return err
	}
	if result.idle, err = r.cpuShare(ctx, c); err != nil {
		return err
	}
	if result.loaded, err = r.normalMail(ctx, c, result.tls, 2*normalWindows); err != nil {
		return err
	}
	began = time.Now()
	if _, err := r.world.tarpit.release(); err != nil {
		return err
	}
	if err := r.awaitHeld(ctx, result.sessions, result.sessions); err != nil {
		return err
	}
	result.relayed = time.Since(began)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	result.after, err = netlab.ResidentOf(c.pid)
	return err
}

func (r *rig) measureDrip(ctx context.Context) ([]dripResult, error) {
	var out []dripResult
	for _, c := range r.chosen(direct) {
		result := dripResult{name: c.name}
		err := r.withProxies([]*contender{c}, copyBufferHeld, func() error {
			spec := load.Spec{Target: netip.AddrPortFrom(dripPlain, smtpPort), Sessions: dripSessions, Size: small, Opening: heldOpening}
			return r.withTarpitted(c, spec, func() (err error) {
				if err = r.awaitHeld(ctx, dripSessions, 0); err != nil {
					return err
				}
				if err = pause(ctx, settle); err != nil {
					return err
				}
				result.cpu, err = r.cpuShare(ctx, c)
				return err
			})
		})
		if err != nil {
			return out, fmt.Errorf("%s: %w", c.name, err)
		}
		out = append(out, result)
	}
	return out, nil
}

// withTarpitted runs do while a source opens sessions to the tarpit and stays.
func (r *rig) withTarpitted(c *contender, spec load.Spec, do func() error) error {
	tarpit, err := startTarpit(r.world.mx)
	if err != nil {
		return err
	}
	r.world.tarpit = tarpit
	defer func() {
		tarpit.Stop()
		r.world.tarpit = nil
	}()
	spec.From = sources(c.network)
	source, err := netlab.StartRole(r.world.source, "source", spec)
	if err != nil {
		return err
	}
	r.world.holder = source
	defer func() {
		source.Stop()
		r.world.holder = nil
	}()
	if err := do(); err != nil {
		return errors.Join(err, firstFailure(source))
	}
	return nil
}

// firstFailure ends a source and gives what its first failed session met.
func firstFailure(c *netlab.Child) error {
	c.CloseOrders()
	var event sourceEvent
	if err := c.Answers.Decode(&event); err != nil {
		return fmt.Errorf("hear from the source: %w", err)
	}
	if event.Result != nil {
		event.Failed = event.Result.Failure
	}
	return fmt.Errorf("first failed session: %s", cmp.Or(event.Failed, "none"))
}

// awaitHeld waits until so many sessions are held and so many messages have arrived at the tarpit.
func (r *rig) awaitHeld(ctx context.Context, sessions, messages int) error {
	for until := time.Now().Add(heldTimeout); ; {
		stats, err := r.world.tarpit.stats()
		if err != nil {
			return err
		}
		if stats.Held == int64(sessions) && stats.Messages == int64(messages) {
			return nil
		}
		if time.Now().After(until) || stats.Wrong > 0 {
			return fmt.Errorf("of %d sessions %d are held, of %d messages %d have arrived, %d of them with a wrong size",
				sessions, stats.Held, messages, stats.Messages, stats.Wrong)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// cpuShare is what a contender uses of a core while nothing but the held sessions is there, in per cent.
func (r *rig) cpuShare(ctx context.Context, c *contender) (float64, error) {
	before, err := netlab.CPUOf(c.pid)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause(ctx, r.conf.idle); err != nil {
		return 0, err
	}
	after, err := netlab.CPUOf(c.pid)
	return 100 * float64(after.Minus(before).All()) / float64(time.Since(began)), err
}

func (r *rig) normalMail(ctx context.Context, c *contender, tls bool, windows int) ([]*sample, error) {
	normal := cell{tls: tls, sessions: normalSessions, messages: 1, size: small}
	var samples []*sample
	for range windows {
		s, err := r.measure(ctx, c, r.spec(normal))
		if err != nil {
			return nil, fmt.Errorf("normal mail: %w", err)
		}
		samples = append(samples, s)
	}
	return samples, nil
}
