package check

// shapingRows are about what providers take from one sending IP. That it is said what is kept to is a finding beside the others.
func shapingRows() []row {
	const limit = "[[shaping_limit]]\nprovider = 'orange'\ncount = 'connections'\nlimit = 1\n"
	const aDay = "[[shaping_limit]]\nprovider = 'google'\ncount = 'messages'\nlimit = 100\nevery = '24h'\n"
	on := ips + "[shaping]\nmode = 'on'\n"
	warming := edited(ips, "ehlo    = 'b.example.jp'\n", "ehlo    = 'b.example.jp'\n"+newToday)
	two := edited(acme, "[senders]\n", "[[sending_ip]]\naddress = '203.0.113.10'\nehlo = 'a.example.jp'\n[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'a.example.jp'\n[senders]\n") +
		"sender_domains = ['acme.example']\n[[tenant]]\nname = 'rest'\nsources = ['10.20.0.0/16']\n"
	return []row{
		{
			id: "shaping", name: "on", doc: on, good: ips,
			want: "note: kanmon.toml:19: shaping.mode: kept to, from each sending IP: yahoo: 20 messages in one connection (help.yahoo.com/kb/SLN3433.html); outlook: 500 connections at once",
		},
		{id: "shaping", name: "what is only shown", doc: on, want: "; only shown: google, yahoo-japan, office365", good: ips + "[shaping]\nmode = 'off'\n"},
		{
			id: "shaping", name: "observed", doc: ips + "[shaping]\nenforce = 'gmx'\n", good: ips + "[shaping]\nmode = 'observe'\n",
			want: `shaping.enforce: only on record with mode = "observe", and nothing is held back: `,
		},
		{id: "shaping", name: "one's own", doc: ips + limit, want: "orange: 100 messages in one connection (postmaster.orange.fr), 1 connections at once (kanmon.toml:18)"},
		{id: "shaping-idle", name: "off", doc: ips + "[shaping]\nmode = 'off'\n" + limit, want: `shaping.mode: nothing is counted of what providers take with mode = "off": [[shaping_limit]] holds nothing back`, good: on},
		{id: "shaping-idle", name: "without sending IPs", doc: plain + limit, want: "shaping_limit[0]: there is no [[sending_ip]]", good: on},
		{
			id: "shaping-idle", name: "nothing to enforce", doc: "providers_file = 'DIR/own.toml'\n" + ips + "[shaping]\nenforce = 'own'\n", want: "nothing is known of how much own takes", good: ips + "[shaping]\nenforce = 'gmx'\n",
			host: func(r *rig) { r.write(r.dir+"/own.toml", "[[provider]]\nname = 'own'\nmx = '*.mx.example.jp'\n") },
		},
		{id: "shaping-below-warm-up", name: "messages a day", doc: warming + aDay, want: "sending_ip[1].warm_up: 100 messages in 24h0m0s of google lets 100 mails a day through at google, and the plan has ", good: ips + aDay},
		{id: "shaping-beyond", name: "more than is documented", doc: ips + edited(limit, "limit = 1", "limit = 5"), want: "shaping_limit[0].limit: 5 connections, and orange documents 2 (postmaster.orange.fr)", good: ips + limit},
		{id: "shaping-unshared", name: "two tenants", doc: two + "[shaping]\nmode = 'on'\n", want: "one of the 2 tenants can have all of it: orange 2 connections at once", good: two},
	}
}
