package check

// Kinds that are about the configuration, the files and the service. Those of kinds_host.go are about the host and its firewall, those of
// kinds_dns.go about the DNS.

var notChecked = declare(Kind{
	ID: "not-checked", Severity: Note,
	Meaning: "something could not be checked; the text says what, and why",
	Why:     "what was not seen may be good or bad",
	Cure:    "do what the text says, and check again",
})

var configurationWrong = declare(Kind{
	ID: "configuration-wrong", Severity: Error, Refuses: true,
	Meaning: "the file is not TOML, or a key or value in it is wrong",
	Why:     "kanmon does not start; a reload changes nothing",
	Cure:    "what the text says",
})

// Files that the configuration names.
var (
	fileMissing = declare(Kind{
		ID: "file-missing", Severity: Error, Refuses: true,
		Meaning: "a file that kanmon reads cannot be opened",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "put the file there, or take the key out",
	})
	fileUnreadable = declare(Kind{
		ID: "file-unreadable", Severity: Error, Refuses: true,
		Meaning: "a file exists, and kanmon's user may not read it",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "chgrp kanmon FILE && chmod g+r FILE",
	})
	pathWrong = declare(Kind{
		ID: "path-wrong", Severity: Error, Refuses: true,
		Meaning: "a path names a directory, a file that is for something else as well, or, of the admin socket, a file",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "name a file in it, or remove what is in the way",
	})
	folderMissing = declare(Kind{
		ID: "folder-missing", Severity: Error, Refuses: true,
		Meaning: "the folder of a file that kanmon writes, or of its socket, is missing, and the unit does not make it",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "install -d -o kanmon -m 0750 FOLDER",
	})
	notWritable = declare(Kind{
		ID: "not-writable", Severity: Error, Refuses: true,
		Meaning: "kanmon's user may not write a file, or make one in its folder",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "chown kanmon FILE",
	})
	sandboxForbids = declare(Kind{
		ID: "sandbox-forbids", Severity: Error,
		Meaning: "the sandbox of kanmon.service keeps a file from kanmon, whatever its permissions are",
		Why:     "kanmon does not start as a service",
		Cure:    "want a path in /var/lib/kanmon, /var/log/kanmon or /run/kanmon, or widen the unit",
	})
	stateWrong = declare(Kind{
		ID: "state-wrong", Severity: Error, Refuses: true,
		Meaning: "file of [standing] or [senders] is not a SQLite file, is damaged, or was emptied",
		Why:     "kanmon does not start: it would lose what stands there",
		Cure:    "want another path, restore a backup of the file (kanmon restore), or move it away to begin without what it has",
	})
	stateNewer = declare(Kind{
		ID: "state-newer", Severity: Error, Refuses: true,
		Meaning: "file of [standing] or [senders] was written by a newer kanmon",
		Why:     "kanmon does not start: it would misread what stands there",
		Cure:    "run that version again, restore a backup of this one (kanmon restore), or move the file away to begin without what it has",
	})
	rulesFileWrong = declare(Kind{
		ID: "rules-file-wrong", Severity: Error, Refuses: true,
		Meaning: "the classifier's own rules have an error",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "what the text says; docs/ref/classification.md describes the file",
	})
	hashKeyShort = declare(Kind{
		ID: "hash-key-short", Severity: Error, Refuses: true,
		Meaning: "the key of hashed addresses is shorter than 16 octets",
		Why:     "with a short key, addresses can be guessed from their hashes",
		Cure:    "head -c 32 /dev/urandom > FILE",
	})
	certificateWrong = declare(Kind{
		ID: "certificate-wrong", Severity: Error, Refuses: true,
		Meaning: "msa_certificate and msa_key are no certificate with its key",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "want PEM files: the certificate with its intermediates, and the key of the first certificate",
	})
	certificateExpired = declare(Kind{
		ID: "certificate-expired", Severity: Warning,
		Meaning: "the certificate for MSAs has expired",
		Why:     "MSAs that verify it send no mail",
		Cure:    "renew it, then: systemctl reload kanmon",
	})
	certificateEarly = declare(Kind{
		ID: "certificate-early", Severity: Warning,
		Meaning: "the certificate for MSAs is not valid yet",
		Why:     "MSAs that verify it send no mail",
		Cure:    "check the clock of this host: timedatectl",
	})
)

// Who kanmon runs as, with what.
var (
	userMissing = declare(Kind{
		ID: "user-missing", Severity: Error, Refuses: true,
		Meaning: "there is no user of the name in [intercept] user",
		Why:     "the rules cannot tell kanmon's own connections from the host's: they would come back to kanmon",
		Cure:    "useradd --system --no-create-home --shell /usr/sbin/nologin kanmon",
	})
	userDiffers = declare(Kind{
		ID: "user-differs", Severity: Error, Refuses: true,
		Meaning: "with local = true, kanmon runs as another user than the one whose mail the rules leave alone",
		Why:     "the rules would send kanmon's own connections back to kanmon",
		Cure:    "set user of [intercept] to the User= of kanmon.service",
	})
	capabilityMissing = declare(Kind{
		ID: "capability-missing", Severity: Error, Refuses: true,
		Meaning: "the service lacks a capability that a setting needs",
		Why:     "kanmon does not start, or no mail leaves",
		Cure:    "systemctl edit kanmon: [Service] AmbientCapabilities=…",
	})
	programNeeded = declare(Kind{
		ID: "program-needed", Severity: Error, Refuses: true,
		Meaning: "manage_rules = true, and nft is not installed",
		Why:     "kanmon does not start: it cannot load the rules",
		Cure:    "apt-get install nftables",
	})
	programMissing = declare(Kind{
		ID: "program-missing", Severity: Warning,
		Meaning: "nft is not installed",
		Why:     "kanmon rules apply fails, and mail leaves directly",
		Cure:    "apt-get install nftables",
	})
	filesFew = declare(Kind{
		ID: "files-few", Severity: Warning,
		Meaning: "the service, or without one this process, may have fewer open files than the sessions of [limits] need",
		Why:     "at the limit kanmon takes no connection until others end",
		Cure:    "systemctl edit kanmon: [Service] LimitNOFILE=…",
	})
)

// Where kanmon listens, and where mail leaves from.
var (
	sendingIPAbsent = declare(Kind{
		ID: "sending-ip-absent", Severity: Warning,
		Meaning: "the address of a [[sending_ip]] is not on this host, and it is not floating",
		Why:     "no mail leaves from it until it is",
		Cure:    "ip address add ADDRESS dev INTERFACE, or floating = true if it comes and goes",
	})
	sendingIPRequired = declare(Kind{
		ID: "sending-ip-required", Severity: Error, Refuses: true,
		Meaning: "the address of a [[sending_ip]] with required = true is not on this host",
		Why:     "the configuration says that kanmon must not run without it",
		Cure:    "ip address add ADDRESS dev INTERFACE, or take required out",
	})
	familyMissing = declare(Kind{
		ID: "family-missing", Severity: Warning,
		Meaning: "kanmon listens on an address family for which there is no sending IP",
		Why:     "mail to MXs that have only that family stays in the MSA's queue",
		Cure:    "add a sending IP of that family, or do not listen on it",
	})
	sendingIPUnused = declare(Kind{
		ID: "sending-ip-unused", Severity: Warning,
		Meaning: "a sending IP is in no pool",
		Why:     "no mail leaves from it",
		Cure:    "add it to the ips of a pool",
	})
	listenAbsent = declare(Kind{
		ID: "listen-absent", Severity: Error, Refuses: true,
		Meaning: "an address of [intercept] listen is not on this host",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "listen on an address of the interface that the MSAs are behind",
	})
	portTaken = declare(Kind{
		ID: "port-taken", Severity: Error, Refuses: true,
		Meaning: "another program listens where kanmon is to listen",
		Why:     "kanmon does not start; a reload changes nothing",
		Cure:    "ss -ltnp shows which; stop it, or want another port",
	})
	socketsDiffer = declare(Kind{
		ID: "sockets-differ", Severity: Error,
		Meaning: "kanmon.socket opens other addresses than the configuration names",
		Why:     "kanmon does not start as a service",
		Cure:    "systemctl edit kanmon.socket: the ListenStream= lines must be intercept.listen, and the same with each listen_port",
	})
)

// Pools, routes, tenants: what more likely was overlooked than meant.
var (
	poolUnused = declare(Kind{
		ID: "pool-unused", Severity: Warning,
		Meaning: "no tenant and no route uses a pool",
		Why:     "no mail leaves from it",
		Cure:    "name it in a [[route]] or a [[tenant]]",
	})
	poolFamily = declare(Kind{
		ID: "pool-family", Severity: Warning,
		Meaning: "a pool has no address of a family that another pool has",
		Why:     "its mail to MXs that have only that family stays in the MSA's queue",
		Cure:    "add a sending IP of that family to the pool",
	})
	warmUpAlone = declare(Kind{
		ID: "warm-up-alone", Severity: Warning,
		Meaning: "all sending IPs of a pool, of one address family, warm up",
		Why:     "warm-up defers no mail: what is more than the plan has for the day leaves from them all the same",
		Cure:    "add a sending IP that is warm to the pool, or give the pool few senders at first",
	})
	warmUpPast = declare(Kind{
		ID: "warm-up-past", Severity: Note,
		Meaning: "the start of a warm_up is so far back that its plan is over",
		Why:     "if kanmon has not seen the sending IP warm up, it takes it for warm",
		Cure:    "nothing, if it is; if it is new, write today's date as its start",
	})
	routeDead = declare(Kind{
		ID: "route-dead", Severity: Warning,
		Meaning: "an earlier route takes all the mail of a [[route]]",
		Why:     "the route never matches",
		Cure:    "put the narrower route first",
	})
	providerRisky = declare(Kind{
		ID: "provider-risky", Severity: Warning,
		Meaning: "an MX name in providers_file may be the name of a stranger's host",
		Why:     "kanmon would take refusals of that host for the provider's, and could suspend a sending IP there",
		Cure:    "name the MXs one by one, or a zone that contains only MXs; kanmon finds the addresses behind the provider's own domains by itself",
	})
	nobodyIntercepted = declare(Kind{
		ID: "nobody-intercepted", Severity: Warning,
		Meaning: "[intercept] names no sources, no interfaces and not this host's own mail",
		Why:     "no mail comes to kanmon",
		Cure:    `add sources = ["10.20.0.0/16"], interfaces = ["eth1"] or local = true`,
	})
	tenantNotIntercepted = declare(Kind{
		ID: "tenant-not-intercepted", Severity: Error,
		Meaning: "a source of a [[tenant]] is outside of [intercept] sources",
		Why:     "its mail leaves directly: from another address, without limits and without a record",
		Cure:    "add the network to sources of [intercept], then: kanmon rules apply",
	})
	tenantPartlyIntercepted = declare(Kind{
		ID: "tenant-partly-intercepted", Severity: Warning,
		Meaning: "a part of a source of a [[tenant]] is outside of [intercept] sources",
		Why:     "mail from there leaves directly: from another address, without limits and without a record",
		Cure:    "add the network to sources of [intercept], then: kanmon rules apply",
	})
	nobodysSource = declare(Kind{
		ID: "nobodys-source", Severity: Warning,
		Meaning: "the configuration has tenants, and a network of [intercept] sources belongs to none of them",
		Why:     "mail from there gets 451, stays in the MSA's queue, and bounces after days",
		Cure:    `add a [[tenant]] for it, or unknown_tenant = "NAME" to [senders]`,
	})
	nobodysSender = declare(Kind{
		ID: "nobodys-sender", Severity: Warning,
		Meaning: "all tenants of a source name sender_domains, so mail with another sender belongs to nobody",
		Why:     "mail with other senders, and bounces (which have no sender), get 451 and stay in the MSA's queue",
		Cure:    `add a [[tenant]] without sender_domains for the source, or unknown_tenant = "NAME" to [senders]`,
	})
	notRecorded = declare(Kind{
		ID: "not-recorded", Severity: Warning,
		Meaning: "[journal] names neither records nor a session log",
		Why:     "nobody can say later what became of a mail",
		Cure:    `add records = "/var/log/kanmon/records.jsonl" or session_log = "/var/log/kanmon/session.log"`,
	})
	notKept = declare(Kind{
		ID: "not-kept", Severity: Warning,
		Meaning: "file of [standing] or [senders] is not set, so kanmon keeps its state in memory only",
		Why:     "suspensions, blocks and limits by hand are forgotten at a restart",
		Cure:    `add file = "/var/lib/kanmon/standing.db" to [standing] and file = "/var/lib/kanmon/senders.db" to [senders]`,
	})
	drainShort = declare(Kind{
		ID: "drain-short", Severity: Warning,
		Meaning: "drain.timeout is shorter than an MX may take to answer for a message",
		Why:     "a stop then cuts sessions before the reply, and the MSA sends the mail again: duplicates",
		Cure:    `timeout = "15m" in [drain]`,
	})
)

// What providers take from one sending IP.
var (
	shaping = declare(Kind{
		ID: "shaping", Severity: Note,
		Meaning: "the configuration says something of [shaping]; the text says what is kept to, by whose word, and what is only shown",
		Why:     "mail that is too much for a provider leaves from another sending IP, waits, or gets 451; with observe the records tell which would",
		Cure:    "`kanmon provider` lists all of it; `kanmon ip shaping` what is in use, and what is tightened",
	})
	shapingIdle = declare(Kind{
		ID: "shaping-idle", Severity: Warning,
		Meaning: "something is said of [shaping] that nothing comes of",
		Why:     "providers get as much as there is, whatever the configuration says",
		Cure:    "what the text says",
	})
	shapingBelowWarmUp = declare(Kind{
		ID: "shaping-below-warm-up", Severity: Warning,
		Meaning: "a provider's limit of messages in a time is less in a day than the plan of a sending IP that warms up has for it",
		Why:     "from that day on the sending IP does not get what its plan says: it is not warm at the provider when the plan is over",
		Cure:    "raise the limit, or use a plan with less a day",
	})
	shapingBeyond = declare(Kind{
		ID: "shaping-beyond", Severity: Note,
		Meaning: "a [[shaping_limit]] is higher than what the receiver documents",
		Why:     "yours holds; the receiver may defer what is beyond its own, or shut the sending IP out",
		Cure:    "nothing, if the receiver has told you so; else take the [[shaping_limit]] out",
	})
	shapingUnshared = declare(Kind{
		ID: "shaping-unshared", Severity: Note,
		Meaning: "with several tenants a provider takes less than 5 of something at once, or in a time: too little to keep a part for each",
		Why:     "one tenant's mail can have all of it, while that of others waits or gets 451",
		Cure:    "more sending IPs in the pool: each has its own",
	})
)
