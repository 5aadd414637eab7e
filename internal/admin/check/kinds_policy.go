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
	rootsNone = declare(Kind{
		ID: "tls-roots-none", Severity: Error, Refuses: true,
		Meaning: "MXs have to prove who they are, and there are no authorities who may vouch for them: roots of [tls_policy] has no certificate, or this host has none",
		Why:     "kanmon does not start; a reload changes nothing. Every MX would be refused",
		Cure:    "install ca-certificates, or name a file with certificates (PEM): roots in [tls_policy]",
	})
	clockBehind = declare(Kind{
		ID: "clock-behind", Severity: Warning,
		Meaning: "[tls_policy] is there, and this host's clock shows a time before that of kanmon's build, or before one that its file of policies has seen",
		Why:     "certificates that have ended count as good, and good ones as not valid yet; MTA-STS policies go by the latest time that was seen",
		Cure:    "set the clock, and keep it: timedatectl set-ntp true",
	})
	msaSettings = declare(Kind{
		ID: "tls-msa-settings", Severity: Note,
		Meaning: "[tls_policy] observes; before mode = \"enforce\" the settings of MSAs have to be looked at, which kanmon does not see",
		Why:     "an MSA that itself wants verified TLS holds mail that kanmon would prove, and one that asks another resolver connects to addresses that kanmon does not know as MXs",
		Cure:    "Postfix: smtp_tls_security_level = may, no policy plug-in; the same resolver for MSAs and kanmon (docs/howto/tls.md, the MSA's settings)",
	})
	policyPassed = declare(Kind{
		ID: "tls-policy-passed", Severity: Note,
		Meaning: `[tls_policy] has mode = "enforce", and a [[destination]] has passthrough = true`,
		Why:     "kanmon does not see the TLS there, so it asks nothing of these MXs: the MSA itself must",
		Cure:    "without passthrough, kanmon asks",
	})
)
