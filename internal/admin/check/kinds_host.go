package check

// Interfaces and the way in.
var (
	interfaceAbsent = declare(Kind{
		ID: "interface-absent", Severity: Warning,
		Meaning: "the configuration names an interface that this host does not have",
		Why:     "the rules intercept nothing there until the interface exists",
		Cure:    "ip link show",
	})
	interfaceIsPort = declare(Kind{
		ID: "interface-is-port", Severity: Error,
		Meaning: "an interface of the configuration is a port of a bridge or a bond",
		Why:     "the rules see the bridge's name, so they do not match: mail leaves directly",
		Cure:    "name the bridge or the bond",
	})
	linkWithoutAddress = declare(Kind{
		ID: "interface-without-address", Severity: Error,
		Meaning: "mode is redirect, and an interface that mail comes in by has no address of the mail's family",
		Why:     "the kernel drops the connections: the MSAs time out",
		Cure:    `ip address add ADDRESS dev INTERFACE, or mode = "tproxy"`,
	})
	ipv6NotIntercepted = declare(Kind{
		ID: "ipv6-not-intercepted", Severity: Warning,
		Meaning: "the interface toward the MSAs has an IPv6 network, this host forwards IPv6, and sources of [intercept] does not contain that network",
		Why:     "MSAs that have IPv6 use it: their mail to IPv6 MXs leaves directly, past kanmon",
		Cure:    "add the IPv6 network to sources of [intercept], or take IPv6 from the MSAs",
	})
	sourceFiltered = declare(Kind{
		ID: "source-filtered", Severity: Error,
		Meaning: "strict rp_filter on an interface of [intercept], and the way back to a source leads by another one",
		Why:     "the kernel drops the packets of these MSAs, and their connections time out",
		Cure:    "sysctl -w net.ipv4.conf.INTERFACE.rp_filter=2",
	})
	bridgeNetfilter = declare(Kind{
		ID: "bridge-netfilter", Severity: Warning,
		Meaning: "MSAs are behind a bridge, and the kernel shows bridged packets to the firewall",
		Why:     "kanmon's rules then also see mail that the bridge only passes from one port to another; such mail can be lost",
		Cure:    "sysctl -w net.bridge.bridge-nf-call-iptables=0, unless something such as Docker needs it",
	})
)

// What other tables of the firewall do to mail on its way.
var (
	mailTaken = declare(Kind{
		ID: "mail-taken", Severity: Error,
		Meaning: "a rule of another table sends the MSAs' connections to port 25 elsewhere, before kanmon's rules see them",
		Why:     "that mail does not come to kanmon, or comes with another destination",
		Cure:    "take port 25 out of that rule",
	})
	mailUntracked = declare(Kind{
		ID: "mail-untracked", Severity: Error,
		Meaning: "mode is redirect, and a rule of another table hides the MSAs' connections to port 25 from conntrack (notrack)",
		Why:     "they cannot be redirected, and are refused",
		Cure:    `take port 25 out of that rule, or mode = "tproxy"`,
	})
	mailDropped = declare(Kind{
		ID: "mail-dropped", Severity: Error,
		Meaning: "another table's input chain stops what comes to kanmon's port",
		Why:     "the MSAs' connections time out or are refused, whatever kanmon's own rules say",
		Cure:    "an accept rule for the MSAs' interface and the port in front of it",
	})
	dialsDropped = declare(Kind{
		ID: "dials-dropped", Severity: Error,
		Meaning: "another table's output chain stops kanmon's own connections to port 25",
		Why:     "no mail leaves from that sending IP",
		Cure:    "an accept rule for the sending IP in front of it",
	})
	dialsTaken = declare(Kind{
		ID: "dials-taken", Severity: Error,
		Meaning: "a rule of another table sends kanmon's own connections to port 25 elsewhere",
		Why:     "mail goes to another server than its MX, or nowhere",
		Cure:    "an accept rule for the sending IPs in front of it",
	})
	answersDropped = declare(Kind{
		ID: "answers-dropped", Severity: Error,
		Meaning: "another table stops what MXs answer to kanmon's connections, or does so because a rule hides these from conntrack (notrack)",
		Why:     "the connections time out: no mail leaves from that sending IP",
		Cure:    "an accept rule for established connections in front of it, and no notrack for port 25",
	})
	everybodyIntercepted = declare(Kind{
		ID: "everybody-intercepted", Severity: Warning,
		Meaning: "sources of [intercept] has a network of all addresses, and no interfaces are named",
		Why:     "mail from the Internet to mail servers behind this host is taken, too: it leaves from the sending IPs, and spam with it",
		Cure:    `name the MSAs' networks in sources, or add interfaces = ["eth1"]`,
	})
	sendingIPLoopback = declare(Kind{
		ID: "sending-ip-loopback", Severity: Error,
		Meaning: "a [[sending_ip]] is an address of the loopback interface",
		Why:     "no MX can be called from it: no mail leaves from it",
		Cure:    "want an address that the Internet can answer to",
	})
)

// tproxy.
var (
	srcValidMark = declare(Kind{
		ID: "src-valid-mark", Severity: Error,
		Meaning: "mode is tproxy, and src_valid_mark is 1 on an interface",
		Why:     "the kernel drops the packets that tproxy hands over: the MSAs time out",
		Cure:    "sysctl -w net.ipv4.conf.INTERFACE.src_valid_mark=0",
	})
	loWithoutIPv6 = declare(Kind{
		ID: "lo-without-ipv6", Severity: Error,
		Meaning: "mode is tproxy, IPv6 is listened on, and the loopback interface has no IPv6",
		Why:     "the policy route of IPv6 cannot be made: IPv6 mail is refused",
		Cure:    "sysctl -w net.ipv6.conf.lo.disable_ipv6=0, or listen on IPv4 only",
	})
	policyRouteMissing = declare(Kind{
		ID: "policy-route-missing", Severity: Error,
		Meaning: "mode is tproxy, and the policy rule or the route that leads its packets to kanmon is missing",
		Why:     "all mail of that address family is refused; with local = true the host's own mail times out",
		Cure:    "kanmon rules apply; with systemd-networkd: ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no in networkd.conf",
	})
)

// The way out.
var (
	routeMissing = declare(Kind{
		ID: "route-missing", Severity: Error,
		Meaning: "the kernel has no route to the Internet from a sending IP",
		Why:     "no mail can leave from it",
		Cure:    "ip route get 198.41.0.4 from ADDRESS shows it; add a route, or a rule for the address",
	})
	routeElsewhere = declare(Kind{
		ID: "route-elsewhere", Severity: Warning,
		Meaning: "mail from a sending IP leaves by another interface than the one that has the address",
		Why:     "another uplink may drop packets from an address that is not its own: connections time out",
		Cure:    "ip rule add from ADDRESS lookup 100 && ip route add default via GATEWAY dev INTERFACE table 100",
	})
	replyFiltered = declare(Kind{
		ID: "reply-filtered", Severity: Error,
		Meaning: "strict rp_filter on the interface of a sending IP, and its mail leaves by another one",
		Why:     "the kernel drops the MXs' answers: connections time out",
		Cure:    "sysctl -w net.ipv4.conf.INTERFACE.rp_filter=2, or a rule that leads the address out by its own interface",
	})
	sourceRewritten = declare(Kind{
		ID: "source-rewritten", Severity: Error,
		Meaning: "a masquerade or snat rule matches kanmon's own connections from a sending IP",
		Why:     "mail leaves from another address, and all records name the one it should have had",
		Cure:    "an accept rule for the sending IPs in front of it",
	})
	sourceMaybeRewritten = declare(Kind{
		ID: "source-maybe-rewritten", Severity: Warning,
		Meaning: "a masquerade or snat rule may match kanmon's own connections from a sending IP; its conditions are not all understood",
		Why:     "mail would leave from another address, and all records name the one it should have had",
		Cure:    "an accept rule for the sending IPs in front of it",
	})
)

// Rules of the firewall.
var (
	rulesGone = declare(Kind{
		ID: "rules-gone", Severity: Error,
		Meaning: "kanmon runs, or its rules unit is active, and its table is not in the kernel",
		Why:     "mail leaves directly: from the MSAs' own addresses, without limits and without a record",
		Cure:    "systemctl restart kanmon-rules; without systemd: kanmon rules apply",
	})
	rulesNotApplied = declare(Kind{
		ID: "rules-not-applied", Severity: Warning,
		Meaning: "kanmon's table is not in the kernel, and kanmon does not run",
		Why:     "until it is, mail leaves directly",
		Cure:    "systemctl enable --now kanmon-rules; without systemd: kanmon rules apply",
	})
	rulesDiffer = declare(Kind{
		ID: "rules-differ", Severity: Error,
		Meaning: "the rules in the kernel differ from the rules of the configuration",
		Why:     "mail may leave directly although the configuration names its source, or may be refused",
		Cure:    "systemctl reload kanmon-rules; without systemd: kanmon rules apply",
	})
)

// What is remembered of kanmon's own rules.
var (
	rulesRemoved = declare(Kind{
		ID: "rules-removed", Severity: Warning,
		Meaning: "a person has removed kanmon's rules, and nobody has applied them since",
		Why:     "mail leaves directly: from the MSAs' own addresses, without limits and without a record",
		Cure:    "kanmon rules apply",
	})
	rulesMemoryDamaged = declare(Kind{
		ID: "rules-memory-damaged", Severity: Error,
		Meaning: "what is remembered of kanmon's rules (/var/lib/kanmon-rules/rules.json) is damaged, of a newer version, or of a wrong owner",
		Why:     "a boot with a broken configuration opens the way, and a guard that starts anew knows the rules from the kernel alone",
		Cure:    "kanmon rules apply",
	})
	rulesNotKept = declare(Kind{
		ID: "rules-not-kept", Severity: Error,
		Meaning: "manage_rules = true, and kanmon cannot write where it remembers its rules",
		Why:     "nobody guards the rules, and if kanmon cannot start, at a boot, mail leaves directly",
		Cure:    "systemctl edit kanmon: [Service] StateDirectory=kanmon-rules RuntimeDirectory=kanmon-rules RuntimeDirectoryPreserve=yes",
	})
	rulesUnguarded = declare(Kind{
		ID: "rules-unguarded", Severity: Warning,
		Meaning: "kanmon's rules are in force, and no guard watches them",
		Why:     "rules that another program takes away stay away, and mail leaves directly",
		Cure:    "systemctl start kanmon-rules-guard",
	})
	rulesTaken = declare(Kind{
		ID: "rules-taken", Severity: Note,
		Meaning: "another program has taken kanmon's rules away, or changed them, and the guard has put them back",
		Why:     "each time mail could leave directly for a moment",
		Cure:    "find the program: journalctl -u kanmon-rules-guard; have it leave table inet kanmon alone",
	})
)

// Limits of the kernel.
var (
	backlogShort = declare(Kind{
		ID: "backlog-short", Severity: Warning,
		Meaning: "the kernel lets only few new connections wait for kanmon",
		Why:     "the kernel drops connections of a burst, and the MSAs connect again seconds later",
		Cure:    "sysctl -w net.core.somaxconn=1024",
	})
	conntrackSmall = declare(Kind{
		ID: "conntrack-small", Severity: Warning,
		Meaning: "mode is redirect, and the kernel's connection table (conntrack) is too small for the sessions of [limits]",
		Why:     "when it is full, the kernel drops new connections of everybody on this host",
		Cure:    "sysctl -w net.netfilter.nf_conntrack_max=…",
	})
	conntrackFilling = declare(Kind{
		ID: "conntrack-filling", Severity: Warning,
		Meaning: "at least 80 % of the kernel's connection table (conntrack) is in use",
		Why:     "when it is full, the kernel drops new connections of everybody on this host",
		Cure:    "sysctl -w net.netfilter.nf_conntrack_max=…, and nf_conntrack_tcp_timeout_time_wait=30",
	})
	portsOutside = declare(Kind{
		ID: "ports-outside", Severity: Error, Refuses: true,
		Meaning: "the `ports` of a sending IP are not all within net.ipv4.ip_local_port_range, or the kernel cannot keep to them",
		Why:     "the kernel would use other ports than these, and the replies of MXs would go to another gateway",
		Cure:    `sysctl -w net.ipv4.ip_local_port_range="20000 65535", or other ports`,
	})
	portsFew = declare(Kind{
		ID: "ports-few", Severity: Warning,
		Meaning: "the sending IPs of a family have fewer source ports toward one MX than there may be sessions",
		Why:     "more sessions to that MX cannot connect, and their mail stays in the MSA's queue",
		Cure:    `sysctl -w net.ipv4.ip_local_port_range="1024 65535", or more sending IPs`,
	})
)

// Where metrics are answered.
var (
	metricsOpen = declare(Kind{
		ID: "metrics-open", Severity: Warning,
		Meaning: "[metrics] listen is every address of this host",
		Why:     "there is no login: tenants, and whoever else reaches this host, see whose mail kanmon sends, and how much",
		Cure:    "listen on the address that Prometheus reaches, or on 127.0.0.1",
	})
	metricsAbsent = declare(Kind{
		ID: "metrics-absent", Severity: Warning,
		Meaning: "the address of [metrics] listen is not on this host",
		Why:     "no metrics are answered until it is; mail goes on",
		Cure:    "listen on an address of this host, such as 127.0.0.1",
	})
	metricsTaken = declare(Kind{
		ID: "metrics-taken", Severity: Warning,
		Meaning: "another program listens where metrics are to be answered",
		Why:     "no metrics are answered as long as it does; mail goes on",
		Cure:    "ss -ltnp shows which; stop it, or want another port",
	})
)
