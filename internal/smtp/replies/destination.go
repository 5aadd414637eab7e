package replies

// With these codes a failure is told: between mails, and where the reply belongs to one mail.
func failing(enhanced string) []Code { return []Code{{421, enhanced}, {451, enhanced}} }

const (
	retried    = "; your mail stays queued and is retried"
	perhaps    = "so it may have been delivered; it stays queued and is retried"
	mayBeTwice = "Queued. If the MX took it, the recipient gets it twice; SMTP cannot avoid that (RFC 1047)."
	seeMX      = "The records have what the MX said, and when. If other destinations are fine, the trouble is theirs."
	seeTLS     = "`kanmon mx ADDRESS` shows what is known of the TLS of this MX."
	seeIPs     = "`kanmon ip list` says which sending IP is suspended where, since when and why."
)

var ofDestination = &Section{
	Title: "The destination",
	About: "kanmon could not bring the mail to the MX. Where the text names a step (\"at rcpt\"), the connection had come as far as that.",
}

// Replies because of the MX, or of the way to it.
var (
	Unreachable = ofDestination.add(Entry{
		Name: "unreachable", Codes: failing("4.4.1"), Text: "cannot connect to %s" + retried, Holds: []string{"MX"},
		Happened:   "The MX refused the connection, or did not answer. At the beginning of a session this is told only with `on_unreachable = \"421\"`; else the MSA gets no greeting and goes to the next MX, as it would directly.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "If it is all destinations: look at the routes of the sending IPs, at the firewall, and at port 25 of your upstream.",
	})
	Suspended = ofDestination.add(Entry{
		Name: "suspended", Codes: []Code{{451, "4.7.1"}, {421, "4.7.1"}}, Text: "all sending IPs for this destination are suspended at present; your mail stays queued and is retried; no action needed",
		Happened:   "Every sending IP that this mail may leave from is suspended for this destination: by refusals of its provider, or by hand.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   seeIPs + " Take one back into use (`kanmon ip resume`), or add a sending IP to the pool.",
	})
	Missing = ofDestination.add(Entry{
		Name: "missing", Codes: []Code{{451, "4.3.0"}, {421, "4.3.0"}}, Text: "this gateway does not have the IP addresses at present that this mail must leave from; your mail stays queued and is retried; no action needed",
		Happened:   "This host has none of the sending IPs that this mail may leave from: they were removed, or their interface is down, or another gateway has them.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon ip list` shows them as absent, and why. Give the host its addresses back (`ip address add`); kanmon uses them at once.",
	})
	PortsUsedUp = ofDestination.add(Entry{
		Name: "ports-used-up", Codes: []Code{{451, "4.4.5"}, {421, "4.4.5"}}, Text: "too many connections to this destination at present; your mail stays queued and is retried; no action needed",
		Happened:   "None of the sending IPs that this mail may leave from has a free source port toward this MX.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "Widen `net.ipv4.ip_local_port_range`, or add sending IPs to the pool.",
	})
	NoRoom = ofDestination.add(Entry{
		Name: "no-room", Codes: []Code{{451, "4.4.5"}, {421, "4.4.5"}}, Text: "%s takes no more from this gateway at present; your mail stays queued; try again in %s", Holds: []string{"PROVIDER", "TIME"},
		Happened:   "Every sending IP that this mail may leave from has as much at its provider as that takes of one: connections, messages or recipients. The mail has waited for room, as long as it could.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon ip show` says what the provider takes, how much is in use, and whether kanmon has tightened it. Add a sending IP to the pool, or change the amount ([shaping.md](../why/shaping.md)).",
	})
	NoMoreRecipients = ofDestination.add(Entry{
		Name: "no-more-recipients", Codes: []Code{{452, "4.5.3"}}, Text: "the destination takes no more recipients in this message, or on this connection; the others stay queued and are retried",
		Happened:   "The message has as many recipients as its provider takes in one message, or on one connection.",
		Mail:       "Those that were accepted get it. The others stay queued, and follow with a message of their own.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	Elsewhere = ofDestination.add(Entry{
		Name: "elsewhere", Codes: []Code{{451, "4.4.1"}}, Text: "the sending IP for this mail cannot reach the destination now" + retried,
		Happened:   "The session began from one sending IP, this mail must leave from another one, and the MX did not let that one connect; or the pool of this mail has no address of the MX's family (IPv4, IPv6).",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   seeIPs + " Look whether the MX lets the IP connect, and with `kanmon explain` whether the mail's pool has an address of the family.",
	})
	Lost = ofDestination.add(Entry{
		Name: "lost", Codes: failing("4.4.2"), Text: "connection to %s lost at %s" + retried, Holds: []string{"MX", "STEP"},
		Happened:   "The MX, or the network, closed the connection.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   seeMX,
	})
	LostAtDot = ofDestination.add(Entry{
		Name: "lost-at-dot", Codes: failing("4.4.2"), Text: "connection to %s lost after the whole message was sent, " + perhaps, Holds: []string{"MX"},
		Happened:   "The connection ended between the end of the message and the MX's reply to it.",
		Mail:       mayBeTwice,
		Postmaster: "Nothing; if it happens often with one destination, ask its postmaster.",
		Operator:   "`outcome` is `ambiguous` in the records.",
	})
	Silent = ofDestination.add(Entry{
		Name: "silent", Codes: failing("4.4.2"), Text: "%s did not answer in time at %s" + retried, Holds: []string{"MX", "STEP"},
		Happened:   "The MX gave no reply within the time that RFC 5321 §4.5.3.2 allows for.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   seeMX,
	})
	SilentAtDot = ofDestination.add(Entry{
		Name: "silent-at-dot", Codes: failing("4.4.2"), Text: "%s did not answer in time after the whole message was sent, " + perhaps, Holds: []string{"MX"},
		Happened:   "The MX gave no reply to the message within `timeouts.dot` (15 minutes).",
		Mail:       mayBeTwice,
		Postmaster: "As for `lost-at-dot`.",
		Operator:   "`outcome` is `ambiguous` in the records.",
	})
	Garbled = ofDestination.add(Entry{
		Name: "garbled", Codes: failing("4.5.0"), Text: "%s broke the SMTP protocol at %s" + retried, Holds: []string{"MX", "STEP"},
		Happened:   "The MX sent what is no reply, a reply that nobody asked for, or one that cannot follow there.",
		Mail:       staysQueued,
		Postmaster: "If it lasts, tell the destination's postmaster.",
		Operator:   seeMX,
	})
	GarbledAtDot = ofDestination.add(Entry{
		Name: "garbled-at-dot", Codes: failing("4.5.0"), Text: "%s gave no clear answer after the whole message was sent, " + perhaps, Holds: []string{"MX"},
		Happened:   "The MX's reply to the message was broken, or contradicted itself.",
		Mail:       mayBeTwice,
		Postmaster: "As for `lost-at-dot`.",
		Operator:   "`outcome` is `ambiguous` in the records.",
	})
	Injected = ofDestination.add(Entry{
		Name: "injected", Codes: failing("4.7.0"), Text: "%s sent data before the TLS handshake" + retried, Holds: []string{"MX"},
		Happened:   "Plain octets stood behind the MX's 220 to STARTTLS: a broken server, or somebody between (CVE-2011-0411).",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "One MX: tell its postmaster. Many: somebody changes the traffic on your side.",
	})
	NoTLS = ofDestination.add(Entry{
		Name: "no-tls", Codes: []Code{{451, "4.7.5"}}, Text: "this gateway requires TLS for this destination, but TLS was not offered or failed" + retried,
		Happened:   "`tls = \"require\"` holds for this destination, and the MX did not offer STARTTLS, or the handshake failed.",
		Mail:       staysQueued,
		Postmaster: "Ask the mail service, if it lasts.",
		Operator:   seeTLS + " Change the `[[destination]]` if the rule is wrong.",
	})
	AnotherName = ofDestination.add(Entry{
		Name: "another-name", Codes: []Code{{451, "4.7.5"}}, Text: "%s asks for TLS with %s, in a mail of its own; your mail stays queued, and goes out with the next attempt", Holds: []string{"DOMAIN", "MX NAME"},
		Happened:   "The TLS policy of the recipient's domain (MTA-STS, DANE) asks the MX to prove another name than the other recipients' domains do. TLS has to be begun anew for that, and this mail has recipients already.",
		Mail:       "The other recipients get it now. This one stays queued, and is the first of its mail then.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	TLSUnproved = ofDestination.add(Entry{
		Name: "tls-unproved", Codes: []Code{{451, "4.7.5"}}, Text: "%s asks for verified TLS (%s), but %s" + retried, Holds: []string{"DOMAIN", "POLICY", "WHAT"},
		Happened: "The recipient's domain has published what TLS its MXs have (MTA-STS, DANE), or the operator has named the MX (`tls = \"verify\"`), and the MX did not prove that it is one of them. " +
			"No recipient was named to it. Either that domain has made a mistake, or somebody is between.",
		Mail:       staysQueued + " Most MSAs try the domain's other MXs at once.",
		Postmaster: "If it lasts, tell the domain's postmaster what the text says. If the MX is a relay that your server was told to use, ask the mail service to name it.",
		Operator: "`kanmon tls DOMAIN` shows each step. A relay that is no MX of its recipients' domains needs a `[[destination]]` with `tls = \"verify\"` and its name. " +
			"`exempt_domains` lets mail to a domain pass unverified.",
	})
	TLSUnknown = ofDestination.add(Entry{
		Name: "tls-unknown", Codes: []Code{{451, "4.4.3"}}, Text: "DNS does not tell what TLS %s asks for (%s)" + retried, Holds: []string{"DOMAIN", "WHAT"},
		Happened:   "The name servers of the recipient's domain, or of its MXs, gave no answer, or one that DNSSEC finds forged. Without it nobody knows whether the MX has to prove who it is (RFC 7672 §2.1.2).",
		Mail:       staysQueued,
		Postmaster: "If it lasts, tell the domain's postmaster that its DNS fails.",
		Operator:   "`kanmon tls DOMAIN` shows which question gets no answer. If it is all domains, look at the resolver. `dns_failure = \"pass\"` lets such mail pass unverified.",
	})
	TLSUnreadable = ofDestination.add(Entry{
		Name: "tls-unreadable", Codes: []Code{{451, "4.7.5"}}, Text: "the domain of this recipient address cannot be read, so nobody knows what TLS it asks for; correct the address",
		Happened: "The mail server wrote the recipient in a way that is no address (`<user@example.com` without its end), or without a domain (only `<postmaster>` has none, RFC 5321 §2.3.5). " +
			"MXs guess what is meant, and it may be of a domain whose mail must not go to an MX that has proved nothing.",
		Mail:       staysQueued,
		Postmaster: "Correct the address, or what writes it, and send the mail again.",
		Operator:   "The record has the recipient as it was written. If a tenant's software cannot write it otherwise, `exempt_sources` and `exempt_senders` let its mail pass unverified.",
	})
	TLSWanted = ofDestination.add(Entry{
		Name: "tls-wanted", Codes: []Code{{451, "4.7.0"}}, Text: "TLS with the destination failed, and it takes no mail without; your mail stays queued and is retried with TLS",
		Happened:   "kanmon sent in plain text because TLS with this MX had failed, and the MX refused that. This stands in place of its 5xx, since the refusal is of kanmon's doing.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   seeTLS,
	})
	Gone = ofDestination.add(Entry{
		Name: "gone", Codes: []Code{{421, "4.4.2"}}, Text: "the destination closed the connection" + retried,
		Happened:   "The MX had ended the connection, mostly an idle one, before this command came.",
		Mail:       staysQueued + " Most MSAs connect again at once.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	Refused = ofDestination.add(Entry{
		Name: "refused", Codes: []Code{{503, "5.5.1"}}, Text: "the destination refused the connection; only QUIT is left",
		Happened:   "The MX refused the connection in its greeting, which the MSA has seen, and the MSA went on.",
		Mail:       "What the greeting said holds.",
		Postmaster: "See the greeting.",
		Operator:   nothing,
	})
	Lacks = ofDestination.add(Entry{
		Name: "lacks", Codes: []Code{{451, "4.3.3"}}, Text: "the destination does not offer an extension that this mail asks for" + retried,
		Happened:   "The MSA was promised an extension (such as 8BITMIME, SMTPUTF8 or DSN), and the MX that the mail goes to in the end does not have it.",
		Mail:       staysQueued,
		Postmaster: "If it lasts: send without that extension.",
		Operator:   "Look whether the MXs of this destination offer different extensions.",
	})
)
