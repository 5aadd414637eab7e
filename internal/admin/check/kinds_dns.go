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
		Meaning: "a sending IP has a PTR record, and its name does not resolve to the address",
		Why:     "receivers ignore such a PTR record and treat the address as one without a name",
		Cure:    "add an A or AAAA record of the name with the address",
	})
	ehloNotPTR = declare(Kind{
		ID: "ehlo-not-ptr", Severity: Warning,
		Meaning: "the EHLO name of a sending IP differs from the name in its PTR record",
		Why:     "receivers trust such mail less, and some refuse it",
		Cure:    "set ehlo of the [[sending_ip]] to the PTR's name, or have the PTR record set to the EHLO name",
	})
	ehloUnresolved = declare(Kind{
		ID: "ehlo-unresolved", Severity: Warning,
		Meaning: "the EHLO name of a sending IP does not resolve to the address",
		Why:     "receivers trust such mail less, and some refuse it",
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
		Why:     "receivers trust such mail less, and large ones require a pass",
		Cure:    "have the tenant add ip4:ADDRESS or ip6:ADDRESS to the record",
	})
	spfMissing = declare(Kind{
		ID: "spf-missing", Severity: Warning,
		Meaning: "a sender domain has no SPF record",
		Why:     "Google, Yahoo and Microsoft require SPF",
		Cure:    "have the tenant publish one: v=spf1 … -all",
	})
	spfBroken = declare(Kind{
		ID: "spf-broken", Severity: Error,
		Meaning: "the SPF record of a sender domain cannot be evaluated (permerror)",
		Why:     "receivers treat the mail as if SPF had failed",
		Cure:    "have the tenant fix the record: exactly one record, at most ten DNS lookups",
	})
	ipListed = declare(Kind{
		ID: "ip-listed", Severity: Error,
		Meaning: "a sending IP is on a public blocklist",
		Why:     "receivers that use the list refuse mail from the address",
		Cure:    "find out why, end it, then have it delisted at the list's own page",
	})
	listDead = declare(Kind{
		ID: "list-dead", Severity: Note,
		Meaning: "a blocklist does not work as one: it lists everybody, or its domain has another use now",
		Why:     "its answers mean nothing",
		Cure:    "leave it out of --blocklist",
	})
)
