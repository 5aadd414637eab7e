package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// DialFrom connects from an address of the host. Unlike with Dial, others need not wait until the connection is there: only its socket
// is made on the host's thread.
func (h *Host) DialFrom(from netip.Addr, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	var fd int
	err := h.Do(func() (err error) {
		fd, err = boundSocket(from)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial from %v: %w", from, err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	defer func() { _ = file.Close() }()
	if err := connect(file, to, timeout); err != nil {
		return nil, fmt.Errorf("dial %v from %v: %w", to, from, err)
	}
	return net.FileConn(file)
}

func boundSocket(from netip.Addr) (int, error) {
	family := unix.AF_INET
	if from.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		// The port is chosen at connect, when the kernel knows the whole four-tuple.
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func connect(file *os.File, to netip.AddrPort, timeout time.Duration) error {
	if err := file.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	begun := false
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		if !begun {
			begun = true
			if err := unix.Connect(int(fd), sockaddr(to)); err != nil {
				failed = err
			}
			if !errors.Is(failed, unix.EINPROGRESS) {
				return true
			}
			failed = nil
			return false
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if failed = err; failed != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd)) // a socket that does not connect yet is "writable", too
		return err == nil
	})
	return errors.Join(err, failed)
}
