package check

// What keeps MXs from having to prove who they are, or mail from going where they do.
var (
	resolverSilent = declare(Kind{
		ID: "tls-resolver-silent", Severity: Warning,
		Meaning: "[tls_policy] is there, and a DNS server that it asks gives no answer about the root of the DNS",
		Why:     `what recipients' domains ask of MXs is not known; with mode = "enforce" their mail waits`,
		Cure:    `start it, or name another: resolver = "127.0.0.1:53" in [tls_policy]`,
	})
	resolverBlind = declare(Kind{
		ID: "tls-resolver-blind", Severity: Warning,
		Meaning: "[tls_policy] has dane = true, and a DNS server that it asks does not validate DNSSEC, or is not on this host and trust_ad is not set",
		Why:     "no TLSA record counts: there is no DANE",
		Cure:    "a resolver on this host that validates, such as unbound; or dane = false",
	})
	reportsUnused = declare(Kind{
		ID: "tls-reports-unused", Severity: Note,
		Meaning: `socket of [tls_report] is set, and [tls_policy] has no mode = "enforce"`,
		Why:     "no TLS report is made: mode observe does not do what a policy asks",
		Cure:    `mode = "enforce", when kanmon tls list --refused has nothing that should pass`,
	})
	policyPassed = declare(Kind{
		ID: "tls-policy-passed", Severity: Note,
		Meaning: `[tls_policy] has mode = "enforce", and a [[destination]] has passthrough = true`,
		Why:     "kanmon does not see the TLS there, so it asks nothing of these MXs: the MSA itself must",
		Cure:    "without passthrough, kanmon asks",
	})
)
