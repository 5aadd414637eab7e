package web

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID is the user of the process at the other end of a Unix socket, as the kernel says (SO_PEERCRED, unix(7)).
func peerUID(c net.Conn) (uint32, bool) {
	if of, is := c.(*one); is {
		c = of.Conn
	}
	own, is := c.(*net.UnixConn)
	if !is {
		return 0, false
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil || failed != nil || cred == nil {
		return 0, false
	}
	return cred.Uid, true
}
