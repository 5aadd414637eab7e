package daemon

import (
	"context"
	"strings"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
	"kanmon/internal/policy/contain"
)

// Version says which program this is, for the records. It is called before Start.
func (d *Daemon) Version(version string) { d.version = version }

// tellStep tells what this process does.
func (d *Daemon) tellStep(did event.GatewayStep, cause error) {
	step := d.step(did)
	if cause != nil {
		step.Why = cause.Error()
	}
	d.stream.Tell(step)
}

// tellStart tells that this process serves, and of the run before, where that was killed.
func (d *Daemon) tellStart(unclean *event.Run) {
	step := d.step(event.Started)
	step.Unclean = unclean
	d.stream.Tell(step)
	if unclean != nil {
		d.log.Warn("the run before was not stopped but killed: what it recorded last may be missing", "run", unclean.Name, "line", unclean.Line,
			"at", unclean.At)
	}
}

func (d *Daemon) step(did event.GatewayStep) event.Gateway {
	d.mu.Lock()
	ips := len(d.cfg.SendingIPs)
	d.mu.Unlock()
	step := event.Gateway{Did: did, Version: d.version, SendingIPs: ips, Sessions: d.live.Count()}
	if did != event.Draining && did != event.Stopped { // a stop waits for no disk
		step.Rules = d.rulesState()
		d.rulesTold.Store(&step.Rules)
	}
	return step
}

// heartbeatEvery is how often it is told that this process is there.
const heartbeatEvery = time.Minute

// startHeartbeat tells until the stop that this process is there, and when the rules stand in another way.
func (d *Daemon) startHeartbeat() {
	ctx, cancel := context.WithCancel(context.Background())
	go eachMinute(ctx, func() {
		d.lately.note(d.lost())
		d.stream.Tell(event.Heartbeat{Up: time.Since(d.started), Sessions: d.live.Count(), Dropped: d.files.Dropped(), Stalled: d.stream.Pulse.Total()})
	})
	go d.beat(ctx)
	told := d.rulesState()
	go eachMinute(ctx, func() { // by itself: a disk that hangs is no dead process
		if rules := d.rulesState(); rules != told {
			told = rules
			d.tellStep(event.RulesChanged, nil)
		}
	})
	d.onStop("heartbeat", func(context.Context) error {
		cancel()
		return nil
	})
}

// pulseEvery is how often it is looked whether this process stands still, while there are sessions. Without any nobody
// would ask, and it need not wake up.
const pulseEvery = 100 * time.Millisecond

// beat has the stream know when this process stood still.
func (d *Daemon) beat(ctx context.Context) {
	for {
		select {
		case <-d.busy:
			d.beatInSessions(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (d *Daemon) beatInSessions(ctx context.Context) {
	defer d.stream.Pulse.Rest()
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for d.live.Count() > 0 {
		d.stream.Pulse.Beat(time.Now(), pulseEvery)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// isBusy is told when there is a session where there was none.
func (d *Daemon) isBusy() {
	select {
	case d.busy <- struct{}{}:
	default: // it is known
	}
}

func eachMinute(ctx context.Context, do func()) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// tellStanding tells what is thought of a sending IP from now on. What the MX said about it stands, with the people in
// it hidden, in the record of the session that heard it.
func (d *Daemon) tellStanding(s standing.Change) {
	if outlets := d.hearing.Load(); outlets != nil {
		outlets.StandingChanged(&s)
	}
	d.stream.Tell(event.Changed{
		Cause: event.Cause{Session: event.ID(s.Session)}, Owner: s.Tenant,
		IP: s.IP, Provider: strings.TrimPrefix(s.Provider, standing.Every), State: s.State.String(), Until: s.Until, Share: s.Share,
		By: s.By, Rule: s.Rule, Why: s.Reason,
	})
}

// tellLevel tells what is thought of a sender from now on.
func (d *Daemon) tellLevel(n contain.Decision) {
	d.stream.Tell(event.Changed{
		Cause:  causeOf(n.Cause),
		Tenant: n.Subject.Tenant, Account: n.Subject.Account, State: n.To.String(), Was: n.From.String(), Would: n.Enforced != n.To, By: n.By, Why: n.Why,
		Rule: string(n.Reading.Signal),
	})
}

// tellOrder tells what a person has ordered, or a limit that blocks has.
func (d *Daemon) tellOrder(c policy.Change, unkept bool) {
	d.stream.Tell(event.Order{
		Cause: causeOf(c.Cause),
		By:    c.By, Rule: c.Rule, Did: c.Did, Tenant: c.Subject.Tenant, Account: c.Subject.Account, IP: c.IP, Provider: c.Provider,
		Before: c.Before, After: c.After, Why: c.Why, Unkept: unkept,
	})
}

func causeOf(c contain.Cause) event.Cause {
	return event.Cause{Session: event.ID(c.Session), Transaction: c.Transaction}
}
