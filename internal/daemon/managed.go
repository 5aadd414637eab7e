package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"

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
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := d.guardRules(ctx); err != nil {
			d.log.Error("firewall rules not guarded: what another program takes away stays away", "error", err)
		}
	})
	d.onStop("guard of the rules", func(context.Context) error {
		cancel()
		ended.Wait()
		return nil
	})
}
