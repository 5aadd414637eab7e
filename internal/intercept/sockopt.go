package intercept

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// originalDestination asks conntrack where a redirected connection was going: SO_ORIGINAL_DST of
// linux/netfilter_ipv4.h, IP6T_SO_ORIGINAL_DST (the same number) of linux/netfilter_ipv6/ip6_tables.h. An IPv6 socket that
// carries IPv4 is asked at the IPv4 level. The error is ENOENT if conntrack does not know the connection.
func originalDestination(conn *net.TCPConn, ipv4 bool) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var destination netip.AddrPort
	var failed error
	err = raw.Control(func(fd uintptr) {
		if ipv4 {
			destination, failed = originalDestination4(int(fd))
		} else {
			destination, failed = originalDestination6(int(fd))
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return netip.AddrPort{}, err
	}
	return destination, nil
}

// originalDestination4 reads a sockaddr_in (family, port, address: 8 octets, and padding) into the 20 octets of an ipv6_mreq, which
// package unix can read without unsafe.
func originalDestination4(fd int) (netip.AddrPort, error) {
	got, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt SO_ORIGINAL_DST", err)
	}
	sin := got.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(sin[4:8])), binary.BigEndian.Uint16(sin[2:4])), nil
}

// originalDestination6 reads a sockaddr_in6 into the front of an ip6_mtuinfo, which begins with one.
func originalDestination6(fd int) (netip.AddrPort, error) {
	got, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockopt IP6T_SO_ORIGINAL_DST", err)
	}
	var port [2]byte // the field is in network byte order
	binary.NativeEndian.PutUint16(port[:], got.Addr.Port)
	return netip.AddrPortFrom(netip.AddrFrom16(got.Addr.Addr), binary.BigEndian.Uint16(port[:])), nil
}

// setKeepAlive sets it on a listening socket, for all connections that it will accept (socket(7), tcp(7)).
func setKeepAlive(c syscall.RawConn, k net.KeepAliveConfig) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_KEEPIDLE, int(k.Idle.Seconds())),
			unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_KEEPINTVL, int(k.Interval.Seconds())),
			unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_KEEPCNT, k.Count))
	})
	return errors.Join(err, os.NewSyscallError("setsockopt SO_KEEPALIVE", failed))
}

// setTransparent lets a socket accept connections to addresses that are not this host's (ip(7), ipv6(7)).
func setTransparent(c syscall.RawConn, ipv6 bool) error {
	level, option := transparentOption(ipv6)
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) })
	if errors.Is(failed, unix.EPERM) {
		return fmt.Errorf("a tproxy listener needs CAP_NET_RAW or CAP_NET_ADMIN, or a socket unit with Transparent=yes: %w", failed)
	}
	return errors.Join(err, os.NewSyscallError("setsockopt IP_TRANSPARENT", failed))
}

// ensureTransparent is setTransparent for a socket that may be so already, which needs no privilege to see.
func ensureTransparent(c syscall.RawConn, ipv6 bool) error {
	level, option := transparentOption(ipv6)
	var on int
	var failed error
	err := c.Control(func(fd uintptr) { on, failed = unix.GetsockoptInt(int(fd), level, option) })
	if err == nil && failed == nil && on == 1 {
		return nil
	}
	return setTransparent(c, ipv6)
}

func transparentOption(ipv6 bool) (level, option int) {
	if ipv6 {
		return unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	return unix.SOL_IP, unix.IP_TRANSPARENT
}
