package metrics

import (
	"testing"
	"time"

	"kanmon/internal/event"
)

// What recipients' domains ask of TLS is counted by recipient, with what came of it; whose domain asks nobody is not counted. A wait is that of a domain.
func TestWhatDomainsAskIsCounted(t *testing.T) {
	m := newMetrics(t, nil)
	refused := &event.Trust{Domain: "a.test", Policy: event.TrustSTS, Verdict: event.TrustRefused, Why: event.HostMismatch, Waited: event.MicrosOf(2 * time.Second)}
	passed := &event.Trust{Domain: "b.test", Policy: event.TrustDANE, Verdict: event.TrustPassed}
	none := &event.Trust{Domain: "c.test", Policy: event.TrustNone}
	m.Hear(mail(leg("docomo", out10), func(t *event.Transaction) {
		t.Recipients = nil
		for _, trust := range []*event.Trust{refused, refused, refused, passed, none, nil, refused} {
			t.Recipients = append(t.Recipients, event.Recipient{Reply: reply(250, 0), Trust: trust})
		}
	}))
	counted(t, m, map[string]float64{
		`kanmon_tls_policy_recipients_total{policy="sts",reason="certificate-host-mismatch",verdict="refused"}`: 4,
		`kanmon_tls_policy_recipients_total{policy="dane",reason="none",verdict="passed"}`:                      1,
		`kanmon_tls_policy_recipients_total{policy="none",reason="none",verdict="none"}`:                        1,
		`kanmon_tls_policy_wait_seconds{policy="sts"}`:                                                          2, // two runs of recipients
	})
}

// Of a configuration that asks nothing there is nothing to be seen.
func TestNothingIsAsked(t *testing.T) {
	for name := range gathered(t, newMetrics(t, func() State { return State{} })) {
		switch name[:min(len(name), len("kanmon_tls_policy"))] {
		case "kanmon_tls_policy", "kanmon_resolver_s", "kanmon_dns_answer", "kanmon_tls_report":
			t.Errorf("%s is shown", name)
		}
	}
}

// What is known of what is asked is shown.
func TestPoliciesAreShown(t *testing.T) {
	m := newMetrics(t, func() State {
		return State{TLSPolicies: &TLSPolicies{
			Domains: map[string]int{"kept": 3}, Fetches: map[string]uint64{"fetched": 2, "busy": 0}, Answers: map[[2]string]uint64{{"MX", "found"}: 7},
			Resolver: map[string]bool{"answering": true, "validating": false}, Redials: map[string]uint64{"name": 4}, Reports: map[string]uint64{"sent": 5},
		}}
	})
	counted(t, m, map[string]float64{
		`kanmon_tls_policy_domains{state="kept"}`:            3,
		`kanmon_tls_policy_fetches_total{result="fetched"}`:  2,
		`kanmon_tls_policy_fetches_total{result="busy"}`:     0,
		`kanmon_dns_answers_total{kind="MX",result="found"}`: 7,
		`kanmon_resolver_state{is="answering"}`:              1,
		`kanmon_resolver_state{is="validating"}`:             0,
		`kanmon_tls_policy_redials_total{cause="name"}`:      4,
		`kanmon_tls_reports_total{result="sent"}`:            5,
	})
}
