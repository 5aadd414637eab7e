package mx

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sockets are the listening sockets of the event loops, by descriptor.
type sockets map[int]*Listener

func openSockets(listeners []Listener) (sockets, error) {
	open := make(sockets)
	for i := range listeners {
		fd, err := listenOn(listeners[i].Address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %v: %w", listeners[i].Address, err), open.close())
		}
		open[fd] = &listeners[i]
	}
	return open, nil
}

func (s sockets) close() error {
	var err error
	for fd := range s {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}

// listenOn opens a socket whose accepted connections inherit TCP_NODELAY.
func listenOn(address netip.AddrPort) (int, error) {
	family, where := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: address.Addr().As16(), Port: int(address.Port())})
	if address.Addr().Is4() {
		family, where = unix.AF_INET, &unix.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, where),
		unix.Listen(fd, 16384),
	)
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
