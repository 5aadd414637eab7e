package check

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"kanmon/internal/intercept"
)

// newToday is of a sending IP.
var newToday = "warm_up = { start = " + time.Now().UTC().Format(time.DateOnly) + " }\n"

func configRows() []row {
	return []row{
		{id: "family-missing", name: "no IPv6", doc: edited(ips, "[[sending_ip]]\naddress = '2001:db8::10'\nehlo    = 'a.example.jp'\n", ""), want: "warning: kanmon.toml:9: sending_ip: none is IPv6", good: ips},
		{id: "family-missing", name: "no IPv4", doc: plain + "[[sending_ip]]\naddress = '2001:db8::10'\nehlo = 'a.example.jp'\n", want: "none is IPv4", good: ips},
		{
			id: "pool-family", name: "pool without IPv6", doc: edited(pools, "'203.0.113.11', '2001:db8::10']", "'203.0.113.11']"), good: pools,
			want: `pool.bulk: pool "bulk" has no IPv6 address, and pool "default" has: its mail to IPv6`,
		},
		{id: "pool-unused", name: "pool that nobody uses", doc: edited(pools, "pool = 'bulk'", "pool = 'default'"), want: `pool.bulk: no tenant and no route uses pool "bulk"`, good: pools},
		{id: "pool-unused", name: "pool for doubtful mail, and none is diverted", doc: doubtful, want: `pool.bulk: no tenant and no route uses pool "bulk"`, good: doubtful + "[containment]\nenforce = true\n"},
		{id: "sending-ip-unused", name: "sending IP in no pool", doc: edited(pools, "'203.0.113.11', ", "'203.0.113.10', "), want: "sending_ip[1]: 203.0.113.11 is in no pool", good: pools},
		{
			id: "warm-up-alone", name: "no warm IP beside a new one", doc: edited(ips, "ehlo    = 'b.example.jp'\n", "ehlo    = 'b.example.jp'\n"+newToday) + "[pool.default]\nips = ['203.0.113.11', '2001:db8::10']\n[[route]]\nnull_sender = true\npool = 'bulk'\n[pool.bulk]\nips = ['203.0.113.10', '2001:db8::10']\n",
			want: "warning: kanmon.toml:19: pool.default: every IPv4 sending IP of pool \"default\" warms up", good: edited(ips, "ehlo    = 'b.example.jp'\n", "ehlo    = 'b.example.jp'\n"+newToday),
		},
		{
			id: "warm-up-past", name: "new no more", doc: edited(ips, "ehlo    = 'b.example.jp'\n", "ehlo    = 'b.example.jp'\nwarm_up = { start = 2001-01-01 }\n"),
			want: "note: kanmon.toml:15: sending_ip[1].warm_up.start: the plan of 203.0.113.11 was over after 2001-01-30", good: edited(ips, "ehlo    = 'b.example.jp'\n", "ehlo    = 'b.example.jp'\n"+newToday),
		},
		{
			id: "route-dead", name: "route behind one without conditions", doc: pools + "[[route]]\nnull_sender = true\npool = 'default'\n", want: "route[1]: never matches: route 1, in line 22, takes all its mail",
			good: edited(pools, "pool = 'bulk'", "null_sender = true\npool = 'bulk'") + "[[route]]\npool = 'default'\n",
		},
		{
			id: "everybody-intercepted", name: "all addresses, any interface", doc: edited(plain, "10.20.0.0/16", "0.0.0.0/0"), want: "warning: kanmon.toml:2: intercept.sources[0]: 0.0.0.0/0 is everybody",
			host: proc("sys/net/ipv6/conf/all/forwarding", "0\n"), goodHost: proc("sys/net/ipv6/conf/all/forwarding", "0\n"),
			good: in(edited(plain, "10.20.0.0/16", "0.0.0.0/0"), "interfaces = ['eth1']"),
		},
		{id: "sending-ip-loopback", name: "loopback address", doc: edited(ips, "'203.0.113.11'", "'127.0.0.1'"), want: "sending_ip[1].address: 127.0.0.1 is an address of the loopback interface", good: ips},
		{id: "nobody-intercepted", name: "nobody's mail", doc: edited(plain, `sources = ["10.20.0.0/16"]`, ""), want: "intercept: nobody's mail is intercepted"},
		{id: "not-recorded", name: "nothing recorded", doc: edited(plain, `session_log = "-"`, ""), want: "journal: nothing is recorded", good: edited(plain, `session_log = "-"`, "session_log = 'off'\nrecords = 'off'")},
		{id: "not-kept", name: "standing forgotten", doc: edited(ips, "file = \"DIR/standing.db\"\n", ""), want: "standing.file: which sending IPs are suspended", good: edited(ips, "DIR/standing.db", "off")},
		{id: "not-kept", name: "senders forgotten", doc: edited(acme, "file = \"DIR/senders.db\"\n", ""), want: "senders.file: blocks, limits by hand", good: edited(acme, "DIR/senders.db", "off")},
		{id: "drain-short", name: "short drain", doc: plain + "[drain]\ntimeout = '5m'\n", want: "drain.timeout: 5m", good: plain + "[drain]\ntimeout = '15m'\n"},
		{id: "drain-short", name: "drain shorter than dot", doc: plain + "[timeouts]\ndot = '30m'\n", want: "drain.timeout: 15m"},

		// firstday-6
		{
			id: "tenant-not-intercepted", name: "tenant outside of the sources", doc: edited(acme, "'10.20.0.0/16'", "'10.20.0.0/16', '10.30.1.0/24'"), good: acme,
			want: "error: kanmon.toml:13: tenant[0].sources[1]: 10.30.1.0/24 of tenant \"acme\" is outside of [intercept] sources: its mail leaves directly",
		},
		{
			id: "tenant-partly-intercepted", name: "tenant partly outside", doc: edited(acme, "'10.20.0.0/16'", "'10.20.0.0/15'"), good: acme,
			want: "of 10.20.0.0/15 of tenant \"acme\", 10.21.0.0/16 is outside",
		},
		{
			id: "tenant-not-intercepted", name: "tenant on this host", doc: edited(acme, "'10.20.0.0/16'", "'10.20.0.0/16', '203.0.113.10/32'"), want: "203.0.113.10/32",
			good: in(edited(acme, "'10.20.0.0/16'", "'10.20.0.0/16', '203.0.113.10/32'"), "local = true"),
		},
		{
			id: "nobodys-source", name: "one of two networks named", doc: edited(acme, "sources = ['10.20.0.0/16']", "sources = ['10.20.1.0/24']"), good: edited(acme, "[senders]\n", "[senders]\nunknown_tenant = 'acme'\n"),
			want: "warning: kanmon.toml:2: intercept.sources[0]: 10.20.0.0/24, 10.20.2.0/23, 10.20.4.0/22, … of 10.20.0.0/16 is of no tenant",
		},
		{
			id: "nobodys-source", name: "interfaces take everybody", doc: edited(acme, `sources = ["10.20.0.0/16"]`, `interfaces = ["eth1"]`), want: "intercept.interfaces: mail of all sources that come in",
			good: edited(edited(acme, `sources = ["10.20.0.0/16"]`, `interfaces = ["eth1"]`), "'10.20.0.0/16'", "'0.0.0.0/0'"),
		},
		{id: "nobodys-source", name: "own mail", doc: in(acme, "local = true"), host: func(r *rig) {
			r.net.link("eth1").Addresses = prefixesOf("10.99.0.1/24")
			r.proc("sys/net/ipv6/conf/all/forwarding", "0\n")
		}, want: "intercept.local: this host's own mail is taken", good: acme},
		{
			id: "nobodys-sender", name: "only some domains", doc: acme + "sender_domains = ['acme.example']\n", want: "tenant[0].sources[0]: from 10.20.0.0/16 only mail of the sender_domains",
			good: acme + "sender_domains = ['acme.example']\n[[tenant]]\nname = 'rest'\nsources = ['10.20.0.0/16']\n",
		},
	}
}

func hostRows() []row {
	strict, shared := "sys/net/ipv4/conf/eth0/rp_filter", edited(pools, "ips = ['203.0.113.10',", "ips = ['203.0.113.10', '203.0.113.11',")
	return []row{
		{
			id: "sending-ip-absent", name: "sending IP not here", doc: edited(ips, "address = '2001:db8::10'", "address = '2001:db8::11'"), good: ips,
			want: "warning: kanmon.toml:16: sending_ip[2].address: 2001:db8::11 is not an address of this host, and no other IPv6 address is in its pool [sending-ip-absent]\n      why: no mail leaves from it until it is\n      = ip address add 2001:db8::11/128 dev INTERFACE preferred_lft 0",
		},
		{
			id: "sending-ip-absent", name: "sending IP not here, others in one of its pools", doc: strings.ReplaceAll(shared, "203.0.113.11", "203.0.113.99"), good: shared,
			want: "203.0.113.99 is not an address of this host; no other IPv4 address is in the pool bulk; in the pool default others take its mail [sending-ip-absent]",
		},
		{
			id: "sending-ip-required", name: "required sending IP not here", doc: edited(ips, "address = '2001:db8::10'", "required = true\naddress = '2001:db8::11'"),
			good: edited(ips, "address = '2001:db8::10'", "required = true\naddress = '2001:db8::10'"),
			want: "error: kanmon.toml:17: sending_ip[2].address: 2001:db8::11 is not an address of this host [sending-ip-required]",
		},
		{
			id: "sending-ip-absent", name: "floating sending IP not here", doc: edited(ips, "address = '2001:db8::10'", "address = '2001:db8::11'"),
			want: "2001:db8::11 is not an address of this host", good: edited(ips, "address = '2001:db8::10'", "floating = true\naddress = '2001:db8::11'"),
		},
		{
			id: "sending-ip-absent", name: "sending IP here by a route", doc: edited(ips, "address = '2001:db8::10'", "address = '2001:db8::11'"),
			want: "2001:db8::11 is not an address of this host", good: edited(ips, "address = '2001:db8::10'", "address = '2001:db8::11'"),
			goodHost: func(r *rig) { r.net.local = netip.MustParsePrefix("2001:db8::11/128") },
		},
		{id: "listen-absent", name: "listener not here", doc: in(plain, "listen = ['10.20.0.2:10025', '10.20.0.1:10025']"), want: "intercept.listen[0]: 10.20.0.2 is not an address of this host", good: in(plain, "listen = ['10.20.0.1:10025']")},
		{
			id: "metrics-open", name: "metrics for everybody", doc: plain + "[metrics]\non = true\nlisten = '0.0.0.0:9725'\n", good: plain + "[metrics]\non = true\n",
			want: "metrics.listen: 0.0.0.0:9725 is every address of this host: whoever reaches it sees the names of tenants and how much they send [metrics-open]",
		},
		{
			id: "metrics-absent", name: "metrics elsewhere", doc: plain + "[metrics]\non = true\nlisten = '10.20.0.2:9725'\n", good: plain + "[metrics]\non = true\nlisten = '10.20.0.1:9725'\n",
			want: "metrics.listen: 10.20.0.2 is not an address of this host [metrics-absent]",
		},
		{
			id: "metrics-taken", name: "port of metrics taken", doc: plain + "[metrics]\non = true\n", want: "metrics.listen: something else listens on 127.0.0.1:9725, where metrics are to be answered",
			host:     proc("thread-self/net/tcp", "  sl  local_address\n   0: 0100007F:25FD 00000000:0000 0A 0:0 0:0 0 1000 0 77\n"),
			goodHost: proc("thread-self/net/tcp", "  sl  local_address\n   0: 0100007F:25FE 00000000:0000 0A 0:0 0:0 0 1000 0 77\n"),
		},
		{
			id: "port-taken", name: "port taken", doc: plain, want: "something else listens on [::]:10025",
			host:     proc("thread-self/net/tcp6", "  sl  local_address\n   0: 00000000000000000000000000000000:2729 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 77\n"),
			goodHost: proc("thread-self/net/tcp", "  sl  local_address\n   0: 00000000:272A 00000000:0000 0A 0:0 0:0 0 1000 0 77\n   1: 0100007F:2729 00000000:0000 01 0:0 0:0 0 1000 0 77\n"),
		},
		{
			id: "port-taken", name: "port taken by a program that can be seen", doc: plain, want: "master (process 812) listens on [::]:10025",
			host: func(r *rig) {
				r.proc("thread-self/net/tcp6", "   0: 00000000000000000000000000000000:2729 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 77\n")
				r.proc("812/comm", "master\n")
				r.link("812/fd/13", "socket:[77]")
			},
		},
		{
			id: "port-taken", name: "port taken beside a running kanmon", doc: plain, want: "something else listens on 0.0.0.0:10025",
			host: func(r *rig) {
				r.unit().Active = true
				r.proc("thread-self/net/tcp", "   0: 00000000:2729 00000000:0000 0A 0:0 0:0 0 1000 0 77\n")
			},
			goodHost: func(r *rig) {
				r.unit().Active = true
				r.proc("thread-self/net/tcp", "   0: 00000000:2729 00000000:0000 0A 0:0 0:0 0 990 0 77\n")
			}, good: plain,
		},
		{
			id: "sockets-differ", name: "port of a tenant not opened", doc: acme + "[[tenant]]\nname = 'vlan'\nlisten_port = 10031\n", want: "kanmon.socket does not open 0.0.0.0:10031",
			host: func(r *rig) {
				r.unit().Sockets = parseListen("0.0.0.0:10025 (Stream) [::]:10025 (Stream) [::]:10031 (Stream)")
			},
			good: plain, goodHost: func(r *rig) { r.unit().Sockets = parseListen("0.0.0.0:10025 (Stream) [::]:10025 (Stream)") },
		},
		{id: "sockets-differ", name: "socket too many", doc: plain, want: "it opens 127.0.0.1:10026", host: func(r *rig) { r.unit().Sockets = parseListen("0.0.0.0:10025 [::]:10025 127.0.0.1:10026") }},
		{id: "interface-absent", name: "interface missing", doc: in(plain, "interfaces = ['eth1', 'msa*', 'eth9']"), want: `intercept.interfaces[2]: this host has no interface "eth9"`, good: in(plain, "interfaces = ['eth1', 'msa*']")},
		{
			id: "interface-is-port", name: "port of a bridge", doc: in(plain, "interfaces = ['eth1']"), want: "eth1 is a port of br0", good: in(plain, "interfaces = ['br0']"),
			host: func(r *rig) {
				r.net.link("eth1").Master = "br0"
				r.net.links = append(r.net.links, Interface{Name: "br0", Kind: "bridge"})
			},
			goodHost: func(r *rig) {
				r.net.links = append(r.net.links, Interface{Name: "br0", Kind: "bridge", Addresses: prefixesOf("10.20.0.1/16")})
				r.net.link("eth1").Master, r.net.link("eth1").Addresses = "br0", nil
			},
		},
		{id: "user-missing", name: "user missing", doc: in(plain, "local = true"), host: func(r *rig) { r.LookupUser = func(string) (*User, error) { return nil, errors.New("unknown user") } }, want: `there is no user "kanmon"`, good: in(plain, "local = true")},
		{id: "user-differs", name: "unit of another user", doc: in(plain, "local = true"), want: "kanmon runs as postfix (id 89)", good: in(plain, "local = true"), host: func(r *rig) {
			r.unit().User = "postfix"
			r.LookupUser = func(name string) (*User, error) {
				if name == "postfix" {
					return &User{Name: name, ID: 89}, nil
				}
				return &kanmonUser, nil
			}
			r.Own = func() User { return User{Name: "postfix", ID: 89} }
		}},
		{id: "program-needed", name: "nft needed", doc: in(plain, "manage_rules = true"), host: withoutNft, want: "manage_rules: the program nft is not installed", good: in(plain, "manage_rules = true")},
		{id: "program-missing", name: "no nft", doc: plain, host: withoutNft, want: "the program nft is not installed: `kanmon rules apply` needs it"},
		{id: "capability-missing", name: "rules without privilege", doc: in(plain, "manage_rules = true"), host: asDaemon, want: "applying rules needs CAP_NET_ADMIN"},
		{id: "capability-missing", name: "rules without privilege or a place", doc: in(plain, "manage_rules = true"), host: asDaemon, want: "StateDirectory=kanmon-rules RuntimeDirectory=kanmon-rules"},
		{id: "capability-missing", name: "tproxy without privilege", doc: tproxy(plain), host: asDaemon, want: "a transparent listener needs CAP_NET_RAW", good: tproxy(plain), goodHost: func(r *rig) {
			asDaemon(r)
			r.SocketsGiven = true
		}},
		{id: "capability-missing", name: "mark without privilege", doc: in(plain, "mark = 0x2525"), host: asDaemon, want: "marking connections needs CAP_NET_RAW", good: in(plain, "mark = 0x2525")},
		{
			id: "capability-missing", name: "unit without privilege", doc: in(plain, "mark = 0x2525"), host: func(r *rig) { r.unit() }, want: "CAP_NET_RAW, which kanmon.service lacks",
			good: in(plain, "mark = 0x2525"), goodHost: func(r *rig) {
				noCapabilities(r)
				r.unit().Ambient = []string{"cap_net_raw"}
			},
		},
		{
			id: "files-few", name: "few descriptors", doc: plain, host: func(r *rig) { r.FileLimit = func() (uint64, error) { return 20_000, nil } },
			want: "limits.sessions: 10000 sessions need 21000 open files, this process may have 20000", goodHost: func(r *rig) { r.FileLimit = func() (uint64, error) { return unlimited, nil } },
		},
		{id: "files-few", name: "very few descriptors", doc: plain, host: func(r *rig) { r.FileLimit = func() (uint64, error) { return 256, nil } }, want: "or want sessions = 1"},
		// firstday-20
		{
			id: "files-few", name: "unit", doc: plain, host: func(r *rig) { r.unit().FileLimit = 1024 }, want: "kanmon.service may have 1024",
			goodHost: func(r *rig) {
				r.FileLimit = func() (uint64, error) { return 1024, nil } // the shell's own limit
				r.unit()
			},
		},
		{id: "files-few", name: "running unit", doc: plain, want: "the running kanmon.service may have 4096", host: func(r *rig) {
			s := r.unit()
			s.Active, s.PID = true, 77
			r.proc("77/limits", "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n")
		}},
		{id: "backlog-short", name: "short backlog", doc: plain, host: proc("sys/net/core/somaxconn", "128\n"), want: "net.core.somaxconn: 128: a burst of connections would be dropped"},
		{id: "conntrack-small", name: "small conntrack", doc: plain, host: proc("sys/net/netfilter/nf_conntrack_max", "8192\n"), want: "8192 entries, but 10000 redirected sessions need 20000", good: tproxy(plain), goodHost: proc("sys/net/netfilter/nf_conntrack_max", "8192\n")},
		{id: "conntrack-filling", name: "conntrack nearly full", doc: plain, host: proc("sys/net/netfilter/nf_conntrack_count", "210000\n"), want: "210000 of 262144 entries are in use"},
		{
			id: "ports-outside", name: "ports that the kernel does not use", doc: strings.Replace(ips, "[[sending_ip]]\n", "[[sending_ip]]\nports = \"20000-39999\"\n", 1),
			host: proc("sys/net/ipv4/ip_local_port_range", "32768\t60999\n"), want: "20000-39999 are not all within net.ipv4.ip_local_port_range, 32768-60999",
			good: strings.Replace(ips, "[[sending_ip]]\n", "[[sending_ip]]\nports = \"33000-59999\"\n", 1),
		},
		{
			id: "ports-outside", name: "an old kernel", doc: strings.Replace(ips, "[[sending_ip]]\n", "[[sending_ip]]\nports = \"33000-59999\"\n", 1),
			host: proc("sys/kernel/osrelease", "6.1.0-18-amd64\n"), want: "this kernel, 6.1.0-18-amd64, cannot keep to them",
		},
		{id: "ports-few", name: "few ports", doc: plain, host: proc("sys/net/ipv4/ip_local_port_range", "60000\t60999\n"), want: "1000 source ports toward one IPv4 MX, but 10000 sessions"},
		{
			id: "ports-few", name: "few ports of one family", doc: ips + "[limits]\nsessions = 12000\n", host: proc("sys/net/ipv4/ip_local_port_range", "50000\t60999\n"),
			want: "11000 source ports toward one IPv6 MX, but 12000 sessions may all go there", good: ips + "[limits]\nsessions = 12000\n", goodHost: proc("sys/net/ipv4/ip_local_port_range", "50000\t61999\n"),
		},

		// The traps of redirect.
		{
			id: "interface-without-address", name: "no address", doc: plain, want: "mail of 10.20.0.0/16 comes in by eth2, which has no IPv4 address", host: func(r *rig) {
				r.net.link("eth1").Addresses = nil
				r.net.links = append(r.net.links, Interface{Name: "eth2"})
				r.net.outOf["invalid IP"] = "eth2"
			},
		},
		{
			id: "ipv6-not-intercepted", name: "IPv6 of the MSAs", doc: plain, want: "comes in by eth1, which has IPv6 (fd20::/64), and this host forwards IPv6", good: plain, // firstday-6
			host: func(r *rig) { r.net.link("eth1").Addresses = prefixesOf("10.20.0.1/16", "fd20::1/64") },
			goodHost: func(r *rig) {
				r.net.link("eth1").Addresses = prefixesOf("10.20.0.1/16", "fd20::1/64")
				r.proc("sys/net/ipv6/conf/all/forwarding", "0\n")
			},
		},
		{id: "source-filtered", name: "strict rp_filter at the MSAs", doc: in(edited(plain, "10.20.0.0/16", "10.30.0.0/16"), "interfaces = ['eth1']"), want: "packets from 10.30.0.0/16 that come in by eth1 are dropped (net.ipv4.conf.eth1.rp_filter = 1), since the way back leads by eth0", good: in(plain, "interfaces = ['eth1']")},
		{
			id: "source-filtered", name: "the same addresses on two wires", doc: acme + "[[tenant]]\nname = 'wire'\nlisten_port = 10031\ninterfaces = ['eth1']\n", want: "tenant[1].interfaces: packets from 10.20.0.0/16 that come in by eth1 are dropped (net.ipv4.conf.eth1.rp_filter = 1), since the way back leads by eth2",
			host: func(r *rig) {
				r.net.links = append(r.net.links, Interface{Name: "eth2", Addresses: prefixesOf("10.20.0.1/16")})
			},
			good: acme + "[[tenant]]\nname = 'wire'\nlisten_port = 10031\ninterfaces = ['eth1']\n", goodHost: func(r *rig) {
				r.net.links = append(r.net.links, Interface{Name: "eth2", Addresses: prefixesOf("10.20.0.1/16")})
				r.proc("sys/net/ipv4/conf/eth1/rp_filter", "2\n")
			},
		},
		{
			id: "bridge-netfilter", name: "bridge", doc: plain, want: "net.bridge.bridge-nf-call-iptables: 1, and mail of 10.20.0.0/16 comes in by the bridge eth1", host: func(r *rig) {
				r.net.link("eth1").Kind = "bridge"
				r.proc("sys/net/bridge/bridge-nf-call-iptables", "1\n")
			}, goodHost: func(r *rig) { r.net.link("eth1").Kind = "bridge" },
		},
		{id: "src-valid-mark", name: "src_valid_mark", doc: tproxy(plain), host: proc("sys/net/ipv4/conf/eth1/src_valid_mark", "1\n"), want: "net.ipv4.conf.eth1.src_valid_mark: 1", good: plain, goodHost: proc("sys/net/ipv4/conf/eth1/src_valid_mark", "1\n")},
		{id: "src-valid-mark", name: "src_valid_mark of all", doc: tproxy(plain), host: proc("sys/net/ipv4/conf/all/src_valid_mark", "1\n"), want: "net.ipv4.conf.all.src_valid_mark: 1", good: tproxy(plain)},
		// audit-F8, audit-F3
		{id: "lo-without-ipv6", name: "lo without IPv6", doc: tproxy(plain), host: proc("sys/net/ipv6/conf/lo/disable_ipv6", "1\n"), want: "the policy route of IPv6 cannot be made", good: tproxy(in(plain, "listen = ['127.0.0.1:10025']")), goodHost: proc("sys/net/ipv6/conf/lo/disable_ipv6", "1\n")},
		// trouble-O02
		{id: "policy-route-missing", name: "no rule", doc: tproxy(in(plain, "listen = ['127.0.0.1:10025']")), host: func(r *rig) { r.net.rule = false }, want: "the rule of tproxy's policy route of IPv4 is missing", good: plain, goodHost: func(r *rig) { r.net.rule = false }},
		{id: "policy-route-missing", name: "no route", doc: tproxy(in(plain, "listen = ['127.0.0.1:10025']")), host: func(r *rig) { r.net.route = false }, want: "the route of tproxy's policy route of IPv4 is missing", good: tproxy(plain)},
		// trouble-O10
		{id: "route-missing", name: "no way out", doc: ips, host: func(r *rig) { r.net.outOf["203.0.113.11"] = "-" }, want: "sending_ip[1].address: there is no route from 203.0.113.11", good: ips},
		{id: "route-elsewhere", name: "another uplink", doc: ips, host: func(r *rig) { r.net.outOf["203.0.113.11"] = "eth1" }, want: "203.0.113.11 is an address of eth0, and mail from it leaves by eth1", good: ips},
		{id: "rules-gone", name: "rules flushed", doc: plain, host: func(r *rig) {
			r.unit().RulesOn = true
			r.Ruleset = func(context.Context) ([]byte, error) {
				return []byte(`{"nftables":[{"table":{"family":"inet","name":"filter"}}]}`), nil
			}
		}, want: "it is not in the kernel, and kanmon runs: mail leaves directly"},
		{id: "rules-not-applied", name: "rules not loaded yet", doc: plain, host: func(r *rig) {
			r.Ruleset = func(context.Context) ([]byte, error) { return []byte(`{"nftables":[]}`), nil }
		}, want: "it is not in the kernel yet"},
		{id: "rules-removed", name: "by a person", doc: plain, want: "a person has removed it at 2026-06-01T10:00:00Z: mail leaves directly", host: func(r *rig) {
			r.unit().Active = true
			r.Ruleset = func(context.Context) ([]byte, error) { return []byte(`{"nftables":[]}`), nil }
			r.remember("rules.json", intercept.Kept{Rules: rulesOf(r.parse(plain)), Removed: &intercept.Removal{At: time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC)}})
		}},
		{
			id: "rules-memory-damaged", name: "half a file", doc: plain, want: "kept/rules.json: unexpected end of JSON input", good: plain,
			host: func(r *rig) { r.write(filepath.Join(r.dir, "kept", "rules.json"), `{"version": 1, "ru`) },
		},
		{
			id: "rules-unguarded", name: "a guard that does nothing", doc: plain, want: "the guard does nothing: no rules are kept", good: plain,
			host: func(r *rig) { r.guard(intercept.Guarding{Unguarded: "no rules are kept"}) },
		},
		{
			id: "rules-not-kept", name: "managed without a folder", doc: in(plain, "manage_rules = true"), want: "kanmon.service does not let kanmon write in DIR/kept", good: in(plain, "manage_rules = true"),
			host: func(r *rig) { r.unit().Ambient = []string{"cap_net_admin"} },
			goodHost: func(r *rig) {
				s := r.unit()
				s.Ambient, s.ReadWrite = []string{"cap_net_admin"}, []string{filepath.Join(r.dir, "kept")}
			},
		},
		{id: "rules-not-kept", name: "managed where nothing can be written", doc: in(plain, "manage_rules = true"), want: "DIR/file/kept cannot be written", good: in(plain, "manage_rules = true"), host: func(r *rig) {
			r.write(filepath.Join(r.dir, "file"), "")
			r.Service = nil
			r.Kept = func() (*intercept.Keeper, *intercept.Report) {
				return &intercept.Keeper{Dir: filepath.Join(r.dir, "file", "kept")}, &intercept.Report{Dir: filepath.Join(r.dir, "kept")}
			}
		}, goodHost: func(r *rig) { r.Service = nil }},
		{id: "rules-unguarded", name: "no guard", doc: plain, want: "no guard runs", host: func(r *rig) {
			r.unit()
			r.guard(intercept.Guarding{Ended: time.Now()})
		}, goodHost: func(r *rig) { r.unit() }},
		{id: "rules-taken", name: "by another program", doc: plain, want: "since 2026-06-01T10:00:00Z other programs have taken the rules away or changed them 2 times, and mail could leave directly for 1.2s in all; last at 2026-06-01T12:00:00Z (table inet kanmon is gone), by nft (process 812)", host: func(r *rig) {
			at := time.Date(2026, 6, 1, 10, 0, 0, 0, time.UTC)
			r.guard(intercept.Guarding{Since: at, Episodes: 2, Open: 1200 * time.Millisecond, Last: &intercept.Episode{At: at.Add(2 * time.Hour), Lost: []string{"table inet kanmon is gone"}, By: "nft (process 812)"}})
		}},
		{id: "rules-differ", name: "other rules", doc: plain, host: func(r *rig) {
			r.InForce = func(context.Context) ([]Fault, error) { return []Fault{{What: "chain prerouting is missing"}}, nil }
		}, want: "table inet kanmon: chain prerouting is missing"},
		{id: "mail-dropped", name: "by another table", doc: plain, host: otherRule("filter", "input", `{"drop":null}`, tcpPort(10025)), want: "a rule in chain at, table inet other stops it on its way to port 10025: mail of 10.20.0.0/16 that comes in by eth1 (drop)"},
		{id: "mail-taken", name: "by another table", doc: plain, host: otherRule("nat", "prerouting", `{"redirect":{"port":2525}}`, tcpPort(25)), want: "sends it elsewhere: mail of 10.20.0.0/16 that comes in by eth1 (redirect)"},
		{id: "mail-untracked", name: "by another table", doc: plain, host: otherRule("filter", "prerouting", `{"notrack":null}`, tcpPort(25)), want: "hides it from conntrack", good: tproxy(plain), goodHost: otherRule("filter", "prerouting", `{"notrack":null}`, tcpPort(25))},
		{id: "dials-dropped", name: "by another table", doc: oneAddress, host: otherRule("filter", "output", `{"reject":null}`, tcpPort(25)), want: "nft insert rule inet other at ip saddr 203.0.113.10 tcp dport 25 accept", good: oneAddress, goodHost: otherRule("filter", "output", `{"reject":null}`, tcpPort(26))},
		{id: "dials-taken", name: "by another table", doc: oneAddress, host: otherRule("nat", "output", `{"redirect":{"port":2525}}`, tcpPort(25)), want: "sends them elsewhere: kanmon's own connections from 203.0.113.10 (redirect)", good: oneAddress, goodHost: otherRule("nat", "output", `{"redirect":{"port":2525}}`, tcpPort(26))},
		{id: "answers-dropped", name: "by another table", doc: oneAddress, host: otherRule("filter", "input", `{"drop":null}`, `{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"sport"}},"right":25}}`), want: "what MXs answer to 203.0.113.10 (drop)", good: oneAddress},
		{id: "source-rewritten", name: "masquerade", doc: ips, host: natRule(`{"masquerade":null}`, `{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"203.0.113.10"}}`), want: "a rule in chain post, table inet nat gives what leaves from 203.0.113.10 by eth0 another source address (masquerade)", good: ips},
		{id: "source-maybe-rewritten", name: "masquerade with an unknown condition", doc: ips, host: natRule(`{"masquerade":null}`, `{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"203.0.113.10"}}`, `{"match":{"op":"==","left":{"rt":{"key":"classid"}},"right":7}}`), want: "may give what leaves from 203.0.113.10", good: ips},
		{id: "not-checked", name: "no privilege for nft", doc: plain, host: func(r *rig) {
			r.Ruleset = func(context.Context) ([]byte, error) {
				return nil, errors.New("only root sees them: sudo kanmon check")
			}
		}, want: "note: the firewall's rules: not checked, because only root sees them"},
		{id: "not-checked", name: "privileges of nobody knows whom", doc: tproxy(plain), host: noCapabilities, want: "intercept.mode: not checked, because a transparent listener needs CAP_NET_RAW, which this process lacks, and kanmon may have it"},
		{id: "not-checked", name: "no systemd", doc: plain, host: func(r *rig) {
			r.Service = func(context.Context) (*Service, error) { return nil, errors.New("systemd does not run here") }
		}, want: "the service: not checked, because systemd does not run here"},
		{id: "not-checked", name: "no netlink", doc: plain, host: func(r *rig) { r.net.links, r.net.interfaceErr = nil, errors.New("refused") }, want: "addresses and interfaces: not checked, because this host does not tell them: refused"},
		{id: "not-checked", name: "iptables-legacy", doc: ips, host: func(r *rig) { r.LegacyTables = func() []string { return []string{"filter"} } }, want: "rules of iptables-legacy, table filter: not checked", good: ips},
		{id: "not-checked", name: "another user's eyes", doc: plain, host: func(r *rig) { r.Own = func() User { return User{Name: "me", ID: 1000} } }, want: "files: not checked, because kanmon runs as kanmon, and only root can see with its eyes"},
		{id: "reply-filtered", name: "strict rp_filter on the uplink", doc: edited(ips, "'203.0.113.11'", "'198.51.100.1'"), want: "answers to 198.51.100.1 that come in by eth2 are dropped", host: func(r *rig) {
			r.net.links = append(r.net.links, Interface{Name: "eth2", Dummy: false, Addresses: prefixesOf("198.51.100.1/24")})
			r.net.outOf["198.51.100.1"] = "eth0"
			r.proc("sys/net/ipv4/conf/eth2/rp_filter", "1\n")
		}, good: ips, goodHost: proc(strict, "1\n")},
	}
}
