package metrics

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"kanmon/internal/event"
)

// trustCells are the counters of what recipients' domains ask of the TLS with their MXs.
type trustCells struct {
	verdicts [event.TrustPolicyCount][event.TrustVerdictCount][event.TrustReasonCount]slot
	waits    [event.TrustPolicyCount]observer
}

// TLSPolicies are what is known of what domains ask, and of who is asked about them.
type TLSPolicies struct {
	Domains  map[string]int       // of MTA-STS, by how they are known
	Fetches  map[string]uint64    // of policies, by result
	Answers  map[[2]string]uint64 // of the DNS, by kind and result
	Resolver map[string]bool      // what it does
	Redials  map[string]uint64    // connections in place of another one, by why
	Reports  map[string]uint64    // of TLS-RPT, by result
}

// hearTrust counts what came of what the domains of a mail's recipients ask. Recipients of one domain share what is told of them.
func (m *Metrics) hearTrust(all []event.Recipient) {
	for i := 0; i < len(all); {
		t, n := all[i].Trust, 1
		for i+n < len(all) && all[i+n].Trust == t {
			n++
		}
		i += n
		if t == nil {
			continue
		}
		if s := &m.trust.verdicts[t.Policy][t.Verdict][t.Why]; !s.add(float64(n)) {
			m.first(s, m.of.tlsPolicies, float64(n), orNone(t.Policy.String()), orNone(t.Verdict.String()), orNone(t.Why.String()))
		}
		if t.Waited > 0 {
			m.seeTrustWait(t)
		}
	}
}

// seeTrustWait tells how long a recipient waited until it was known what its domain asks.
func (m *Metrics) seeTrustWait(t *event.Trust) {
	if o := &m.trust.waits[t.Policy]; !o.see(t.Waited.Duration(), 0) {
		m.firstSeen(o, func() prometheus.Observer { return m.of.tlsWaits.WithLabelValues(orNone(t.Policy.String())) }, t.Waited.Duration(), 0)
	}
}

// orNone names what has no word: an empty label is none to Prometheus.
func orNone(word string) string { return cmp.Or(word, "none") }

var (
	policyDomains = gauge("tls_policy_domains", "Domains as MTA-STS knows them.", "state")
	policyFetches = count("tls_policy_fetches_total", "Policies of MTA-STS that were to be fetched, by what came of it.", "result")
	policyRedials = count("tls_policy_redials_total", "Connections to MXs in place of one that showed too little, by what they were made for.", "cause")
	dnsAnswers    = count("dns_answers_total", "Answers of the resolver that [tls_policy] asks.", "kind", "result")
	resolverState = gauge("resolver_state", "What that resolver does.", "is")
	tlsReports    = count("tls_reports_total", "Connections that a collector of TLS reports was to be told of.", "result")
)

// policies adds what is asked of MXs, if anything is.
func (s *stands) policies(t tally, now *State) {
	p := now.TLSPolicies
	if p == nil {
		return
	}
	for state, n := range p.Domains {
		t.add(float64(n), policyDomains, state)
	}
	for result, n := range p.Fetches {
		t.add(float64(n), policyFetches, result)
	}
	for of, n := range p.Answers {
		t.add(float64(n), dnsAnswers, of[0], of[1])
	}
	for what, is := range p.Resolver {
		t.add(truth(is), resolverState, what)
	}
	for cause, n := range p.Redials {
		t.add(float64(n), policyRedials, cause)
	}
	for result, n := range p.Reports {
		t.add(float64(n), tlsReports, result)
	}
}
