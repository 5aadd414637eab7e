package check

// What the TLS of MXs has come to, as a running kanmon remembers it.
var (
	tlsLacked = declare(Kind{
		ID: "tls-lacked", Severity: Warning,
		Meaning: "kanmon has no TLS with an MX for a reason that an MSA with OpenSSL may not have",
		Why:     "mail leaves in plain text, or waits where TLS must be, and the MSA alone would perhaps encrypt it",
		Cure:    "[[destination]] with the MX's network and passthrough = true: there the MSA has its own TLS",
	})
	tlsBroken = declare(Kind{
		ID: "tls-broken", Severity: Note,
		Meaning: "an MX offers TLS, and it fails by the MX's own doing",
		Why:     "mail leaves in plain text, or waits where TLS must be, as it would from the MSA alone",
		Cure:    "tell the MX's postmaster",
	})
	tlsRemembered = declare(Kind{
		ID: "tls-remembered", Severity: Note,
		Meaning: "how much kanmon remembers of the TLS of MXs: of nothing else check --tls speaks",
		Why:     "an MX that got no mail since the start of kanmon, or offers no TLS, is not in it",
		Cure:    "ask again when mail has passed for a day",
	})
)
