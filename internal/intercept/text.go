package intercept

import (
	"fmt"
	"slices"
	"strings"
)

// Text renders the rules as an nftables script for "nft -f". Loaded, it replaces the table that an earlier one made, in one
// transaction, and touches nothing else. In tproxy mode it begins with the policy route's commands, as comments. The rules
// must be valid.
func (r Rules) Text() string { return r.textHolding(nil) }

// textHolding is Text with connections that go on although the rules would look for them elsewhere.
func (r Rules) textHolding(list []heldConn) string {
	t := new(script)
	t.linef("# Rules of kanmon, %s mode. Mail to port 25 goes to kanmon, on port %d; if kanmon is down, it is refused.", r.Mode, r.port())
	for _, f := range r.refused() {
		t.linef("# There is no sending IP of %s: its mail is refused with a reset, and MSAs take the MX's other family.", f.title)
	}
	if r.Mode == TProxy {
		t.line("# They need the policy route that these commands make:")
		for _, c := range r.routeCommands() {
			t.line("#     " + c)
		}
	}
	t.comment("Replace the table as a whole: it must exist to be deleted.")
	t.linef("table inet %s", r.table())
	t.linef("delete table inet %s", r.table())
	t.open("table inet " + r.table())
	r.sets(t)
	hold(t, list)
	if r.Mode == TProxy {
		r.tproxyChains(t)
	} else {
		r.redirectChains(t)
	}
	t.close()
	return t.String()
}

func (r Rules) sets(t *script) {
	for _, f := range []family{ipv4, ipv6} {
		if prefixes := r.sourcesOf(f); len(prefixes) > 0 {
			t.open("set " + f.sources)
			t.linef("type %s_addr", f.nfproto)
			t.line("flags interval")
			t.line("auto-merge")
			t.linef("elements = { %s }", strings.Join(prefixes, ", "))
			t.close()
		}
	}
}

// elsewhere matches mail that leaves this host: mail to an own address, the loopback addresses too, is never intercepted.
const elsewhere = "tcp dport 25 fib daddr type != local"

func (r Rules) redirectChains(t *script) {
	if r.forwarded() {
		t.comment("Forwarded mail: the MSAs' connections to MXs.")
		t.open("chain prerouting")
		t.line("type nat hook prerouting priority dstnat; policy accept;")
		r.refuseFamilies(t)
		for _, m := range r.matches() {
			r.redirectTo(t, m)
		}
		t.close()

		t.comment("What NAT did not see (notrack), or does not know for a part of its connection, must not pass directly: it would leave in")
		t.line("# clear, from the MSA's own address. Connections older than these rules may end.")
		t.open("chain forward")
		t.line("type filter hook forward priority filter; policy accept;")
		for _, m := range r.matches() {
			t.linef("%stcp dport 25 ct state invalid counter drop", m.text)
			t.linef("%stcp dport 25 ct state new,untracked counter reject with tcp reset", m.text)
		}
		t.close()
		r.wires(t)
	}
	if r.Local {
		r.redirectOutput(t)
	}
	t.comment("Nobody connects to kanmon directly.")
	t.open("chain input")
	t.line("type filter hook input priority filter; policy accept;")
	t.linef("tcp dport %s ct status & dnat == 0 counter reject with tcp reset", r.ports())
	t.close()
}

// redirectTo writes the rules that send matching connections to the listeners: to the incoming interface's own address or, where a family
// is listened on at other addresses alone, to one of these.
func (r Rules) redirectTo(t *script, m match) {
	if r.onlyRefused(m) {
		return
	}
	if r.fixed(ipv4) == "" && r.fixed(ipv6) == "" {
		t.linef("%s%s counter redirect to :%d", m.text, elsewhere, m.port)
		return
	}
	for _, f := range []family{ipv4, ipv6} {
		text, ok := m.of(f)
		switch address := r.fixed(f); {
		case !ok || r.refuses(f):
		case address == "":
			t.linef("%s%s counter redirect to :%d", text, elsewhere, m.port)
		default:
			t.linef("%s%s counter dnat %s to %s:%d", text, elsewhere, f.name, address, m.port)
		}
	}
}

// redirectOutput writes the chains for this host's own mail.
func (r Rules) redirectOutput(t *script) {
	t.comment("This host's own mail, but kanmon's.")
	t.open("chain output")
	t.line("type nat hook output priority -100; policy accept;")
	r.excludeOwn(t)
	r.refuseOutput(t)
	t.linef("%s counter redirect to :%d", elsewhere, r.port())
	t.close()

	t.comment("What NAT did not see, or does not know for a part of its connection, must not pass directly.")
	t.open("chain leaving")
	t.line("type filter hook output priority filter; policy accept;")
	r.excludeOwn(t)
	t.linef("%s ct state invalid counter drop", elsewhere)
	t.linef("%s ct state untracked tcp flags & (syn|ack) == syn counter reject with tcp reset", elsewhere)
	t.close()
}

// refuseOutput writes the rules for this host's own mail that kanmon cannot take: of families without a sending IP, and to link-local
// addresses, which say nothing without their interface.
func (r Rules) refuseOutput(t *script) {
	for _, f := range r.refused() {
		t.linef("meta nfproto %s %s counter reject with tcp reset", f.nfproto, elsewhere)
	}
	if !r.refuses(ipv6) {
		t.linef("ip6 daddr fe80::/10 %s counter reject with tcp reset", elsewhere)
	}
}

// wires writes the rules that keep MSAs with the same addresses on several wires apart, in conntrack: the reply's direction is kanmon's
// alone and needs no zone. The ICMP errors of a connection are looked for in its zone, too.
func (r Rules) wires(t *script) {
	if !slices.ContainsFunc(r.Dedicated, func(d Dedicated) bool { return len(d.Interfaces) > 0 }) {
		return
	}
	t.comment("The same addresses may be in use on several wires.")
	t.open("chain " + wiresChain)
	t.line("type filter hook prerouting priority raw; policy accept;")
	for _, d := range r.Dedicated {
		for _, name := range d.Interfaces {
			t.linef("iifname %q tcp dport 25 ct original zone set %d", name, d.Port)
			t.linef("iifname %q meta l4proto { icmp, icmpv6 } ct original zone set %d", name, d.Port)
		}
	}
	t.close()
}

// tproxyHook is where the tproxy mode marks packets: before they are routed, and behind firewalld's check of the way back (filter + 10),
// which looks at the mark, finds that answers to the packet would stay on this host, and drops it.
const tproxyHook = "type filter hook prerouting priority filter + 20; policy accept;"

func (r Rules) tproxyChains(t *script) {
	t.comment("What routers say of kanmon's packets, such as that a link is too narrow for them, is addressed to the MX, but meant for kanmon.")
	t.open("chain errors")
	t.line(tproxyHook)
	for _, f := range []family{ipv4, ipv6} {
		if r.takes(f) {
			t.linef("%s socket transparent 1 %s accept", f.errors, setMark(r.routeMark()))
		}
	}
	t.close()

	t.comment("tproxy hands a packet to kanmon's socket; the mark routes it to this host. The rule does nothing without a listener.")
	t.open("chain prerouting")
	t.line(tproxyHook)
	r.refuseFamilies(t)
	for _, m := range r.matches() {
		r.tproxyTo(t, m)
	}
	if r.Local {
		t.comment("This host's own mail comes round by the loopback interface (see output). It must not end at another server here.")
		own := match{fmt.Sprintf(`iifname "lo" %s `, marked(r.routeMark())), r.port()}
		r.tproxyTo(t, own)
		t.linef("%s%s counter reject with tcp reset", own.text, elsewhere)
	}
	t.close()

	if r.forwarded() {
		t.comment("Without a listener the packet is still on its way to the MX: refuse it here.")
		t.open("chain forward")
		t.line("type filter hook forward priority filter; policy accept;")
		for _, m := range r.matches() {
			t.linef("%stcp dport 25 counter reject with tcp reset", m.text)
		}
		t.close()
	}
	t.comment("Sockets may have the mark of the packet that made them (tcp_fwmark_accept): their answers are not for this host.")
	t.open("chain answers")
	t.line("type route hook output priority mangle; policy accept;")
	t.linef("tcp sport 25 %s %s", marked(r.routeMark()), unsetMark(r.routeMark()))
	t.close()
	if r.Local {
		r.tproxyOutput(t)
	}
	t.comment("Nobody connects to kanmon directly: what tproxy hands over keeps its port 25.")
	t.open("chain input")
	t.line("type filter hook input priority filter; policy accept;")
	t.linef("tcp dport %s counter reject with tcp reset", r.ports())
	t.close()
}

// ownConnection is the bit of conntrack's mark by which the rest of a connection of kanmon's is known: the packets of one that was closed
// have no user any more.
const ownConnection = 0x40

func (r Rules) tproxyOutput(t *script) {
	t.comment("This host's own mail, but kanmon's: the mark turns its route to the loopback interface.")
	t.open("chain output")
	t.line("type route hook output priority mangle; policy accept;")
	if r.User != "" {
		t.linef("tcp dport 25 meta skuid %s ct mark set ct mark | %#x", r.quotedUser(), ownConnection)
		t.linef("tcp dport 25 ct mark & %#x != 0 return", ownConnection)
	}
	r.excludeOwn(t)
	if !r.refuses(ipv6) {
		t.linef("ip6 daddr fe80::/10 %s counter reject with tcp reset", elsewhere)
	}
	for _, f := range []family{ipv4, ipv6} {
		verdict := setMark(r.routeMark())
		if !r.takes(f) {
			verdict = "reject with tcp reset"
		}
		t.linef("meta nfproto %s %s counter %s", f.nfproto, elsewhere, verdict)
	}
	t.close()

	t.comment("If something took the policy route away, the mail must not go on to the MX.")
	t.open("chain postrouting")
	t.line("type filter hook postrouting priority filter; policy accept;")
	t.linef(`oifname != "lo" %s tcp dport 25 counter drop`, marked(r.routeMark()))
	t.close()
}

// tproxyTo writes the rules that hand matching packets to the listeners, one for each family: tproxy takes one address.
func (r Rules) tproxyTo(t *script, m match) {
	for _, f := range []family{ipv4, ipv6} {
		if text, ok := m.of(f); ok && r.takes(f) {
			t.linef("%s%s counter tproxy %s to %s %s accept", text, elsewhere, f.name, r.target(f, m.port), setMark(r.routeMark()))
		}
	}
}

// refuseFamilies writes the rules for forwarded mail of the families that have no sending IP. Here and not in the forward chain: a host
// that does not forward a family drops its packets without a word.
func (r Rules) refuseFamilies(t *script) {
	for _, f := range r.refused() {
		for _, m := range r.matches() {
			if text, ok := m.of(f); ok {
				t.linef("%s%s counter reject with tcp reset", text, elsewhere)
			}
		}
	}
}

// onlyRefused reports whether all that a match takes is refused already.
func (r Rules) onlyRefused(m match) bool {
	for _, f := range []family{ipv4, ipv6} {
		if _, ok := m.of(f); ok && !r.refuses(f) {
			return false
		}
	}
	return true
}

func (r Rules) excludeOwn(t *script) {
	for _, own := range r.exclusions() {
		t.linef("%s return", own)
	}
}

// routeCommands returns the commands that make the policy routes.
func (r Rules) routeCommands() (list []string) {
	for _, p := range r.policyRoutes() {
		list = append(list,
			fmt.Sprintf("ip %s route add local default dev lo table %d protocol %d", p.family.flag, p.table, routeProtocol),
			fmt.Sprintf("ip %s rule add fwmark %#x/%#x lookup %d priority %d protocol %d", p.family.flag, p.mark, p.mark, p.table, routePriority, routeProtocol))
	}
	return list
}

// A script is nft text with its indentation. Blocks, and comments that begin a paragraph, are set off by an empty line.
type script struct {
	strings.Builder
	depth int
	tight bool // no empty line is wanted: a block or a paragraph has just begun
}

func (t *script) line(s string) {
	t.WriteString(strings.Repeat("\t", t.depth) + s + "\n")
	t.tight = false
}

func (t *script) linef(format string, args ...any) { t.line(fmt.Sprintf(format, args...)) }

func (t *script) paragraph() {
	if !t.tight {
		t.WriteString("\n")
	}
}

func (t *script) comment(s string) {
	t.paragraph()
	t.line("# " + s)
	t.tight = true
}

func (t *script) open(s string) {
	t.paragraph()
	t.line(s + " {")
	t.depth++
	t.tight = true
}

func (t *script) close() {
	t.depth--
	t.line("}")
}
