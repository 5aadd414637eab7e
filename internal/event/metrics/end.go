package metrics

import (
	"crypto/tls"
	"strings"
	"time"

	"kanmon/internal/event"
)

// refusedFor says why a connection got no session, if that is what a reason tells.
func refusedFor(reason string) (why string, refused bool) {
	return strings.CutPrefix(reason, "refused_")
}

// broken is the reason of a session's end that is a defect.
const broken = "broken"

// hearEnd counts a session that is over, with all connections to MXs that it has made.
func (m *Metrics) hearEnd(f *event.Facts) {
	e := f.End
	if why, refused := refusedFor(e.Reason); refused {
		if s := m.refused[why]; s != nil {
			s.add(1)
		}
		return
	}
	if s := m.ended[e.Reason]; s != nil {
		s.add(1)
	}
	if e.Reason == broken {
		m.of.panics.Inc()
	}
	for i := range e.Legs {
		m.hearLeg(f, &e.Legs[i])
	}
	for i := range e.Opening {
		m.hearOpening(f, &e.Opening[i])
	}
	if how, failed := strings.CutPrefix(e.Reason, "mx_"); failed && len(e.Legs) > 0 {
		if last := &e.Legs[len(e.Legs)-1]; last.Failed == event.FailedNot && lost[how] {
			m.countFailure(last, how)
		}
	}
}

// lost are the ends of a session by which a connection has failed that was open.
var lost = map[string]bool{"lost": true, "silent": true, "garbled": true, "injected": true}

// hearLeg counts a connection to an MX.
func (m *Metrics) hearLeg(f *event.Facts, leg *event.Leg) {
	provider, ip := m.place(leg)
	if leg.Failed != event.FailedNot && leg.Failed != event.OpeningLeft {
		m.countFailure(leg, leg.Failed.String())
	}
	var all time.Duration
	for p, took := range leg.Phases {
		if took > 0 {
			m.seePhase(event.Phase(p), provider, took.Duration(), f.Session.ID)
			all += took.Duration()
		}
	}
	if leg.Failed == event.FailedNot && all > 0 {
		m.seeWait(waitOpen, m.at(provider, ip), all)
	}
	if result, known := tlsOf(leg); known {
		m.countHandshake(provider, result)
		if result == tlsDowngraded {
			m.countDowngrade(provider, leg.MX.Cause)
		}
	}
}

// countFailure counts a connection that has failed: there are few, and they took long.
func (m *Metrics) countFailure(leg *event.Leg, how string) {
	provider, ip := m.place(leg)
	m.aside(func() { m.of.failures.WithLabelValues(m.providers.text(provider), m.ips.text(ip), how).Inc() })
}

// tlsOf says what TLS a connection has had, if it came as far as that.
func tlsOf(leg *event.Leg) (result int, known bool) {
	switch {
	case leg.Failed == event.OpeningTLS:
		return tlsFailed, true
	case leg.MX.State == event.TLSOn && leg.MX.Version == tls.VersionTLS13:
		return tls13, true
	case leg.MX.State == event.TLSOn && leg.MX.Version == tls.VersionTLS12:
		return tls12, true
	case leg.MX.State == event.TLSOn:
		return tlsOlder, true
	case leg.Failed != event.FailedNot || leg.MX.State == event.TLSPassthrough || leg.Phases[event.PhaseEHLO] == 0:
		return 0, false
	case leg.MX.State == event.TLSDowngraded:
		return tlsDowngraded, true
	default:
		return tlsNotOffered, true
	}
}

// hearOpening counts the reply to a step of opening a connection. What that took is known of the connection.
func (m *Metrics) hearOpening(f *event.Facts, o *event.Opening) {
	slow := o.Reply.Took >= o.Reply.First+event.MicrosOf(slowReply)
	if o.Reply.Code < 400 && !slow {
		return
	}
	provider, ip := providerUnknown, ipNone
	for i := range f.End.Legs {
		if leg := &f.End.Legs[i]; leg.Number == o.Leg {
			provider, ip = m.place(leg)
		}
	}
	of := m.at(provider, ip)
	if slow {
		m.countDrips(of, 1)
	}
	if o.Reply.Code >= 400 {
		class := event.Unjudged
		if o.Meaning != nil {
			class = o.Meaning.Class
		}
		m.countRefusals(of, f.Tenant, class, kindOf(o.Reply.Code), 1)
	}
}
