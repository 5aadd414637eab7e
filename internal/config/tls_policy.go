package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"kanmon/internal/session"
)

// TLSPolicy says whether MXs must prove what the recipients' domains ask of them: MTA-STS and DANE.
type TLSPolicy struct {
	On   bool          // the file has the table
	Mode TLSPolicyMode `toml:"mode"`

	MTASTS   bool           `toml:"mta_sts"`
	DANE     bool           `toml:"dane"`
	Resolver netip.AddrPort `toml:"resolver"` // the zero one: those of the system
	TrustAD  bool           `toml:"trust_ad"` // of a resolver that is not on this host
	Store    string         `toml:"store"`    // path of the database of policies; "": they are kept in memory alone
	Roots    string         `toml:"roots"`    // path of certificates (PEM); "": those of the system

	FirstContact time.Duration `toml:"first_contact"` // how long a recipient waits for the policy of a domain that is not known yet
	Wait         time.Duration `toml:"wait"`          // and for what DNS says of its MXs
	DNSFailure   DNSFailure    `toml:"dns_failure"`

	ExemptDomains Names          `toml:"exempt_domains"` // of recipients
	ExemptSources []netip.Prefix `toml:"exempt_sources"` // of MSAs
	ExemptSenders Names          `toml:"exempt_senders"` // of these sources alone; none: all
}

// TLSPolicyMode says what follows where an MX does not prove what is asked.
type TLSPolicyMode string

// The modes.
const (
	TLSObserve TLSPolicyMode = "observe" // it is recorded
	TLSEnforce TLSPolicyMode = "enforce" // the recipient is not named to it: 451
)

// Words returns the modes.
func (TLSPolicyMode) Words() []string { return words(TLSObserve, TLSEnforce) }

// DNSFailure says what follows where DNS does not answer what a domain asks.
type DNSFailure string

// What can follow.
const (
	DNSHold DNSFailure = "hold" // the mail waits: 451 (RFC 7672 section 2.1.2)
	DNSPass DNSFailure = "pass" // it passes
)

// Words returns what there is to choose from.
func (DNSFailure) Words() []string { return words(DNSHold, DNSPass) }

// TLSReport says who is told of what came of TLS policies.
type TLSReport struct {
	Socket string `toml:"socket"` // path of the collector's (libtlsrpt); "": nobody is told
}

func defaultTLSPolicy() TLSPolicy {
	return TLSPolicy{Mode: TLSObserve, MTASTS: true, DANE: true, FirstContact: 5 * time.Second, Wait: 15 * time.Second, DNSFailure: DNSHold}
}

func (d *decoder) completeTLSPolicy(cfg *Config) { cfg.TLSPolicy.On = d.has("tls_policy") }

func (d *decoder) validateTLSPolicy(cfg *Config) {
	p := &cfg.TLSPolicy
	d.judge(
		absolute("tls_policy.store", p.Store), absolute("tls_policy.roots", p.Roots), absolute("tls_report.socket", cfg.TLSReport.Socket),
		lasting("tls_policy.first_contact", p.FirstContact, time.Second, 30*time.Second),
		lasting("tls_policy.wait", p.Wait, time.Second, time.Minute),
		filled("tls_policy.exempt_sources", p.ExemptSources, "empty", `remove it, or name networks such as ["192.0.2.25/32"]`),
		rule{
			"tls_policy.exempt_senders", nil, len(p.ExemptSources) > 0 || !d.good("tls_policy.exempt_sources"),
			"anybody can write such a sender", `add exempt_sources = ["192.0.2.25/32"], the server that sends for it`,
		},
		rule{
			"tls_policy.dane", nil, p.DANE || p.MTASTS || !d.good("tls_policy.mta_sts"), "nothing is left that could be asked of an MX",
			"set dane or mta_sts to true, or remove [tls_policy]",
		},
		rule{"tls_policy.trust_ad", nil, p.DANE || !d.good("tls_policy.dane"), "only DANE asks whether DNS is signed, and dane is false", "remove it"},
	)
	d.validateDomains("tls_policy.exempt_domains", p.ExemptDomains)
	d.validateAccounts("tls_policy.exempt_senders", p.ExemptSenders)
}

// validateNames judges who an MX must be, where a destination says that it must prove that.
func (d *decoder) validateNames(key string, dest *Destination) {
	const verify = `tls = "verify"`
	switch {
	case dest.TLS == session.TLSVerify && !d.has(key+".names") && d.good(key+".tls"):
		d.wrong(key+".tls", "nothing says who the MX must be", `add names = ["relay.example.net"], names that its certificate may have`)
	case dest.TLS != session.TLSVerify && d.good(key+".tls") && d.good(key+".names") && d.has(key+".names"):
		d.wrong(key+".names", "names are only looked at with "+verify, "add "+verify+", or remove names")
	}
	d.judge(filled(key+".names", dest.Names, "empty: no MX could be the right one", `want names such as ["relay.example.net"]`))
	for i, name := range dest.Names {
		at := fmt.Sprintf("%s.names[%d]", key, i)
		if !d.has(at) {
			at = key + ".names"
		}
		dest.Names[i] = strings.ToLower(strings.TrimSuffix(name, "."))
		err := checkHostname(dest.Names[i])
		d.judge(sound(at, name, err, "is not a host name", `want the MX's name, such as "relay.example.net"`))
	}
}
