package intercept_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sendStray sends a segment of the connection that is 50 million octets ahead of it, past the connection's own socket: as a broken host
// or a late retransmission does, and who wants to see what a firewall makes of it.
func sendStray(conn *net.TCPConn, text string) error {
	sent, got, err := sequences(conn)
	if err != nil {
		return err
	}
	from := conn.LocalAddr().(*net.TCPAddr).AddrPort()
	to := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	segment := make([]byte, 20, 20+len(text))
	binary.BigEndian.PutUint16(segment[0:], from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	binary.BigEndian.PutUint32(segment[4:], sent+50_000_000)
	binary.BigEndian.PutUint32(segment[8:], got)
	segment[12], segment[13] = 5<<4, 0x18 // five words of header; PSH and ACK
	binary.BigEndian.PutUint16(segment[14:], 500)
	segment = append(segment, text...)
	binary.BigEndian.PutUint16(segment[16:], checksum(from.Addr().Unmap(), to.Addr().Unmap(), segment))
	return sendRaw(from.Addr().Unmap(), to.Addr().Unmap(), segment)
}

// sequences asks the kernel which octet is next in each direction.
func sequences(conn *net.TCPConn) (sent, got uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	const receiveQueue, sendQueue, offWithoutProbe = 1, 2, -1 // linux/tcp.h
	var failed error
	err = raw.Control(func(fd uintptr) {
		set := func(option, value int) {
			failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_TCP, option, value))
		}
		get := func() uint32 {
			n, err := unix.GetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
			failed = errors.Join(failed, err)
			return uint32(n)
		}
		set(unix.TCP_REPAIR, 1)
		set(unix.TCP_REPAIR_QUEUE, sendQueue)
		sent = get()
		set(unix.TCP_REPAIR_QUEUE, receiveQueue)
		got = get()
		set(unix.TCP_REPAIR, offWithoutProbe)
	})
	return sent, got, errors.Join(err, failed)
}

// checksum is TCP's (RFC 9293 §3.1), with the pseudo-header of either family: what differs in its form does not in its sum.
func checksum(from, to netip.Addr, segment []byte) uint16 {
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(segment))
	for _, part := range [][]byte{from.AsSlice(), to.AsSlice(), segment} {
		for ; len(part) > 1; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			sum += uint32(part[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func sendRaw(from, to netip.Addr, segment []byte) error {
	family := unix.AF_INET
	address := func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet4{Addr: a.As4()} }
	if from.Is6() {
		family = unix.AF_INET6
		address = func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet6{Addr: a.As16()} }
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, address(from)); err != nil {
		return err
	}
	if err := unix.Sendto(fd, segment, 0, address(to)); !errors.Is(err, unix.EPERM) { // the firewall of this host has dropped it
		return err
	}
	return nil
}
