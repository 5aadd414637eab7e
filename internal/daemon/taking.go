package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"kanmon/internal/admin"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/policy"
)

// ErrGoesOn is seen where Start has failed and the kanmon that it would have taken over from goes on.
var ErrGoesOn = errors.New("the kanmon before goes on as it was")

// TakesOver has Start take over from the kanmon that runs, if one does. It is called before.
func (d *Daemon) TakesOver() { d.takes = true }

// takeOver has the kanmon that runs give its files to this one. Where none runs there is nothing to take over.
func (d *Daemon) takeOver(ctx context.Context) error {
	if !d.takes || d.cfg.Admin.Socket == "" {
		return nil
	}
	taking, err := admin.NewClient(d.cfg.Admin.Socket).TakeOver(ctx)
	var refused *admin.Error
	switch nobody := new(admin.NoAnswer); {
	case err == nil:
	case errors.As(err, nobody) && nobody.Absent():
		return nil
	case errors.As(err, &refused) && refused.Status == http.StatusGone:
		return nil // it ends behind its sessions, and another one that had taken over has died
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return fmt.Errorf("take over: the kanmon that runs is too old for that, stop it first (systemctl stop kanmon); %w", ErrGoesOn)
	default:
		return errors.Join(fmt.Errorf("take over from the kanmon that runs: %w", err), ErrGoesOn)
	}
	d.taking = taking
	d.onStop("what was taken over", func(context.Context) error { taking.Close(); return nil })
	return nil
}

// confirm says that this process has everything and takes what is new, and hears what the one before has to tell. If that one has died, its
// files are this one's all the same; if it has given up waiting, they are not.
func (d *Daemon) confirm(ctx context.Context) error {
	if d.taking == nil {
		return nil
	}
	over, err := d.taking.Confirm(ctx)
	if nobody := new(admin.NoAnswer); errors.As(err, nobody) && nobody.Absent() {
		d.log.Warn("the kanmon before has died while this one took over")
		err = nil
	}
	if err != nil {
		return fmt.Errorf("take over from the kanmon that runs: %w", err)
	}
	if d.sure = true; d.aside != nil {
		if err := d.aside.Replace(); err != nil {
			return err
		}
	}
	d.log.Info("taken over: the kanmon before lets its sessions end", "sessions", over.Sessions)
	var learns sync.WaitGroup
	learns.Go(d.learnOn)
	d.onStop("what the kanmon before tells", func(context.Context) error {
		d.taking.Close()
		learns.Wait()
		return nil
	})
	return nil
}

// learnOn learns what the sessions of the kanmon before lead to, until they have ended.
func (d *Daemon) learnOn() {
	defer d.policy.Inherited()
	for {
		told, err := d.taking.Next()
		switch {
		case errors.Is(err, io.EOF):
			d.log.Info("the kanmon before has ended: nothing more is to be learnt of it")
			return
		case err != nil:
			if !d.stopping.Load() {
				d.log.Warn("the kanmon before is not heard any more: what its last sessions lead to is not known", "error", err)
			}
			return
		}
		if err := d.learn(told.Part, told.Rows); err != nil {
			d.log.Warn("the kanmon before has said what is not understood", "part", told.Part, "error", err)
		}
	}
}

// learn takes over what the kanmon before would have written. What it measures, and where it is in a warm-up, is its own.
func (d *Daemon) learn(part string, rows json.RawMessage) error {
	switch part {
	case standing.Part:
		var all []standing.Standing
		if err := json.Unmarshal(rows, &all); err != nil {
			return err
		}
		d.book.Learn(all)
		return nil
	case policy.PartName:
		return d.policy.Learn(rows)
	}
	_, err := d.outlets.Learn(part, rows)
	return err
}
