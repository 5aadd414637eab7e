package replies

var ofConnection = &Section{
	Title: "The connection",
	About: "Given in place of a greeting, or at the end of a session. Mail under way stays in the MSA's queue.",
}

var connectionLimit = []Code{{421, "4.7.0"}}

// Replies that end a connection, or stand at its beginning.
var (
	Greeting = ofConnection.add(Entry{
		Name: "greeting", Codes: []Code{{220, ""}}, Text: "%s ESMTP", Holds: []string{"HOSTNAME"}, Bare: true,
		Happened:   "There is no connection to an MX, because none of the mail may go now. Else the greeting is the MX's own.",
		Mail:       "MAIL tells: see `suspended`, `blocked`, `unknown-server`.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	Full = ofConnection.add(Entry{
		Name: "full", Codes: connectionLimit, Text: "too many connections; retry later",
		Happened:   "`limits.sessions` is reached.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon status` says who has the sessions. Raise the limit, if memory and descriptors allow.",
	})
	FullOfSource = ofConnection.add(Entry{
		Name: "full-of-source", Codes: connectionLimit, Text: "too many connections from this address; retry later",
		Happened:   "`limits.sessions_per_source` is reached.",
		Mail:       staysQueued,
		Postmaster: "Fewer connections at once from this server, if it happens often.",
		Operator:   "`kanmon status`; raise the limit if the server is large.",
	})
	FullOfTenant = ofConnection.add(Entry{
		Name: "full-of-tenant", Codes: connectionLimit, Text: "too many connections from your organisation; retry later",
		Happened:   "Few sessions are left, and those are kept for tenants that have fewer (`limits.sessions_reserve`).",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon status`; raise `limits.sessions`.",
	})
	Stopping = ofConnection.add(Entry{
		Name: "stopping", Codes: []Code{{421, "4.3.2"}, {451, "4.3.2"}}, Text: "this gateway is shutting down; your mail stays queued and is retried",
		Happened:   "kanmon stops or restarts.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   nothing,
	})
	Ended = ofConnection.add(Entry{
		Name: "ended", Codes: []Code{{421, "4.3.2"}, {451, "4.3.2"}}, Text: "an operator has ended this session; your mail stays queued and is retried",
		Happened:   "A person has had kanmon end this one session: `kanmon sessions end`, or on the page.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "`kanmon audit` says who did it, and why.",
	})
	NotIntercepted = ofConnection.add(Entry{
		Name: "not-intercepted", Codes: []Code{{421, "4.3.5"}}, Text: "this port takes redirected connections only",
		Happened:   "Somebody connected to kanmon's own port. It has no idea where the mail should go.",
		Mail:       staysQueued,
		Postmaster: "Do not name kanmon as a relay host: send to the MX, the network does the rest.",
		Operator:   "Look at the firewall rules: `kanmon rules print`.",
	})
	Loop = ofConnection.add(Entry{
		Name: "loop", Codes: []Code{{421, "4.4.6"}}, Text: "mail loop: connection came from this gateway itself",
		Happened:   "The firewall rules bring kanmon's own connections back to kanmon.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "At once: the rules must let kanmon's user (or mark) pass. `kanmon rules print` shows how.",
	})
	Internal = ofConnection.add(Entry{
		Name: "internal", Codes: failing("4.3.0"), Text: "internal error" + retried,
		Happened:   "A fault of kanmon that has ended this one session.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   "kanmon's own log has the details: report them.",
	})
	Idle = ofConnection.add(Entry{
		Name: "idle", Codes: failing("4.4.2"), Text: "idle for too long; closing the connection",
		Happened:   "The MSA sent nothing for minutes.",
		Mail:       staysQueued,
		Postmaster: nothing,
		Operator:   nothing,
	})
	Abusive = ofConnection.add(Entry{
		Name: "abusive", Codes: failing("4.7.0"), Text: "too many commands that carry no mail; closing the connection",
		Happened:   "`limits.bad_commands` or `limits.idle_commands` is reached.",
		Mail:       staysQueued,
		Postmaster: "Look what connects there: it does not behave as a mail server.",
		Operator:   "The session log has the commands.",
	})
	TooManyMails = ofConnection.add(Entry{
		Name: "too-many-mails", Codes: []Code{{421, "4.7.0"}}, Text: "too many messages in one connection; open another",
		Happened:   "`limits.transactions` is reached.",
		Mail:       staysQueued + " Most MSAs connect again at once.",
		Postmaster: nothing,
		Operator:   nothing,
	})
	Foreign = ofConnection.add(Entry{
		Name: "foreign", Codes: []Code{{554, "5.5.0"}}, Text: "this port speaks SMTP only",
		Happened:   "The client began with TLS, HTTP or another protocol, or sent much before the greeting.",
		Mail:       "There is none.",
		Postmaster: "Look what connects to port 25 of others: it is no mail server.",
		Operator:   nothing,
	})
	LineFeed = ofConnection.add(Entry{
		Name: "line-feed", Codes: []Code{{500, "5.5.2"}}, Text: "lines must end in CRLF, not in LF alone; closing the connection",
		Happened:   "A command ended in LF alone.",
		Mail:       "It was not sent; software that makes such lines mostly has no queue.",
		Postmaster: "Have the script or device end lines with CR LF, or send through a mail server.",
		Operator:   nothing,
	})
)
