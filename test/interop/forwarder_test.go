package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// forward is the control: a proxy that copies octets and knows nothing of SMTP. What changes a verdict behind it is
// the rig's fault, and what changes one only behind kanmon is kanmon's. It ends when its standard input does.
func forward() error {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false) // SO_ORIGINAL_DST does not work on MPTCP sockets
	ln, err := lc.Listen(context.Background(), "tcp4", fmt.Sprintf("0.0.0.0:%d", ProxyPort))
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = ln.Close()
	}()
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		go relay(c.(*net.TCPConn))
	}
}

// relay copies both ways until both ends are done; it passes half-closes and resets on.
func relay(client *net.TCPConn) {
	defer client.Close()
	destination, err := originalDestination(client)
	if err != nil {
		return
	}
	conn, err := net.DialTimeout("tcp4", destination.String(), 10*time.Second)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { pump(server, client) })
	both.Go(func() { pump(client, server) })
	both.Wait()
}

func pump(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if errors.Is(err, unix.ECONNRESET) {
		_ = to.SetLinger(0)
		_ = to.Close()
		return
	}
	_ = to.CloseWrite()
}

func originalDestination(c *net.TCPConn) (netip.AddrPort, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var addr *unix.IPv6Mreq // large enough for a sockaddr_in, which is what the kernel writes
	var errSock error
	err = raw.Control(func(fd uintptr) {
		addr, errSock = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, unix.SO_ORIGINAL_DST)
	})
	if err := errors.Join(err, errSock); err != nil {
		return netip.AddrPort{}, err
	}
	m := addr.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(m[4:8])), uint16(m[2])<<8|uint16(m[3])), nil
}
