// Package egress decides where kanmon's own connections leave from: it chooses a sending IP and dials the MX from it.
//
// A sending IP has a reputation of its own and a name in its PTR record, so mail must never leave from an address by
// accident. Whatever cannot be sent from a configured sending IP is not sent: without one of the destination's family the
// dial fails. With no sending IP configured at all, the kernel chooses (observe mode).
//
// Routes, tenants and pools say which sending IPs a mail may leave from. Within a pool the choice is rendezvous hashing on
// who sends (tenant and sender domain, or the MSA's address) and where to (provider, or the MX's address): a mail that is
// tried again leaves from the same address, across restarts and across gateways with the same pools, and an edit of a pool
// moves only what its address was removed for or what a new one takes over.
//
// The source port is left to connect (IP_BIND_ADDRESS_NO_PORT, Linux 4.2, ip(7)): one sending IP then has its whole port
// range for each MX address, not for all of them together.
//
// Normal use:
//
//  1. [NewRouter] with pools, tenants and routes. [Router.Owner] says whose a mail is, [Router.Choose] where it leaves from,
//     [Router.Explain] also why, [Router.NeedsProvider] whether it is worth waiting for DNS. A [Forecast] guesses the sender that
//     is not known yet.
//  2. [NewDialer] with the router, and the loop guard of the listeners.
//  3. [Dialer.Dial] for every MX leg; the session closes the connection and then calls Outbound.Closed.
//
// Privileges: none, but CAP_NET_RAW or CAP_NET_ADMIN if a mark is set (SO_MARK, socket(7)).
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kanmon/internal/session"
)

// ErrNoSendingIP is seen when sending IPs are configured, but none of the destination's address family.
var ErrNoSendingIP = session.ErrNoSendingIP

// ErrPortsExhausted is seen when every source port from the sending IP to this MX address is in use or in TIME_WAIT.
// It passes within a minute (TIME_WAIT) or when sessions end.
var ErrPortsExhausted = session.ErrPortsExhausted

// ErrNotOnHost is seen when the chosen sending IP is not, or not yet (IPv6 duplicate address detection), an address
// of this host, or when none of a pool is.
var ErrNotOnHost = session.ErrNotOnHost

// A SendingIP is a local address that mail may leave from.
type SendingIP struct {
	Address netip.Addr
	Name    string // EHLO name; it must match the address's PTR record
}

// A Guard is told of every dial, so that a connection which the firewall hands back to kanmon is known as kanmon's own.
type Guard interface {
	// Dialling is called before the connection is opened. The source is the zero Addr if the kernel will choose it.
	// Then landed is called exactly once: with the local address of the open connection, or with the zero AddrPort if
	// there is none. For an open connection, closed is called exactly once, after it has been closed.
	Dialling(source netip.Addr, destination netip.AddrPort) (landed func(local netip.AddrPort) (closed func()))
}

// Config is what a [Dialer] is made from.
type Config struct {
	Router     *Router     // nil: one pool of all SendingIPs
	SendingIPs []SendingIP // without a Router; none: observe mode, the kernel chooses the source address
	Mark       uint32      // SO_MARK of every connection, for the firewall and for policy routing; 0: not set
	Guard      Guard       // nil: nobody is told
}

// A Dialer opens connections to MXs from the configured sending IPs. It is immutable and safe for concurrent use; a
// reload makes a new one.
type Dialer struct {
	router *Router
	mark   uint32
	guard  Guard
	tcp    net.Dialer
}

// A peer that vanished without a word is found after 60 + 4×30 s: sooner than the 15 minutes that a session may wait
// for the reply to its dot, and cheap with ten thousand sessions waiting.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 30 * time.Second, Count: 4}

// NewDialer makes a Dialer. The order of the sending IPs does not matter; the same address should not be listed twice.
func NewDialer(c Config) *Dialer {
	d := &Dialer{router: c.Router, mark: c.Mark, guard: c.Guard}
	if d.router == nil {
		d.router = onePool(c.SendingIPs)
	}
	d.tcp = net.Dialer{KeepAliveConfig: keepAlive, ControlContext: d.control}
	// MPTCP would put an option into every SYN that MXs' firewalls have to understand, and gains a relay nothing.
	d.tcp.SetMultipathTCP(false)
	return d
}

// Dial implements [session.Dialer]. Besides the package's own errors it returns those of the connection attempt, which
// wrap their [syscall.Errno] or the context's error. The connection is a plain [*net.TCPConn].
func (d *Dialer) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	destination := netip.AddrPortFrom(req.Destination.Addr().Unmap(), req.Destination.Port())
	from, err := d.Choose(req.Source, destination.Addr())
	if err != nil {
		return session.Outbound{}, fmt.Errorf("dial %s: %w", destination, err)
	}
	return d.DialFrom(ctx, from, destination)
}

// DialFrom connects from a sending IP; from the zero SendingIP the kernel chooses. With an error the Outbound still names it.
func (d *Dialer) DialFrom(ctx context.Context, from SendingIP, destination netip.AddrPort) (session.Outbound, error) {
	destination = netip.AddrPortFrom(destination.Addr().Unmap(), destination.Port())
	landed := ignoreLanding
	if d.guard != nil {
		landed = d.guard.Dialling(from.Address, destination)
	}
	network := "tcp6"
	if destination.Addr().Is4() {
		network = "tcp4"
	}
	// In observe mode this binds to the wildcard address, which IP_BIND_ADDRESS_NO_PORT makes a no-op.
	conn, err := d.tcp.DialTCP(ctx, network, netip.AddrPortFrom(from.Address, 0), destination)
	if err != nil {
		landed(netip.AddrPort{})
		return session.Outbound{SendingIP: from.Address}, explain(err, from.Address, destination)
	}
	closed := landed(conn.LocalAddr().(*net.TCPAddr).AddrPort())
	return session.Outbound{Conn: conn, Closed: closed, SendingIP: from.Address, Name: from.Name}, nil
}

// Choose gives the sending IP for what is known when a connection is opened, the MSA and the MX: the zero SendingIP in
// observe mode, [ErrNoSendingIP] if the pool has none of the MX's family.
func (d *Dialer) Choose(msa, mx netip.Addr) (SendingIP, error) {
	choice, err := d.router.Choose(Query{Source: msa, Destination: netip.AddrPortFrom(mx, 0), Suspicion: unknownScore})
	return choice.IP, err
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
		return fmt.Errorf("dial %s from %s: %w: %w", destination, from, ErrNotOnHost, cause)
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("dial %s from %s: %w: %w", destination, from, ErrPortsExhausted, cause)
	}
	return fmt.Errorf("dial %s from %s: %w", destination, from, cause)
}

// unknownScore is the Query.Suspicion of a mail that nothing has judged.
const unknownScore = -1

func ignoreLanding(netip.AddrPort) func() { return nil }
