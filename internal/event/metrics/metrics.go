package metrics

import (
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kanmon/internal/event"
)

// How many names there may be of each, beside the fixed ones.
const (
	mostProviders = 64
	mostIPs       = 128
	mostTenants   = 500
	mostRules     = 64
	mostActions   = 32
	mostScanners  = 2 * event.MaxScans
)

// The fixed names, by number. The last of each stands for all that have no place of their own.
const (
	providerUnknown = 0 // nobody has connected to an MX yet, or nobody knows whose it is
	providerAll     = 1 // it is about all of them
	providerOther   = 2

	ipNone  = 0 // kanmon has chosen none
	ipOther = 1

	tenantUnknown = 0
	tenantOther   = 1
)

// Metrics are what is counted. They are safe for concurrent use, and outlive reloads.
type Metrics struct {
	log      *slog.Logger
	registry *prometheus.Registry
	of       *families

	providers *names[string]
	ips       *names[netip.Addr]
	tenants   *names[string]
	rules     *names[string]
	actions   *names[string]
	scanners  *names[string]

	countsTenants atomic.Bool

	cells         [providerOther + 1 + mostProviders][ipOther + 1 + mostIPs]atomic.Pointer[cell]
	providerCells [providerOther + 1 + mostProviders]providerCell
	tenantCells   [tenantOther + 1 + mostTenants]tenantCell
	ended         map[string]*slot // sessions, by reason; it does not change
	refused       map[string]*slot // connections, likewise
	decided       [mostActions + 1][mostRules + 1]slot
	trust         trustCells

	native struct { // of whoever makes
		known   map[histogram]struct{}
		series  int
		ofWaits int
	}

	stands stands
	later  aside
}

// Options are what [Metrics] are made from.
type Options struct {
	Version, Revision string
	EndReasons        []string     // all that a session's end can name
	Ask               func() State // what stands now, asked by each scrape; it must not wait
	Log               *slog.Logger // nil: slog.Default()
}

// Labels are the names that a configuration gives: what they are called in the order in which they get a place.
type Labels struct {
	SendingIPs []netip.Addr
	Providers  []string
	Tenants    []string
	ByTenant   bool // whether anything is counted by tenant
}

// New makes metrics of which nothing is counted yet. They work until [Metrics.Close].
func New(o Options) *Metrics {
	m := &Metrics{
		log: o.Log, registry: prometheus.NewRegistry(), of: newFamilies(),
		providers: newNames[string](mostProviders, "unknown", "all", "other"),
		ips:       newNames[netip.Addr](mostIPs, "none", "other"),
		tenants:   newNames[string](mostTenants, "unknown", "_other"),
		rules:     newNames[string](mostRules, "other"),
		actions:   newNames[string](mostActions, "other"),
		scanners:  newNames[string](mostScanners, "other"),
		ended:     map[string]*slot{}, refused: map[string]*slot{},
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	m.native.known = map[histogram]struct{}{}
	m.stands = stands{ask: o.Ask, m: m}
	always, ofTenants := m.of.all()
	m.registry.MustRegister(always...)
	m.registry.MustRegister(&sometimes{shown: &m.countsTenants, of: ofTenants}, &m.stands,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(o))
	m.begin(o.EndReasons)
	m.later.begin()
	go m.run()
	return m
}

func buildInfo(o Options) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kanmon_build_info", Help: "Which program this is.",
		ConstLabels: prometheus.Labels{"version": o.Version, "revision": o.Revision, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// begin puts what is known ahead at 0: a counter that appears with its first event has no rate of that.
func (m *Metrics) begin(reasons []string) {
	for _, reason := range reasons {
		if why, refused := refusedFor(reason); refused {
			m.refused[why] = new(slot)
			m.refused[why].begin(m.of.connectionsRefused, why)
		} else {
			m.ended[reason] = new(slot)
			m.ended[reason].begin(m.of.sessions, reason)
		}
	}
	for _, result := range []string{reloadSucceeded, reloadRefused} {
		m.of.reloads.WithLabelValues(result)
	}
	m.beginProviders(0, m.providers.count())
}

func (m *Metrics) beginProviders(from, to int) {
	for i := from; i < to; i++ {
		if i == providerAll {
			continue
		}
		of, name := &m.providerCells[i], m.providers.text(i)
		for fate := range event.FateCount {
			of.fates[fate].begin(m.of.recipients, name, fate.String())
		}
		for result, text := range tlsResults {
			of.handshakes[result].begin(m.of.handshakes, name, text)
		}
		of.bytes.begin(m.of.bytes, name)
	}
}

// Configure gives names a place. What has none from now on is "other", and is told.
func (m *Metrics) Configure(l Labels) {
	before := m.providers.count()
	for what, left := range map[string]int{
		"providers":   m.providers.add(l.Providers, same),
		"sending IPs": m.ips.add(l.SendingIPs, netip.Addr.String),
		"tenants":     m.tenants.add(l.Tenants, same),
	} {
		if left > 0 {
			m.log.Warn("more names than metrics keep apart: the rest is counted as \"other\"", "of", what, "left_out", left)
		}
	}
	m.beginProviders(before, m.providers.count())
	m.countsTenants.Store(l.ByTenant)
}

func same(name string) string { return name }

// sometimes are collectors that are shown as long as something holds.
type sometimes struct {
	shown *atomic.Bool
	of    []prometheus.Collector
}

func (s *sometimes) Describe(to chan<- *prometheus.Desc) {
	for _, c := range s.of {
		c.Describe(to)
	}
}

func (s *sometimes) Collect(to chan<- prometheus.Metric) {
	if !s.shown.Load() {
		return
	}
	for _, c := range s.of {
		c.Collect(to)
	}
}
