package daemon

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"kanmon/internal/config"
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
	d.unguarded = d.untilStop("guard of the rules", func(ctx context.Context) {
		if err := d.guardRules(ctx); err != nil {
			d.log.Error("firewall rules not guarded: what another program takes away stays away", "error", err)
		}
	})
}

// watchRoutes tells of the policy routes that somebody else manages until Stop.
func (d *Daemon) watchRoutes() {
	if Rules(d.cfg).Mode != intercept.TProxy {
		return
	}
	d.untilStop("watch of the policy routes", func(ctx context.Context) {
		if err := (&intercept.RouteWatch{Rules: d.rulesNow, Log: d.log}).Run(ctx); err != nil {
			d.log.Warn("policy routes not watched", "error", err)
		}
	})
}

// rulesNow are those of the configuration that holds.
func (d *Daemon) rulesNow() intercept.Rules {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Rules(d.cfg)
}

// unguard leaves the rules to another process.
func (d *Daemon) unguard() {
	if d.unguarded != nil {
		d.unguarded()
	}
}

// untilStop runs something aside until Stop, or until what it gives is called.
func (d *Daemon) untilStop(name string, run func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { run(ctx) })
	end = func() {
		cancel()
		ended.Wait()
	}
	d.onStop(name, func(context.Context) error { end(); return nil })
	return end
}

// keptRules gives those that were put in force last on this host.
func keptRules() (intercept.Kept, error) {
	keeper, _ := intercept.Here()
	return keeper.Last()
}

// unkept reports whether rules may be in force that nobody would put in force again, and no person is against it.
func (d *Daemon) unkept(rules intercept.Rules) bool {
	kept, err := d.keptRules()
	return err != nil || kept.Removed == nil && !kept.Are(rules)
}

// rulesToDo says what is to be done for the rules of a configuration to be in force and to stay it. What is kept tells what is in force;
// where nothing is, rules that have changed may not be.
func (d *Daemon) rulesToDo(cfg *config.Config) (todo []string) {
	const behind = "the firewall rules are those of the configuration before; run \"systemctl reload kanmon-rules\" or \"kanmon rules apply\""
	rules := Rules(cfg)
	kept, err := d.keptRules()
	switch {
	case kept.Removed != nil:
		return []string{"a person has removed the firewall rules at " + kept.Removed.At.UTC().Format(time.RFC3339) + ", mail leaves directly; to intercept it again, run \"kanmon rules apply\""}
	case err == nil && kept.Are(rules):
		return nil
	case cfg.Intercept.ManageRules:
		return []string{"the firewall rules are in force and not kept: with a broken configuration, and at a boot, nobody puts them in force; see that kanmon can write to " +
			intercept.DefaultKept + ", then run \"kanmon reload\""}
	case err == nil:
		return []string{behind}
	case !errors.Is(err, intercept.ErrNothingKept):
		return []string{"which firewall rules are in force is not known: " + err.Error() + "; run \"kanmon rules apply\""}
	case len(d.todo) > 0 || !reflect.DeepEqual(Rules(d.cfg), rules):
		return []string{behind}
	}
	return nil
}

// rulesState says how the firewall rules are; "" where kanmon has put none in force.
func rulesState() string {
	state, _ := rulesNow()
	return state
}

// rulesNow is rulesState, with whether they are as they should be.
func rulesNow() (state string, fine bool) {
	keeper, report := intercept.Here()
	kept, err := keeper.Last()
	if errors.Is(err, intercept.ErrNothingKept) {
		return "", true
	}
	if err != nil {
		return err.Error(), false
	}
	if kept.Removed != nil {
		return "removed by a person at " + kept.Removed.At.UTC().Format(time.RFC3339) + ": mail leaves directly", false
	}
	guarding, err := report.Read()
	if err != nil {
		return "not known: " + err.Error(), false
	}
	return guarding.String(), guarding.Fine()
}
