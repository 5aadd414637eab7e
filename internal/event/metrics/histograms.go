package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/event"
)

// An observer is a histogram that is made when it is first told something.
type observer struct {
	o atomic.Pointer[prometheus.Observer]
}

// mostNative bounds the native histograms: each takes some 7 KB.
const mostNative = 1000

// phasesAndDelay is how many of them a provider may have beside those of its sending IPs.
const phasesAndDelay = 10 + 1

// exemplary is from when on a reply is worth an exemplar, which costs memory and time: whoever looks at it wants to find the session.
const exemplary = 10 * time.Second

// see tells the histogram a duration; 0 as the session: of nothing that an exemplar is for.
func (o *observer) see(took time.Duration, of event.ID) (done bool) {
	h := o.o.Load()
	if h == nil {
		return false
	}
	if took >= exemplary && of != 0 {
		if e, can := (*h).(prometheus.ExemplarObserver); can {
			e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"session": of.String()})
			return true
		}
	}
	(*h).Observe(took.Seconds())
	return true
}

// firstSeen tells a histogram that is not there yet.
func (m *Metrics) firstSeen(o *observer, begin func() prometheus.Observer, took time.Duration, of event.ID) {
	m.aside(func() {
		if o.o.Load() == nil {
			h := begin()
			o.o.Store(&h)
		}
		o.see(took, of)
	})
}

// seePhase tells what an MX took for a reply.
func (m *Metrics) seePhase(p event.Phase, provider int, took time.Duration, of event.ID) {
	if o := &m.providerCells[provider].phases[p]; !o.see(took, of) {
		m.firstSeen(o, func() prometheus.Observer { return m.made(m.of.phases, p.String(), m.providers.text(provider)) }, took, of)
	}
}

// seeDelay tells how long a message was on its way.
func (m *Metrics) seeDelay(provider int, took time.Duration) {
	if o := &m.providerCells[provider].delay; !o.see(took, 0) {
		m.firstSeen(o, func() prometheus.Observer { return m.made(m.of.delay, m.providers.text(provider)) }, took, 0)
	}
}

// seeWait tells for how long a step of a mail was waited for.
func (m *Metrics) seeWait(step int, c *cell, took time.Duration) {
	if o := &c.waits[step]; !o.see(took, 0) {
		m.firstSeen(o, func() prometheus.Observer { return m.waitOf(step, c) }, took, 0)
	}
}

// waitOf returns the histogram of a place: its own as long as there is room beside those that the phases may still need, else that of all
// others.
func (m *Metrics) waitOf(step int, c *cell) prometheus.Observer {
	reserved := m.providers.count()*phasesAndDelay - (m.native.series - m.native.ofWaits) // of the phases, that are not there yet
	if m.native.series+reserved >= mostNative-waitCount {
		return m.made(m.of.waits, waitSteps[step], m.providers.text(providerOther), m.ips.text(ipOther))
	}
	was := m.native.series
	h := m.made(m.of.waits, waitSteps[step], m.providers.text(c.provider), m.ips.text(c.ip))
	m.native.ofWaits += m.native.series - was
	return h
}

// made returns a histogram of a family, and counts it if it is new. One goroutine at a time makes them.
func (m *Metrics) made(of *prometheus.HistogramVec, labels ...string) prometheus.Observer {
	name := [4]string{}
	copy(name[:], labels)
	id := histogram{of, name}
	if _, known := m.native.known[id]; !known {
		m.native.known[id] = struct{}{}
		m.native.series++
	}
	return of.WithLabelValues(labels...)
}

// A histogram names a series.
type histogram struct {
	of     *prometheus.HistogramVec
	labels [4]string
}
