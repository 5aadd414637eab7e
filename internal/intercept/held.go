package intercept

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// heldTimeout is how long a held connection may be quiet: kanmon's probes make the MSA answer every 40 seconds.
const heldTimeout = "10m"

// A heldConn is a connection to port 25 that conntrack knows in another zone than the rules would look for it in. Left
// to them, it would not be found and be reset, with a mail in its body, or with one whose answer is waited for.
type heldConn struct {
	source, destination netip.AddrPort
	zone                uint16
	redirected          bool
}

// ends are what its packets are known by.
func (c heldConn) ends() [2]netip.AddrPort { return [2]netip.AddrPort{c.source, c.destination} }

// held returns the connections that were open before the rules, and that rules look for in another zone: sessions of rules before, and
// direct connections. What conntrack cannot tell ends, as it does when a host boots.
func (r Rules) held(ctx context.Context, before Rules) []heldConn {
	zones := r.zones()
	if r.Mode != Redirect || len(zones) == 0 && !hasZones(r.table()) {
		return nil
	}
	former := before.zones()
	var list []heldConn
	zoned := map[[2]netip.AddrPort]bool{} // sessions
	_ = eachTracked(ctx, func(c heldConn) {
		interfaces := zones[c.zone]
		stays := c.zone == 0 && len(zones) == 0 || interfaces != "" && (len(before.Listen) == 0 || interfaces == former[c.zone])
		if c.redirected && c.zone != 0 {
			zoned[c.ends()] = true
		}
		if !stays {
			list = append(list, c)
		}
	})
	var own hostAddresses
	list = slices.DeleteFunc(list, func(c heldConn) bool {
		// Of a session whose rules were away for a moment conntrack has learnt a direct connection beside it. What this
		// host sends is none of the rules' that tell zones apart.
		return !c.redirected && (c.zone != 0 || zoned[c.ends()] || own.has(c.source.Addr()))
	})
	slices.SortFunc(list, func(a, b heldConn) int {
		return cmp.Or(cmp.Compare(a.zone, b.zone), a.source.Compare(b.source), a.destination.Compare(b.destination))
	})
	return slices.Compact(list) // a dump may tell of one twice
}

// zones returns the interfaces whose connections each zone has.
func (r Rules) zones() map[uint16]string {
	zones := map[uint16]string{}
	for _, d := range r.Dedicated {
		if len(d.Interfaces) > 0 && r.Mode == Redirect {
			zones[d.Port] = strings.Join(slices.Sorted(slices.Values(d.Interfaces)), " ")
		}
	}
	return zones
}

// hasZones reports whether the rules in force tell zones apart.
func hasZones(table string) bool {
	chains, err := chainsOf(table)
	return err == nil && (slices.Contains(chains, wiresChain) || slices.Contains(chains, Held))
}

// Held begins the names of the chain and the sets for connections from before the rules.
const Held = "held"

const wiresChain = "wires"

// hold writes the chain that has these connections looked for where they are. It stands in front of the chain of the wires: the first zone
// that a packet gets counts. An address of two wires that calls the same MX from the same port is one connection here, as it was before
// there were zones. A connection that is over is forgotten.
func hold(t *script, list []heldConn) {
	if len(list) == 0 {
		return
	}
	type group struct {
		v6   bool
		zone uint16
	}
	elements := map[group][]string{}
	var groups []group
	for _, c := range list {
		g := group{c.source.Addr().Is6(), c.zone}
		if elements[g] == nil {
			groups = append(groups, g)
		}
		elements[g] = append(elements[g], fmt.Sprintf("%s . %d . %s", c.source.Addr(), c.source.Port(), c.destination.Addr()))
	}
	of := func(g group) (set string, f family) {
		if f = ipv4; g.v6 {
			f = ipv6
		}
		return fmt.Sprintf("%s%s_%d", Held, strings.TrimPrefix(f.nfproto, "ipv"), g.zone), f
	}
	t.comment("Connections from before these rules, that conntrack has in another zone.")
	for _, g := range groups {
		set, f := of(g)
		t.open("set " + set)
		t.linef("type %s_addr . inet_service . %s_addr", f.nfproto, f.nfproto)
		t.line("flags dynamic,timeout")
		t.linef("size %d", len(elements[g]))
		t.linef("timeout %s", heldTimeout)
		t.linef("elements = { %s }", strings.Join(elements[g], ", "))
		t.close()
	}
	t.open("chain " + Held)
	t.line("type filter hook prerouting priority raw - 10; policy accept;")
	for _, g := range groups {
		set, f := of(g)
		key := fmt.Sprintf("%s saddr . tcp sport . %s daddr", f.name, f.name)
		t.linef("tcp dport 25 %s @%s update @%s { %s } ct original zone set %d", key, set, set, key, g.zone)
	}
	t.close()
}

// eachTracked tells of the connections to port 25 that conntrack follows, and that are not over.
func eachTracked(ctx context.Context, found func(heldConn)) error {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP)
	request.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
	return request.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(message []byte) bool {
		if c, ok := parseTracked(message); ok {
			found(c)
		}
		return ctx.Err() == nil
	})
}

// tupleZone is the zone of one direction of a connection (CTA_TUPLE_ZONE, nfnetlink_conntrack.h).
const tupleZone = 3

// trackedDNAT is in the status of a connection whose destination was changed (IPS_DST_NAT, nf_conntrack_common.h).
const trackedDNAT = 1 << 5

func parseTracked(message []byte) (c heldConn, ok bool) {
	if len(message) < sizeofNfgenmsg {
		return c, false
	}
	of := attributesOf(message[sizeofNfgenmsg:])
	if status := of[nl.CTA_STATUS]; len(status) == 4 {
		c.redirected = binary.BigEndian.Uint32(status)&trackedDNAT != 0
	}
	state := attributesOf(attributesOf(of[nl.CTA_PROTOINFO])[nl.CTA_PROTOINFO_TCP])[nl.CTA_PROTOINFO_TCP_STATE]
	if len(state) != 1 || state[0] >= nl.TCP_CONNTRACK_TIME_WAIT {
		return c, false
	}
	tuple := attributesOf(of[nl.CTA_TUPLE_ORIG])
	if zone := cmp.Or(string(tuple[tupleZone]), string(of[nl.CTA_ZONE])); len(zone) == 2 { // of this direction, or of both
		c.zone = binary.BigEndian.Uint16([]byte(zone))
	}
	ip, proto := attributesOf(tuple[nl.CTA_TUPLE_IP]), attributesOf(tuple[nl.CTA_TUPLE_PROTO])
	if number := proto[nl.CTA_PROTO_NUM]; len(number) != 1 || number[0] != unix.IPPROTO_TCP {
		return c, false
	}
	from, known1 := addressAndPort(ip, proto[nl.CTA_PROTO_SRC_PORT], nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC)
	to, known2 := addressAndPort(ip, proto[nl.CTA_PROTO_DST_PORT], nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST)
	c.source, c.destination = from, to
	return c, known1 && known2 && to.Port() == 25
}

func addressAndPort(ip map[uint16][]byte, port []byte, v4, v6 uint16) (netip.AddrPort, bool) {
	octets := ip[v4]
	if octets == nil {
		octets = ip[v6]
	}
	address, ok := netip.AddrFromSlice(octets)
	if !ok || len(port) != 2 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(address, binary.BigEndian.Uint16(port)), true
}

// attributesOf reads netlink attributes of which there is one of each kind.
func attributesOf(data []byte) map[uint16][]byte {
	list := map[uint16][]byte{}
	for _, a := range attributes(data) {
		list[a.Attr.Type&nl.NLA_TYPE_MASK] = a.Value
	}
	return list
}

// attributes reads as many as can be read.
func attributes(data []byte) []syscall.NetlinkRouteAttr {
	list, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil
	}
	return list
}
