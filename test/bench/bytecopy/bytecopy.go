// Package bytecopy is a transparent proxy that looks at nothing: two goroutines a session copy octets, each with a buffer of its
// own. It shows what the Go runtime costs before SMTP is even looked at.
//
// Normal use:
//  1. Redirect connections to its port.
//  2. Run [Proxy.Serve] on a listener without multipath TCP; it asks the kernel for the original destination.
package bytecopy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Proxy copies octets between redirected connections and their original destinations.
type Proxy struct {
	Buffer int // octets of each of a session's two buffers

	// TLSTo maps destinations to where they speak TLS from the first octet. There the proxy speaks TLS, without STARTTLS.
	TLSTo map[netip.AddrPort]netip.AddrPort
}

const (
	descriptorPause = 20 * time.Millisecond // until descriptors are free again
	dialTimeout     = 30 * time.Second      // as Postfix has it
)

// Serve accepts connections until the listener is closed.
func (p *Proxy) Serve(l net.Listener) error {
	// Sessions are resumed, as HAProxy does it. The MX of the benchmark signs its own certificate.
	conf := &tls.Config{ServerName: "mx.bench.test", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE):
			time.Sleep(descriptorPause)
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		go p.session(conn.(*net.TCPConn), conf)
	}
}

// session is the first of the two goroutines. Errors concern nobody: the peers see their connection close.
func (p *Proxy) session(msa *net.TCPConn, conf *tls.Config) {
	defer msa.Close()
	destination, err := original(msa)
	local := msa.LocalAddr().(*net.TCPAddr).AddrPort()
	if err != nil || destination == netip.AddrPortFrom(local.Addr().Unmap(), local.Port()) {
		return // not redirected: the proxy would connect to itself
	}
	mx, err := p.dial(destination, conf)
	if err != nil {
		return
	}
	defer mx.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.copy(msa, mx)
	}()
	p.copy(mx, msa)
	<-done
}

// A leg is a TCP or TLS connection.
type leg interface {
	net.Conn
	CloseWrite() error
}

func (p *Proxy) dial(destination netip.AddrPort, conf *tls.Config) (leg, error) {
	secure, isTLS := p.TLSTo[destination]
	if isTLS {
		destination = secure
	}
	d := net.Dialer{Timeout: dialTimeout}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(context.Background(), "tcp", destination.String())
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if isTLS {
		return tls.Client(conn, conf), nil
	}
	return conn.(*net.TCPConn), nil
}

// copy hides the types of both ends: io.Copy would splice, which costs a pipe for every direction.
func (p *Proxy) copy(to, from leg) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, p.Buffer))
	_ = to.CloseWrite()
}

// original asks the kernel where a redirected connection wanted to go.
func original(conn *net.TCPConn) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	if local := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); local.Is6() && !local.Is4In6() {
		return original6(raw)
	}
	var address *unix.IPv6Mreq
	var failed error
	err = raw.Control(func(fd uintptr) {
		// A sockaddr_in fits into the 16 octets of an IPv6Mreq's address, for which there is a getsockopt.
		address, failed = unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, unix.SO_ORIGINAL_DST)
	})
	if err := errors.Join(err, failed); err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	a := address.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:8])), binary.BigEndian.Uint16(a[2:4])), nil
}

// originalDestination6 is IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv6/ip6_tables.h).
const originalDestination6 = 80

func original6(raw syscall.RawConn) (netip.AddrPort, error) {
	var address *unix.IPv6MTUInfo
	var failed error
	err := raw.Control(func(fd uintptr) {
		// An IPv6MTUInfo begins with the sockaddr_in6 that the kernel gives, and is one for which there is a getsockopt.
		address, failed = unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, originalDestination6)
	})
	if err := errors.Join(err, failed); err != nil {
		return netip.AddrPort{}, fmt.Errorf("original destination: %w", err)
	}
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, address.Addr.Port))
	return netip.AddrPortFrom(netip.AddrFrom16(address.Addr.Addr), port), nil
}
