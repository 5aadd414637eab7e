package daemon

import (
	"context"
	"errors"
	"runtime"
	"runtime/metrics"
	"strings"

	"kanmon/internal/admin"
)

// shownHolders is how many of those who have sessions are shown.
const shownHolders = 10

// OnReload says what reads the configuration anew and calls Reload, for operators who ask on the admin socket. It is called before Start.
func (d *Daemon) OnReload(reload func(context.Context) error) { d.reload = reload }

// Reload implements [admin.Process].
func (o *operator) Reload(ctx context.Context) (admin.Reloaded, error) {
	if o.d.reload == nil {
		return admin.Reloaded{}, errors.New("this kanmon cannot read its configuration anew")
	}
	if err := o.d.reload(ctx); err != nil {
		return admin.Reloaded{}, err
	}
	return admin.Reloaded{ToDo: o.d.toDo()}, nil
}

// Status implements [admin.Process].
func (o *operator) Status() admin.Status {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	status := admin.Status{
		Version:    o.d.version,
		Started:    o.d.started,
		Sessions:   o.d.live.Count(),
		Goroutines: runtime.NumGoroutine(),
		HeapLive:   samples[0].Value.Uint64(),
		HeapFreed:  samples[1].Value.Uint64(),
		Stacks:     samples[2].Value.Uint64(),
		Mapped:     samples[3].Value.Uint64() - samples[4].Value.Uint64(),

		RecordsDropped:   o.d.files.Dropped(),
		RecordsDroppedOf: o.d.files.DroppedOf(),
	}
	rules, fine := rulesNow()
	status.Rules, status.Timing, status.IPs, status.Held = rules, o.measuring(), o.standingIPs(), o.held()
	status.Senders, status.Stopped = o.standingSenders()
	status.Lately, status.ListenersOff, status.ReloadRefused = o.d.lately.since(o.d.lost()), o.d.stream.Off(), o.d.lately.reloadRefused()
	o.d.mu.Lock()
	status.SessionsMost = o.d.cfg.Limits.Sessions
	o.d.mu.Unlock()
	for _, missing := range o.d.outlets.Absent() {
		if missing.Floating {
			status.Standby = append(status.Standby, missing.Address)
		} else {
			status.Absent = append(status.Absent, missing.Address)
		}
	}
	for _, h := range o.d.live.Holdings(shownHolders) {
		shown := admin.Holder{Tenant: h.Tenant, Sessions: h.Sessions, Refused: h.Refused, Slowed: h.Slowed}
		if h.Tenant == "" {
			shown.Source = strings.TrimSuffix(h.Source.String(), "/32")
		}
		status.Holders = append(status.Holders, shown)
	}
	status.Problems = o.problems(&status, fine)
	return status
}
