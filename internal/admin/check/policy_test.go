package check

import (
	"errors"

	"kanmon/internal/outlet/trust/dns"
)

// answers has every DNS server give one answer about the root.
func answers(a dns.Answer) func(*rig) {
	return func(r *rig) { r.Root = func(string) dns.Answer { return a } }
}

func policyRows() []row {
	const (
		observed = plain + "[tls_policy]\nresolver = '127.0.0.1:53'\nstore = 'off'\n"
		enforced = plain + "[tls_policy]\nmode = 'enforce'\nresolver = '127.0.0.1:53'\nstore = 'off'\n"
		reported = "[tls_report]\nsocket = '/run/tlsrpt/collectd.sock'\n"
		passing  = "[[destination]]\nnetworks = ['198.51.100.0/24']\npassthrough = true\n"
	)
	well, blind := answers(dns.Answer{Outcome: dns.Found, Secure: true}), answers(dns.Answer{Outcome: dns.Found})
	silent := answers(dns.Answer{Err: errors.New("i/o timeout")})
	return []row{
		{id: "tls-resolver-silent", name: "resolver down", doc: observed, host: silent, want: "tls_policy.resolver: 127.0.0.1:53 does not answer: i/o timeout", good: observed, goodHost: well},
		{id: "tls-resolver-blind", name: "resolver that does not validate", doc: observed, host: blind, want: "127.0.0.1:53 does not validate DNSSEC", good: edited(observed, "store", "dane = false\nstore"), goodHost: blind},
		{
			id: "tls-resolver-blind", name: "resolver elsewhere", doc: edited(observed, "127.0.0.1", "192.0.2.53"), host: well, want: "192.0.2.53:53 is not on this host, and trust_ad is not set",
			good: edited(edited(observed, "127.0.0.1", "192.0.2.53"), "store", "trust_ad = true\nstore"), goodHost: well,
		},
		{id: "tls-reports-unused", name: "reports of mode observe", doc: observed + reported, host: well, want: "note: kanmon.toml:13: tls_report.socket: no TLS report is made", good: enforced + reported, goodHost: well},
		{id: "tls-policy-passed", name: "a destination that is passed through", doc: enforced + passing, host: well, want: "destination[0].passthrough: kanmon asks nothing of the MXs here", good: observed + passing, goodHost: well},
	}
}
