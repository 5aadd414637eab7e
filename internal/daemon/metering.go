package daemon

import (
	"context"
	"net/netip"
	"runtime/debug"
	"sync"

	"kanmon/internal/config"
	"kanmon/internal/event/metrics"
	"kanmon/internal/session"
)

// A meter counts what happens, and answers whoever scrapes, as long as the configuration wants it. Where it does not, nobody listens.
type meter struct {
	metrics *metrics.Metrics // nil: nothing is counted
	deafen  func()

	listen netip.AddrPort
	serves *serving // nil: nobody is answered
}

// A serving is a listener for scrapes.
type serving struct {
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// measure has counted what a configuration wants, from now on. It cannot fail: what is counted is not needed by mail.
func (d *Daemon) measure(cfg *config.Config) {
	m := &d.meter
	if !cfg.Metrics.On {
		d.endMeasuring()
		return
	}
	if m.metrics == nil {
		m.metrics = metrics.New(metrics.Options{Version: d.version, Revision: revision(), EndReasons: session.EndReasons(), Ask: d.standsNow, Log: d.log})
		m.metrics.Configure(labelsOf(cfg))
		m.deafen = d.stream.Subscribe("metrics", m.metrics.Hear)
	} else {
		m.metrics.Configure(labelsOf(cfg))
	}
	if m.serves != nil && m.listen == cfg.Metrics.Listen {
		return
	}
	m.endServing()
	m.listen = cfg.Metrics.Listen
	server := &metrics.Server{Address: m.listen, Handler: m.metrics.Handler(), Log: d.log}
	ctx, stop := context.WithCancel(context.Background())
	m.serves = &serving{stop: stop}
	m.serves.ended.Go(func() { server.Run(ctx) })
}

func (d *Daemon) endMeasuring() {
	m := &d.meter
	m.endServing()
	if m.deafen != nil {
		m.deafen()
		m.metrics.Close()
	}
	*m = meter{}
}

func (m *meter) endServing() {
	if m.serves != nil {
		m.serves.stop()
		m.serves.ended.Wait()
		m.serves = nil
	}
}

// labelsOf gives what has a name of its own in metrics.
func labelsOf(cfg *config.Config) metrics.Labels {
	l := metrics.Labels{ByTenant: cfg.Metrics.Tenants}
	for i := range cfg.SendingIPs {
		l.SendingIPs = append(l.SendingIPs, cfg.SendingIPs[i].Address)
	}
	for _, p := range cfg.Providers() {
		l.Providers = append(l.Providers, p.Name)
	}
	if l.ByTenant {
		for i := range cfg.Tenants {
			l.Tenants = append(l.Tenants, cfg.Tenants[i].Name)
		}
	}
	return l
}

// revision is the commit that this program was built from, as far as the build has noted it.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
