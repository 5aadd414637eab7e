package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"kanmon/test/netlab"
	"kanmon/test/traffic"
)

// A contender stands on the gateway, in the way of mail.
type contender struct {
	name string
	via  byte
}

var (
	kanmon = contender{"kanmon", viaKanmon}
	copied = contender{"copy", viaCopy}
)

// A window is what one contender did with one attack in one round.
type window struct {
	group                              string
	wholeP50, wholeP95, dotP50, dotP95 time.Duration
	cpu                                time.Duration
	others                             float64 // share of the machine that other programs took
}

// A result is all that is known of one kind of attack.
type result struct {
	kind    int
	windows map[string][]window // by contender
	tolls   map[string]toll

	heldAtFirst int // KiB resident when the attack began
	resident    int // KiB, the most
	dropped     int // records of the honest that gap lines speak of
	answer      time.Duration
	silent      bool // the admin socket did not answer
	harm        []string
	guilt       string
}

// attackAll lets one kind of attacker after the other loose.
func (r *rig) attackAll(ctx context.Context) error {
	fmt.Fprintf(os.Stderr, "hostile: mail flows, and the attackers have %s\n", r.share)
	r.watch.start(r)
	for i, k := range kinds {
		if k.content && !r.conf.content {
			continue
		}
		if len(r.conf.only) > 0 && !slices.Contains(r.conf.only, k.name) || len(r.conf.only) == 0 && r.conf.quick && !k.sample {
			continue
		}
		began := time.Now()
		if err := r.attackBy(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		fmt.Fprintf(os.Stderr, "hostile: %s took %v\n", k.name, time.Since(began).Round(100*time.Millisecond))
	}
	r.honest.stop()
	r.watch.stop()
	if err := r.kanmon.Stop(stopTime); err != nil {
		return fmt.Errorf("stop kanmon: %w", err)
	}
	return errors.Join(r.readMoved(), r.read(movedRecords{r.kanmon.RecordsFile(), r.results[len(r.results)-1]}))
}

// stopTime is how long kanmon may take to stop; it has no session left.
const stopTime = 60 * time.Second

func (r *rig) attackBy(ctx context.Context, i int) error {
	res := &result{kind: i, windows: make(map[string][]window), tolls: make(map[string]toll)}
	r.results = append(r.results, res)
	r.watch.begin(r.kanmon.PID())
	for round := range r.conf.rounds {
		contenders := []contender{kanmon, copied}
		switch {
		case r.conf.quick:
			contenders = contenders[:1]
		case round%2 == 1:
			slices.Reverse(contenders)
		}
		for _, c := range contenders {
			if err := r.measure(ctx, res, c, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	res.heldAtFirst, res.resident, res.answer, res.silent = r.watch.end()
	return r.examine(ctx, res)
}

// measure runs an attack through a contender for a window.
func (r *rig) measure(ctx context.Context, res *result, c contender, round int) error {
	w := window{group: fmt.Sprintf("%s/%s/%d", kinds[res.kind].name, c.name, round)}
	before, err := r.readClocks(c)
	if err != nil {
		return err
	}
	r.honest.take(&path{c.via, w.group})
	if _, err := r.order(order{res.kind, c.via}); err != nil {
		return err
	}
	if err := pause(ctx, r.conf.warmup); err != nil {
		return err
	}
	from := time.Now()
	if err := pause(ctx, r.conf.window-r.conf.warmup); err != nil {
		return err
	}
	until := time.Now()
	after, err := r.readClocks(c)
	if err != nil {
		return err
	}
	w.cpu = after.proxy - before.proxy
	w.others = float64(after.busy-before.busy-(after.ours-before.ours)) / float64(after.at.Sub(before.at)*time.Duration(runtime.NumCPU()))
	done, err := r.order(order{Kind: -1})
	if err != nil {
		return err
	}
	r.honest.take(nil)
	r.settle(ctx, w.group)
	res.tolls[c.name] = res.tolls[c.name].plus(done)
	w.measured(r.ledger.Times(w.group, from, until))
	res.windows[c.name] = append(res.windows[c.name], w)
	if c == kanmon {
		return r.rotate(res)
	}
	return nil
}

// clocks are the CPU clocks at one moment.
type clocks struct {
	at                time.Time
	proxy, ours, busy time.Duration
}

func (r *rig) readClocks(c contender) (now clocks, err error) {
	now.at = time.Now()
	if now.busy, err = netlab.MachineBusy(); err != nil {
		return now, err
	}
	proxy := r.copier.PID()
	if c == kanmon {
		proxy = r.kanmon.PID()
	}
	for _, pid := range []int{r.kanmon.PID(), r.copier.PID(), r.attackers.PID(), r.evil.PID(), os.Getpid()} {
		used, err := netlab.CPUOf(pid)
		if err != nil {
			return now, err
		}
		now.ours += used.All()
		if pid == proxy {
			now.proxy = used.All()
		}
	}
	return now, nil
}

func (t toll) plus(o toll) toll {
	return toll{t.Sessions + o.Sessions, t.Commands + o.Commands, t.Refused + o.Refused}
}

func (w *window) measured(t traffic.Times) {
	w.wholeP50, w.wholeP95 = quantiles(t.Whole)
	w.dotP50, w.dotP95 = quantiles(t.Dot)
}

func quantiles(samples []time.Duration) (p50, p95 time.Duration) {
	if len(samples) == 0 {
		return 0, 0
	}
	slices.Sort(samples)
	return samples[len(samples)/2], samples[len(samples)*95/100]
}

// orderTime is how long attackers may take to stop: thousands of sessions are closed in their share of the CPUs.
const orderTime = 30 * time.Second

// order gives the attackers one, and what they have done by the one before.
func (r *rig) order(o order) (done toll, err error) {
	if err := r.attackers.Orders.Encode(o); err != nil {
		return done, fmt.Errorf("order the attackers: %w", err)
	}
	answered := make(chan error, 1)
	go func() { answered <- r.attackers.Answers.Decode(&done) }()
	select {
	case err := <-answered:
		return done, err
	case <-time.After(orderTime):
		r.attackers.Kill()
		return toll{}, errors.Join(errors.New("the attackers do not stop"), <-answered)
	}
}

// settle waits until the honest mail of a window has ended.
func (r *rig) settle(ctx context.Context, group string) {
	for until := time.Now().Add(honestPatience + 5*time.Second); r.ledger.Underway(group) > 0 && time.Now().Before(until); {
		if pause(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// A movedRecords is a file of records that was moved away, and the attack that it is of.
type movedRecords struct {
	file string
	of   *result
}

// rotate moves the records of a window away, and reads those before: kanmon may still write to what was just moved.
func (r *rig) rotate(res *result) error {
	file, err := r.kanmon.Rotate()
	if err != nil {
		return fmt.Errorf("rotate the journal: %w", err)
	}
	err = r.readMoved()
	r.moved = append(r.moved, movedRecords{file, res})
	return err
}

func (r *rig) readMoved() error {
	moved := r.moved
	r.moved = nil
	for _, m := range moved {
		if err := r.read(m); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) read(m movedRecords) error {
	before := r.records.DroppedOf(honestTenants...)
	if err := r.records.ReadRecords(m.file, r.ledger); err != nil {
		return err
	}
	m.of.dropped += r.records.DroppedOf(honestTenants...) - before
	return os.Remove(m.file)
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
