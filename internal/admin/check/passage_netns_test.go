package check

import (
	"strings"
	"testing"
)

// What another table does to mail on its way to kanmon, and from it, is seen in the kernel's own rules.
func TestOtherTablesInTheWayAreSeen(t *testing.T) {
	const (
		closed = "table inet fw { chain in { type filter hook input priority 0; policy drop; "
		usual  = closed + `ct state established,related accept; iif "lo" accept; icmp type echo-request accept; udp dport 53 accept; tcp dport 22 accept; `
		pre    = "table ip nat { chain pre { type nat hook prerouting priority "
		out    = "table inet fw { chain out { type filter hook output priority 0; "
		raw    = "table inet fw { chain raw { type filter hook prerouting priority raw; "
	)
	cases := map[string]struct {
		rules, id, text string
		first           bool // it is there before kanmon's
	}{
		"nothing for port 10025":            {rules: usual + "} }", id: "mail-dropped", text: `nft insert rule inet fw in iifname "eth1" tcp dport 10025 accept`},
		"port 10025 accepted":               {rules: usual + "tcp dport { 80, 10025 } accept } }"},
		"the MSAs accepted":                 {rules: usual + "ip saddr 10.20.0.0/16 accept } }"},
		"the MSAs' interface accepted":      {rules: usual + `iifname "eth1" accept } }`},
		"the Internet's interface accepted": {rules: usual + `iifname "eth0" accept } }`, id: "mail-dropped"},
		"what is redirected accepted":       {rules: usual + "ct status dnat accept } }"},
		"by a map":                          {rules: closed + `ct state vmap { established : accept, invalid : drop }; iifname vmap { "lo" : accept, "eth1" : accept } } }`},
		"by a map without the MSAs":         {rules: closed + `ct state vmap { established : accept, invalid : drop }; iifname vmap { "lo" : accept, "eth0" : accept } } }`, id: "mail-dropped"},
		"accepted behind what is not known": {rules: closed + "ct state established accept; meta cgroup 7 accept; tcp dport 10025 accept } }"},
		"closed behind what is not known":   {rules: closed + "ct state established accept; meta cgroup 7 accept } }", id: "not-checked"},
		"as firewalld does it": {rules: `table inet firewalld { chain in { type filter hook input priority 10; ct state { established, related } accept; ct status dnat accept; iifname "lo" accept; ` +
			`ct state invalid drop; jump zones; reject with icmpx admin-prohibited }; chain zones { iifname "eth1" goto public; goto public }; chain public { tcp dport 22 accept } }`},
		"dropped by a rule":                 {rules: "table inet fw { chain in { type filter hook input priority 0; tcp dport 10025 drop } }", id: "mail-dropped", text: "chain in, table inet fw stops it on its way to port 10025"},
		"too many at once dropped":          {rules: "table inet fw { chain in { type filter hook input priority 0; tcp dport 10025 limit rate over 10/second drop } }", id: "not-checked"},
		"dropped before":                    {rules: raw + "tcp dport 25 ip saddr 10.20.0.0/16 drop } }", id: "mail-dropped"},
		"forwarding closed":                 {rules: "table inet fw { chain fw { type filter hook forward priority 0; policy drop; } }"},
		"another's dnat before":             {rules: pre + "dstnat; tcp dport 25 dnat to 10.20.0.9 } }", id: "mail-taken", first: true, text: "nft insert rule ip nat pre tcp dport 25 accept"},
		"another's dnat behind":             {rules: pre + "dstnat; tcp dport 25 dnat to 10.20.0.9 } }"},
		"another's redirect, by priority":   {rules: pre + `-150; iifname "eth1" tcp dport 25 redirect to :2525 } }`, id: "mail-taken"},
		"another's dnat of this host":       {rules: pre + "-150; fib daddr type local tcp dport 25 dnat to 10.20.0.9 } }"},
		"another's dnat of the web":         {rules: pre + "-150; tcp dport { 80, 443 } dnat to 10.20.0.9 } }"},
		"mail not tracked":                  {rules: raw + "tcp dport 25 notrack } }", id: "mail-untracked"},
		"DNS not tracked":                   {rules: raw + "udp dport 53 notrack } }"},
		"own mail dropped":                  {rules: out + "tcp dport 25 drop } }", id: "dials-dropped", text: "nft insert rule inet fw out ip saddr 203.0.113.10 tcp dport 25 accept"},
		"own mail of others rejected":       {rules: out + "meta skuid != 0 tcp dport 25 reject } }"},
		"own mail dropped behind routing":   {rules: `table inet fw { chain post { type filter hook postrouting priority 0; oifname "eth0" tcp dport 25 drop } }`, id: "dials-dropped"},
		"answers dropped":                   {rules: closed + `iif "lo" accept; tcp dport 10025 accept } }`, id: "answers-dropped"},
		"own mail sent elsewhere":           {rules: "table ip nat { chain out { type nat hook output priority -100; tcp dport 25 redirect to :2525 } }", id: "dials-taken"},
		"own mail of others sent elsewhere": {rules: "table ip nat { chain out { type nat hook output priority -100; meta skuid 33 tcp dport 25 redirect to :2525 } }"},
		"own mail not tracked":              {rules: "table inet fw { chain raw { type filter hook output priority raw; tcp dport 25 notrack } }"},
		"own mail not tracked, closed":      {rules: usual + "tcp dport 10025 accept }; chain raw { type filter hook output priority raw; tcp dport 25 notrack } }", id: "answers-dropped", text: "(notrack)"},
	}
	inGateway(t, func(g *gateway) {
		for name, test := range cases {
			g.Logf("case: %s", name)
			rules := strings.NewReplacer("; }", ";\n}", " }", "\n}", "{ chain", "{\nchain", "; chain", "\nchain", "priority 0; ", "priority 0;\n", "; ", ";\n").Replace(test.rules)
			load := "printf '%s\n' '" + rules + "' | nft -f -"
			if test.first {
				g.run(load)
				g.apply(oneUplink)
			} else {
				g.apply(oneUplink)
				g.run(load)
			}
			g.want(oneUplink, test.id, test.text)
			words := strings.Fields(test.rules)
			g.run("nft delete table " + words[1] + " " + words[2])
		}
	})
}

// In tproxy mode mail comes with its own port, and every translation comes before.
func TestOtherTablesInTheWayOfTProxyAreSeen(t *testing.T) {
	doc := tproxy(plain)
	inGateway(t, func(g *gateway) {
		g.apply(doc)
		for rules, id := range map[string]string{
			"chain in { type filter hook input priority 0\npolicy drop\ntcp dport 10025 accept\n}":           "mail-dropped",
			"chain in { type filter hook input priority 0\npolicy drop\ntcp dport 25 accept\n}":              "",
			"chain pre { type nat hook prerouting priority dstnat\ntcp dport 25 redirect to :2525\n}":        "mail-taken",
			"chain pre { type filter hook prerouting priority raw\ntcp dport 25 notrack\n}":                  "",
			"chain pre { type filter hook prerouting priority mangle\niifname \"eth1\" tcp dport 25 drop\n}": "mail-dropped",
		} {
			g.run("printf 'table inet fw {\n%s\n}\n' '" + strings.Replace(strings.Replace(rules, "priority 0\n", "priority 0;\n", 1), "\npolicy drop\n", "\npolicy drop;\n", 1) + "' | sed -E 's/(priority [a-z]+)$/\\1;/' | nft -f -")
			g.want(doc, id, "")
			g.run("nft delete table inet fw")
		}
	})
}

// This host's own mail comes round by the loopback interface, and another table may be in its way as well.
func TestOtherTablesInTheWayOfOwnMailAreSeen(t *testing.T) {
	doc := in(oneUplink, "local = true\nuser = '0'")
	inGateway(t, func(g *gateway) {
		g.apply(doc)
		for rules, id := range map[string]string{
			"chain in { type filter hook input priority 0;policy drop;ct state established accept;tcp dport 10025 iifname \"eth1\" accept;}": "mail-dropped",
			"chain in { type filter hook input priority 0;policy drop;ct state established accept;tcp dport 10025 accept;}":                  "",
			"chain out { type nat hook output priority -150;meta skuid 33 tcp dport 25 redirect to :2525;}":                                  "not-checked",
			"chain out { type nat hook output priority -50;meta skuid 33 tcp dport 25 redirect to :2525;}":                                   "",
		} {
			g.run("printf 'table inet fw {\n%s\n}\n' '" + strings.ReplaceAll(rules, ";", ";\n") + "' | nft -f -")
			g.want(doc, id, "")
			g.run("nft delete table inet fw")
		}
	})
}
