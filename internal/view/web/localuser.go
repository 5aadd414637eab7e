package web

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// thisHost is from where comes who is on this host, and of whom the kernel does not say which user it is.
const thisHost = "this host"

// placeOf is from where somebody guesses. Of an address of this host it is the user whose process has the other end: "ssh -L" brings people here who
// have nothing in common but the address, and one of them may guess, from as many addresses as the loopback has.
func placeOf(r *http.Request) string {
	from := addressOf(r.RemoteAddr)
	if !ofThisHost(from) {
		return network(from)
	}
	here, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	there, err := netip.ParseAddrPort(r.RemoteAddr)
	if here == nil || err != nil {
		return thisHost
	}
	at, err := netip.ParseAddrPort(here.String())
	if err != nil {
		return thisHost
	}
	uid, known := userOf(there, at)
	if !known {
		return thisHost
	}
	return ofUser + strconv.Itoa(uid)
}

// ofUser is what stands before the number of a user of this host.
const ofUser = "user "

// userOf says whose socket is at one end of a connection on this host, from its own end to the other.
func userOf(own, other netip.AddrPort) (uid int, known bool) {
	for _, table := range [...]string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if uid, known = userIn(table, own, other); known {
			return uid, true
		}
	}
	return 0, false
}

// userIn looks into one of the kernel's tables, as proc(5) has them. Of a socket that its process has closed they say no user any more: only one that is
// open counts, or whoever closes his end in time would be root.
func userIn(table string, own, other netip.AddrPort) (uid int, known bool) {
	const local, remote, state, user, established = 1, 2, 3, 7, "01"
	f, err := os.Open(table)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) <= user || fields[state] != established || endIn(fields[local]) != unmapped(own) || endIn(fields[remote]) != unmapped(other) {
			continue
		}
		uid, err = strconv.Atoi(fields[user])
		return uid, err == nil
	}
	return 0, false
}

func unmapped(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// endIn reads an address and a port of such a table: words of 32 bits as this host has them in memory, in hexadecimal.
func endIn(text string) (at netip.AddrPort) {
	addr, port, _ := strings.Cut(text, ":")
	octets, err := hex.DecodeString(addr)
	n, wrong := strconv.ParseUint(port, 16, 16)
	if err != nil || wrong != nil || len(octets)%4 != 0 {
		return at
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for word := range slices.Chunk(octets, 4) {
			slices.Reverse(word)
		}
	}
	ip, _ := netip.AddrFromSlice(octets)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n))
}
