package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"kanmon/internal/intercept"
)

// managedRules are the firewall rules of this host where kanmon manages them itself.
type managedRules struct{ log *slog.Logger }

// apply puts rules in force and keeps them; not against a person who has removed them.
func (m managedRules) apply(ctx context.Context, r intercept.Rules) error {
	keeper, _ := intercept.Here()
	removed, err := keeper.Opened()
	if err != nil {
		m.log.Error("it is not known whether a person has removed the firewall rules", "error", err)
	}
	if removed != nil {
		m.log.Error("firewall rules not applied, mail leaves directly: a person has removed them", "at", removed.At, "cure", "kanmon rules apply")
		return nil
	}
	err = keeper.Apply(ctx, r, true)
	if errors.Is(err, intercept.ErrNotKept) {
		m.log.Error("with a broken configuration nobody will put these firewall rules in force", "error", err)
		return nil
	}
	return err
}

// remove opens the direct way until kanmon starts.
func (m managedRules) remove(ctx context.Context, _ intercept.Rules) error {
	keeper, _ := intercept.Here()
	err := keeper.Remove(ctx, true)
	if errors.Is(err, intercept.ErrNotKept) {
		m.log.Error("firewall rules removed", "error", err)
		return nil
	}
	return err
}

// guard keeps the rules in force until the context ends.
func (m managedRules) guard(ctx context.Context) error {
	keeper, report := intercept.Here()
	return (&intercept.Guard{Keeper: keeper, Log: m.log, Report: report}).Run(ctx, func() {})
}

// guardManaged guards the rules that kanmon manages until Stop.
func (d *Daemon) guardManaged() {
	d.untilStop("guard of the rules", func(ctx context.Context) {
		if err := d.guardRules(ctx); err != nil {
			d.log.Error("firewall rules not guarded: what another program takes away stays away", "error", err)
		}
	})
}

// watchRoutes tells of the policy routes that somebody else manages until Stop.
func (d *Daemon) watchRoutes() {
	rules := Rules(d.cfg)
	if rules.Mode != intercept.TProxy {
		return
	}
	d.untilStop("watch of the policy routes", func(ctx context.Context) {
		if err := (&intercept.RouteWatch{Rules: rules, Log: d.log}).Run(ctx); err != nil {
			d.log.Warn("policy routes not watched", "error", err)
		}
	})
}

// untilStop runs something aside until Stop.
func (d *Daemon) untilStop(name string, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { run(ctx) })
	d.onStop(name, func(context.Context) error {
		cancel()
		ended.Wait()
		return nil
	})
}

// rulesState says how the firewall rules are; "" where kanmon has put none in force.
func rulesState() string {
	keeper, report := intercept.Here()
	kept, err := keeper.Last()
	if errors.Is(err, intercept.ErrNothingKept) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if kept.Removed != nil {
		return "removed by a person at " + kept.Removed.At.UTC().Format(time.RFC3339) + ": mail leaves directly"
	}
	guarding, err := report.Read()
	if err != nil {
		return "not known: " + err.Error()
	}
	return guarding.String()
}
