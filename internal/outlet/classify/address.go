package classify

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxQuoted bounds the addresses noted of one reply. A reply that quotes more says nothing about one of them.
const maxQuoted = 16

// address appends <ip> if a token is an address, and notes it. A DNSBL's own answer, 127.0.0.2, is no sender's address.
func (n *normal) address(token string) bool {
	if len(token) > 5 && strings.EqualFold(token[:5], "ipv6:") { // an address literal: RFC 5321 §4.1.3
		token = token[5:]
	}
	if len(token) < 3 || len(token) > 45 || strings.IndexByte(token, '.') < 0 && strings.IndexByte(token, ':') < 0 {
		return false
	}
	addr, err := netip.ParseAddr(token)
	if err != nil {
		return false
	}
	n.quote(netip.PrefixFrom(addr.Unmap().WithZone(""), addr.Unmap().BitLen()))
	n.text = append(n.text, "<ip>"...)
	return true
}

// network appends <ip> for a network, whose address takes size octets, and notes it.
func (n *normal) network(field string, size int) bool {
	end := size + 1
	for end < len(field) && end < size+4 && '0' <= field[end] && field[end] <= '9' {
		end++
	}
	network, err := netip.ParsePrefix(field[:end])
	if err != nil {
		return false
	}
	n.quote(network.Masked())
	n.text = append(n.text, "<ip> "...)
	return true
}

func (n *normal) quote(p netip.Prefix) {
	if !p.Addr().IsLoopback() && len(n.quoted) < maxQuoted && !slices.Contains(n.quoted, p) {
		n.quoted = append(n.quoted, p)
	}
}

// inName notes an address that stands at the front of a host name, as a DNSBL is asked: 10.113.0.203.zen.example.
func (n *normal) inName(host string) {
	if len(n.reversed) == maxQuoted || n.nibbles(host) {
		return
	}
	var octets [4]byte
	for i := range octets {
		label, rest, more := strings.Cut(host, ".")
		value, err := strconv.ParseUint(label, 10, 8)
		if err != nil || !more {
			return
		}
		octets[3-i], host = byte(value), rest
	}
	if octets[0] != 127 {
		n.reversed = append(n.reversed, netip.AddrFrom4(octets))
	}
}

// inID notes an address that a word is made of together with something else, as the ids of logs are: 203.0.113.10-4Xk2Qz.
func (n *normal) inID(token string) bool {
	if !strings.ContainsAny(token, "-_") {
		return false
	}
	for part := range strings.FieldsFuncSeq(token, func(r rune) bool { return r == '-' || r == '_' }) {
		if addr, err := netip.ParseAddr(part); err == nil && addr.Is4() {
			n.quote(netip.PrefixFrom(addr, addr.BitLen()))
			return true
		}
	}
	return false
}

// dashed notes an address that a host name or a word is made of with dashes between its parts, as providers name their customers' lines:
// host-198-51-100-7.dsl.example, 2001-db8-99--7. Numbers alone are no address: they may be anything.
func (n *normal) dashed(token string) bool {
	label, _, named := strings.Cut(token, ".")
	if len(n.quoted) == maxQuoted || strings.Count(label, "-") < 3 {
		return false
	}
	if addr, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ":")); err == nil && addr.Is6() && addr.IsGlobalUnicast() {
		n.quote(netip.PrefixFrom(addr, addr.BitLen()))
		return true
	}
	var octets []byte
	for part := range strings.SplitSeq(label, "-") {
		value, err := strconv.ParseUint(part, 10, 8)
		switch {
		case err != nil && len(octets) < 4:
			octets, named = octets[:0], true
		case err == nil && len(octets) < 4:
			octets = append(octets, byte(value))
		}
	}
	if !named || len(octets) != 4 || octets[0] == 0 || octets[0] == 127 {
		return false
	}
	n.lines = append(n.lines, netip.AddrFrom4([4]byte(octets)))
	return true
}

// nibbles does what inName does for IPv6: 32 hexadecimal digits, the last one first (RFC 5782 §2.4).
func (n *normal) nibbles(host string) bool {
	if len(host) < 64 {
		return false
	}
	var addr [16]byte
	for i := range 32 {
		value, err := strconv.ParseUint(host[2*i:2*i+1], 16, 8)
		if err != nil || host[2*i+1] != '.' {
			return false
		}
		addr[15-i/2] |= byte(value) << (4 * (i % 2))
	}
	n.reversed = append(n.reversed, netip.AddrFrom16(addr))
	return true
}

// placeholder reports whether a word stands for any IPv4 address, as documents and masked logs write it: x.x.x.x, a.b.c.d,
// 192.0.2.x.
func placeholder(token string) bool {
	if strings.Count(token, ".") != 3 || len(token) > 15 {
		return false
	}
	for label := range strings.SplitSeq(token, ".") {
		masked := strings.Trim(label, "xXnN") == ""
		if label == "" || len(label) > 3 || !masked && !digits(label) && (len(label) > 1 || !letter(label[0])) {
			return false
		}
	}
	return true
}

// whose compares the addresses that a reply quotes with the sending IP.
type whose uint8

const (
	quotesNone      whose = iota
	quotesOurs            // the sending IP
	quotesBoth            // the sending IP, and public ones of others: one of them is meant
	quotesRange           // a network that the sending IP is in
	quotesNeighbour       // another address of its netblock
	quotesOther           // other addresses only
)

func (n *normal) whose(ours netip.Addr) whose {
	if len(n.quoted)+len(n.reversed)+len(n.lines) == 0 || !ours.IsValid() {
		return quotesNone
	}
	ours = ours.Unmap().WithZone("")
	for _, addr := range n.reversed { // asked of a DNSBL by name: nothing is clearer
		if addr == ours || addr == turned(ours) {
			return quotesOurs
		}
	}
	found, us, others := quotesOther, false, len(n.reversed) > 0
	for _, addr := range n.lines { // forwards, or back to front
		us, others = us || addr == ours || addr == turned(ours), others || addr != ours && addr != turned(ours)
	}
	for _, p := range n.quoted {
		switch {
		case p.Addr() == ours:
			us = true
		case !p.IsSingleIP() && p.Contains(ours) && p.Bits() >= minRange(ours):
			found = quotesRange
		case !p.IsSingleIP():
		default:
			others = others || !p.Addr().IsPrivate() && p.Addr().Is4() == ours.Is4()
			if found == quotesOther && netblock(p.Addr()) == netblock(ours) {
				found = quotesNeighbour
			}
		}
	}
	switch {
	case us && others:
		return quotesBoth
	case us:
		return quotesOurs
	}
	return found
}

// netblock is what receivers take for one owner's: /24, and /64 of IPv6.
func netblock(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// addresses returns all that the reply quotes, for the verdict to keep.
func (n *normal) addresses() []netip.Prefix {
	out := slices.Clone(n.quoted)
	for _, addr := range n.reversed {
		out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return out
}

// minRange is the shortest prefix that is still somebody's netblock: 0.0.0.0/0 quotes nobody.
func minRange(addr netip.Addr) int {
	if addr.Is4() {
		return 8
	}
	return 20
}

// turned is an IPv4 address back to front: a host name like 203.0.113.10.static.example is no question to a DNSBL.
func turned(addr netip.Addr) netip.Addr {
	if !addr.Is4() {
		return addr
	}
	octets := addr.As4()
	slices.Reverse(octets[:])
	return netip.AddrFrom4(octets)
}
