package check

// What receivers see of a sending IP before they see mail.
var (
	ptrMissing = declare(Kind{
		ID: "ptr-missing", Severity: Error,
		Meaning: "a sending IP has no PTR record",
		Why:     "many receivers refuse mail from such addresses; Google refuses all by IPv6",
		Cure:    "have the owner of the network set the PTR to the EHLO name",
	})
	ptrNotForward = declare(Kind{
		ID: "ptr-not-forward", Severity: Error,
		Meaning: "no name of a sending IP's PTR leads back to the address",
		Why:     "receivers take such a PTR for none",
		Cure:    "add an A or AAAA record of the name with the address",
	})
	ehloNotPTR = declare(Kind{
		ID: "ehlo-not-ptr", Severity: Warning,
		Meaning: "the EHLO name of a sending IP is not the name in its PTR",
		Why:     "receivers count it against mail, and some refuse it",
		Cure:    "want the PTR's name as ehlo of the [[sending_ip]], or the EHLO name in the PTR",
	})
	ehloUnresolved = declare(Kind{
		ID: "ehlo-unresolved", Severity: Warning,
		Meaning: "the EHLO name of a sending IP does not lead to the address",
		Why:     "receivers count it against mail, and some refuse it",
		Cure:    "add an A or AAAA record of the name with the address",
	})
	spfFails = declare(Kind{
		ID: "spf-fails", Severity: Error,
		Meaning: "the SPF record of a sender domain says that an address of the tenant's pools may not send for it (fail)",
		Why:     "receivers refuse the mail",
		Cure:    "have the tenant add ip4:ADDRESS or ip6:ADDRESS to the record",
	})
	spfDoubts = declare(Kind{
		ID: "spf-doubts", Severity: Warning,
		Meaning: "the SPF record of a sender domain does not name an address of the tenant's pools (softfail or neutral)",
		Why:     "receivers take the mail for more likely forged, and large ones want a pass",
		Cure:    "have the tenant add ip4:ADDRESS or ip6:ADDRESS to the record",
	})
	spfMissing = declare(Kind{
		ID: "spf-missing", Severity: Warning,
		Meaning: "a sender domain has no SPF record",
		Why:     "Google, Yahoo and Microsoft want SPF of everybody who sends to them",
		Cure:    "have the tenant publish one: v=spf1 … -all",
	})
	spfBroken = declare(Kind{
		ID: "spf-broken", Severity: Error,
		Meaning: "the SPF record of a sender domain cannot be evaluated (permerror)",
		Why:     "receivers take the domain for one whose SPF fails",
		Cure:    "have the tenant mend the record: at most ten names to look up, one record alone",
	})
	ipListed = declare(Kind{
		ID: "ip-listed", Severity: Error,
		Meaning: "a public blocklist has a sending IP",
		Why:     "receivers that ask the list refuse mail from it",
		Cure:    "find out why, end it, then have it delisted at the list's own page",
	})
	listDead = declare(Kind{
		ID: "list-dead", Severity: Note,
		Meaning: "a blocklist answers as none: it lists everybody, or its domain belongs to somebody else",
		Why:     "nothing follows from what it says",
		Cure:    "leave it out of --blocklist",
	})
)
