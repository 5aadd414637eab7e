// Package dial opens kanmon's own connections: to an MX, from the sending IP that it is told.
//
// The source port is left to connect (IP_BIND_ADDRESS_NO_PORT, Linux 4.2, ip(7)): one sending IP then has its whole port range for each MX
// address, not for all of them together.
//
// Normal use:
//
//  1. [New] with the loop guard of the listeners.
//  2. [Dialer.DialFrom] for every MX leg; the session closes the connection and then calls Outbound.Closed.
//
// A sending IP that several hosts have may be given a part of the source ports (IP_LOCAL_PORT_RANGE, Linux 6.3, ip(7)): a router leads what comes back to the
// right host by the port.
//
// Privileges: none, but CAP_NET_RAW or CAP_NET_ADMIN if a mark is set (SO_MARK, socket(7)).
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
)

// A Guard is told of every dial, so that a connection which the firewall hands back to kanmon is known as kanmon's own.
type Guard interface {
	// Dialling is called before the connection is opened. The source is the zero Addr if the kernel will choose it.
	// Then landed is called exactly once: with the local address of the open connection, or with the zero AddrPort if
	// there is none. For an open connection, closed is called exactly once, after it has been closed.
	Dialling(source netip.Addr, destination netip.AddrPort) (landed func(local netip.AddrPort) (closed func()))
}

// Config is what a [Dialer] is made from.
type Config struct {
	Mark  uint32 // SO_MARK of every connection, for the firewall and for policy routing; 0: not set
	Guard Guard  // nil: nobody is told

	Ports map[netip.Addr]Ports // of sending IPs that may use only some
}

// Ports are source ports, the first and the last of them.
type Ports struct{ First, Last uint16 }

// A Dialer opens connections to MXs. It is immutable and safe for concurrent use; a reload makes a new one.
type Dialer struct {
	mark  uint32
	guard Guard
	tcp   net.Dialer
	ports map[netip.Addr]Ports
}

// New makes a Dialer.
func New(c Config) *Dialer {
	d := &Dialer{mark: c.Mark, guard: c.Guard, ports: c.Ports}
	d.tcp = net.Dialer{KeepAlive: -1, ControlContext: d.control} // whoever waits long for an MX sees to that
	// MPTCP would put an option into every SYN that MXs' firewalls have to understand, and gains a relay nothing.
	d.tcp.SetMultipathTCP(false)
	return d
}

// from returns what connects from a sending IP.
func (d *Dialer) from(ip netip.Addr) net.Dialer {
	ports, some := d.ports[ip]
	if !some {
		return d.tcp
	}
	tcp := d.tcp
	tcp.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			if err := SetPorts(int(fd), ports); err != nil {
				failed = os.NewSyscallError("setsockopt IP_LOCAL_PORT_RANGE", err)
			}
		})
		return errors.Join(err, failed, d.control(ctx, network, address, c))
	}
	return tcp
}

// SetPorts has a socket choose among some source ports. What of them lies outside of net.ipv4.ip_local_port_range the kernel heeds not: who configures
// them must know.
func SetPorts(fd int, p Ports) error {
	const ipLocalPortRange = 51 // of linux/in.h; at the IPv4 level for IPv6 sockets too
	return unix.SetsockoptInt(fd, unix.SOL_IP, ipLocalPortRange, int(p.Last)<<16|int(p.First))
}

// DialFrom connects from a sending IP; from the zero Addr the kernel chooses. With an error the Outbound still names it. Errors are
// [session.ErrNotOnHost], [session.ErrPortsExhausted], and those of the connection attempt, which wrap their [syscall.Errno] or the
// context's error. The connection is a plain [*net.TCPConn].
func (d *Dialer) DialFrom(ctx context.Context, from netip.Addr, destination netip.AddrPort) (session.Outbound, error) {
	destination = netip.AddrPortFrom(destination.Addr().Unmap(), destination.Port())
	landed := ignoreLanding
	if d.guard != nil {
		landed = d.guard.Dialling(from, destination)
	}
	network := "tcp6"
	if destination.Addr().Is4() {
		network = "tcp4"
	}
	// In observe mode this binds to the wildcard address, which IP_BIND_ADDRESS_NO_PORT makes a no-op.
	tcp := d.from(from)
	conn, err := tcp.DialTCP(ctx, network, netip.AddrPortFrom(from, 0), destination)
	if err != nil {
		landed(netip.AddrPort{})
		return session.Outbound{SendingIP: from}, explain(err, from, destination)
	}
	closed := landed(conn.LocalAddr().(*net.TCPAddr).AddrPort())
	return session.Outbound{Conn: conn, Closed: closed, SendingIP: from}, nil
}

// control prepares a socket before it is bound.
func (d *Dialer) control(_ context.Context, _, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		// The option lives at the IPv4 level for IPv6 sockets too.
		if err := unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			failed = os.NewSyscallError("setsockopt IP_BIND_ADDRESS_NO_PORT", err)
			return
		}
		if d.mark == 0 {
			return
		}
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(d.mark)); err != nil {
			failed = os.NewSyscallError("setsockopt SO_MARK (needs CAP_NET_RAW or CAP_NET_ADMIN)", err)
		}
	})
	return errors.Join(err, failed)
}

// explain turns the error of package net into one that names the sending IP and says what the errno means here.
func explain(err error, source netip.Addr, destination netip.AddrPort) error {
	cause := err
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		cause = op.Err // the OpError's text repeats both addresses
	}
	from := "the kernel's choice"
	if source.IsValid() {
		from = source.String()
	}
	switch call := (*os.SyscallError)(nil); {
	case errors.Is(err, unix.EADDRNOTAVAIL) && errors.As(err, &call) && call.Syscall == "bind":
		return fmt.Errorf("dial %s from %s: %w: %w", destination, from, session.ErrNotOnHost, cause)
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("dial %s from %s: %w: %w", destination, from, session.ErrPortsExhausted, cause)
	}
	return fmt.Errorf("dial %s from %s: %w", destination, from, cause)
}

func ignoreLanding(netip.AddrPort) func() { return nil }
