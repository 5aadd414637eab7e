package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kanmon/internal/admin"
	"kanmon/internal/config"
	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/store"
	"kanmon/internal/store/keep"
)

// openTimes makes what finds out which provider is slow to answer one of the sending IPs; it outlives reloads.
func (d *Daemon) openTimes(file *store.File) error {
	options := slow.Options{Tell: d.tellFinding, Log: d.log}
	if file != nil {
		table, err := keep.NewTable(file, "learnt_times", 1)
		if err != nil {
			return fmt.Errorf("standing.file: %w", err)
		}
		options.Store = table
	}
	d.times = slow.New(options)
	d.onStop("timing", func(context.Context) error {
		if d.deafen != nil {
			d.deafen()
			d.deafen = nil
		}
		return d.times.Close()
	})
	d.hearTimes(timesOf(d.cfg))
	return nil
}

func timesOf(cfg *config.Config) slow.Settings {
	return slow.Settings{Act: cfg.Timing.Act, Internal: cfg.Senders.Internal}
}

// hearTimes says what holds from now on. Where nothing is measured, nobody listens.
func (d *Daemon) hearTimes(s slow.Settings) {
	d.times.Configure(s)
	switch on := d.times.On(); {
	case on && d.deafen == nil:
		d.deafen = d.stream.Subscribe("timing", d.times.Hear)
	case !on && d.deafen != nil:
		d.deafen()
		d.deafen = nil
	}
}

// tellFinding tells what the times of mail say of a sending IP.
func (d *Daemon) tellFinding(f slow.Found) {
	n := findingNews(&f)
	if outlets := d.hearing.Load(); outlets != nil && f.Change != timing.Cleared {
		outlets.TimesSpeak(&f, "slow at "+n.Provider+": "+n.Phase)
	}
	if f.Still {
		return
	}
	d.stream.Tell(n)
	level, text := slog.LevelInfo, "a sending IP is answered slowly"
	switch n.Did {
	case event.FindingBegun:
		if f.Scope == timing.ThisIPHere || f.Scope == timing.ThisIPEverywhere || f.Scope == timing.Everything {
			level = slog.LevelWarn
		}
	case event.FindingCleared:
		text = "a sending IP is not answered slowly any more"
	}
	args := []any{"sending_ip", n.IP, "provider", n.Provider, "change", n.Did.String(), "phase", n.Phase, "scope", f.Scope.String()}
	for _, also := range []struct{ key, value string }{{"host", n.Host}, {"tenant", n.Tenant}} {
		if also.value != "" {
			args = append(args, also.key, also.value)
		}
	}
	args = append(args, "here", n.Here, "others", n.Others, "before", n.Before, "mails", n.Mails, "tenants", n.Tenants, "since", n.Since, "acted", n.Acted)
	d.log.Log(context.Background(), level, text, args...) //nolint:sloglint // one of two texts, each a constant
}

// findingNews gives a finding in the words of the stream.
func findingNews(f *slow.Found) event.Finding {
	scope, _, _ := strings.Cut(f.Scope.String(), ":")
	n := event.Finding{
		Scope: scope, Phase: f.Phase.String(), IP: f.Key.IP, Provider: f.Provider, Host: f.Host, Tenant: f.Tenant, Since: f.Since, Mails: f.Mails,
		Tenants: f.Tenants, Acted: f.Did.String(),
	}
	if f.Phase == timing.Refused {
		n.Refuses = f.Before
	} else {
		n.Here, n.Others, n.Before = seconds(f.Here), seconds(f.Others), seconds(f.Before)
	}
	switch {
	case f.Acted:
		n.Did = event.FindingActed
	case f.Change == timing.Continued:
		n.Did = event.FindingContinued
	case f.Change == timing.Cleared:
		n.Did = event.FindingCleared
	}
	return n
}

// seconds rounds what is known to no more than milliseconds.
func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

// measuring says what is done with the times of mail; nil: nothing is.
func (o *operator) measuring() *admin.Measuring {
	if !o.d.times.On() {
		return nil
	}
	o.d.mu.Lock()
	m := &admin.Measuring{Act: o.d.cfg.Timing.Act.String(), SendingIPs: len(o.d.cfg.SendingIPs)}
	o.d.mu.Unlock()
	m.Findings, m.Standing = o.d.stream.Findings(), 0
	for _, f := range o.d.times.Found() {
		if f.Told {
			m.Standing++
		}
	}
	m.Seen, m.LeftOut = o.d.times.Counts()
	return m
}

// notOfStanding are the states that say something else than how an IP stands.
var notOfStanding = []string{admin.Absent, admin.Standby, admin.CutOff, admin.Warming, admin.Listed, admin.Misnamed}

// withTimes adds to standings what the times of mail say: of one sending IP, or with the zero Addr of all.
func (o *operator) withTimes(all []admin.Standing, ip netip.Addr) []admin.Standing {
	o.d.mu.Lock()
	current := o.d.current
	o.d.mu.Unlock()
	for _, f := range o.d.times.Found() {
		if ip.IsValid() && f.Key.IP.IsValid() && f.Key.IP != ip || !ip.IsValid() && !f.Told && f.Did == slow.Told {
			continue // what is only suspected, and nothing is done about, is shown to whoever asks about the IP
		}
		shown := shownTiming(&f)
		if current != nil && f.Did >= slow.Slowed {
			shown.Shaping = current.out.Spared(f.Key)
		}
		at := slices.IndexFunc(all, func(s admin.Standing) bool {
			return s.IP == f.Key.IP && s.Provider == f.Key.Provider && !slices.Contains(notOfStanding, s.State)
		})
		if at < 0 {
			all = append(all, admin.Standing{IP: f.Key.IP, Provider: f.Key.Provider, State: standing.Active.String(), Since: f.Since, Share: 1, By: "timing"})
			at = len(all) - 1
		}
		all[at].Timing = shown
		all[at].Share *= o.d.times.Share(f.Key)
	}
	return all
}

func shownTiming(f *slow.Found) *admin.Timing {
	t := &admin.Timing{
		Scope: f.Scope.String(), Suspected: !f.Told, Phase: f.Phase.String(), Since: f.Since, Mails: f.Mails, Tenants: f.Tenants, Host: f.Host, Tenant: f.Tenant,
		Waits: f.Waits.Seconds(), Done: f.Did.String(), Why: f.Why,
	}
	if f.Phase == timing.Refused {
		t.Refuses = f.Before
	} else {
		t.Here, t.Others, t.Before = f.Here, f.Others, f.Before
	}
	return t
}
