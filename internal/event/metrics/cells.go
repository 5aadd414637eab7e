package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/event"
)

// A slot is a counter that is made when it counts first, and found without a look-up from then on.
type slot struct {
	c atomic.Pointer[prometheus.Counter]
}

// add counts, if the counter is there.
func (s *slot) add(n float64) (done bool) {
	c := s.c.Load()
	if c == nil {
		return false
	}
	(*c).Add(n)
	return true
}

// begin makes the counter of a family.
func (s *slot) begin(of *prometheus.CounterVec, labels ...string) prometheus.Counter {
	c := of.WithLabelValues(labels...)
	s.c.Store(&c)
	return c
}

// first counts with a counter that is not there yet.
func (m *Metrics) first(s *slot, of *prometheus.CounterVec, n float64, labels ...string) {
	m.aside(func() { s.begin(of, labels...).Add(n) })
}

const (
	outcomes = int(event.OutcomeOrphanAck) + 1
	sides    = int(event.ByKanmon) + 1
)

// A cell has the counters of a sending IP at a provider.
type cell struct {
	provider, ip int

	outcomes [outcomes][sides]slot
	refusals [event.ClassCount][kindCount]slot
	drips    slot
	waits    [waitCount]observer
}

// A providerCell has those of a provider.
type providerCell struct {
	fates      [event.FateCount]slot
	bytes      slot
	handshakes [tlsCount]slot
	downgrades [event.TLSCauseCount]slot
	phases     [event.PhaseCount]observer
	delay      observer
}

// A tenantCell has those of a tenant.
type tenantCell struct {
	outcomes [outcomes]slot
	refusals [event.ClassCount]slot
}

// at returns the cell of a place.
func (m *Metrics) at(provider, ip int) *cell {
	if c := m.cells[provider][ip].Load(); c != nil {
		return c
	}
	m.cells[provider][ip].CompareAndSwap(nil, &cell{provider: provider, ip: ip})
	return m.cells[provider][ip].Load()
}

func (m *Metrics) ofTenant(name string) *tenantCell {
	i := tenantUnknown
	if name != "" {
		i = m.tenants.at(name)
	}
	return &m.tenantCells[i]
}

func (m *Metrics) countOutcome(c *cell, o event.Outcome, by event.Side) {
	if s := &c.outcomes[o][by]; !s.add(1) {
		m.first(s, m.of.transactions, 1, m.providers.text(c.provider), m.ips.text(c.ip), o.String(), by.String())
	}
}

func (m *Metrics) countRefusals(c *cell, tenant string, class event.Class, kind int, n float64) {
	if s := &c.refusals[class][kind]; !s.add(n) {
		m.first(s, m.of.refusals, n, m.providers.text(c.provider), m.ips.text(c.ip), className(class), kinds[kind])
	}
	if !m.countsTenants.Load() {
		return
	}
	if s := &m.ofTenant(tenant).refusals[class]; !s.add(n) {
		m.first(s, m.of.tenantRefusals, n, m.tenantName(tenant), className(class))
	}
}

func (m *Metrics) countDrips(c *cell, n float64) {
	if n > 0 && !c.drips.add(n) {
		m.first(&c.drips, m.of.drips, n, m.providers.text(c.provider), m.ips.text(c.ip))
	}
}

func (m *Metrics) countTenant(tenant string, o event.Outcome) {
	if !m.countsTenants.Load() {
		return
	}
	if s := &m.ofTenant(tenant).outcomes[o]; !s.add(1) {
		m.first(s, m.of.tenantTransactions, 1, m.tenantName(tenant), o.String())
	}
}

func (m *Metrics) tenantName(name string) string {
	if name == "" {
		return m.tenants.text(tenantUnknown)
	}
	return m.tenants.of(name)
}

func (m *Metrics) countRecipients(provider int, n *[event.FateCount]int) {
	of := &m.providerCells[provider]
	for fate := range event.FateCount {
		if n[fate] > 0 && !of.fates[fate].add(float64(n[fate])) {
			m.first(&of.fates[fate], m.of.recipients, float64(n[fate]), m.providers.text(provider), fate.String())
		}
	}
}

func (m *Metrics) countBytes(provider int, n int64) {
	if s := &m.providerCells[provider].bytes; !s.add(float64(n)) {
		m.first(s, m.of.bytes, float64(n), m.providers.text(provider))
	}
}

func (m *Metrics) countDowngrade(provider int, why event.TLSCause) {
	if s := &m.providerCells[provider].downgrades[why]; !s.add(1) {
		m.first(s, m.of.downgrades, 1, m.providers.text(provider), why.String())
	}
}

func (m *Metrics) countHandshake(provider, result int) {
	if s := &m.providerCells[provider].handshakes[result]; !s.add(1) {
		m.first(s, m.of.handshakes, 1, m.providers.text(provider), tlsResults[result])
	}
}
