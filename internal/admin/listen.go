package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is a listener that removes its file only as long as that is its own.
type socket struct {
	*net.UnixListener
	path string
	own  os.FileInfo
}

// Listen opens the Unix socket for the owner and its group (0660). A socket that a dead kanmon left is replaced. One that anybody may
// still be listening on is not: only a refused connection says that nobody is.
func Listen(path string) (net.Listener, error) {
	var s *socket
	err := alone(path, func() (err error) {
		if err := removeDead(path); err != nil {
			return err
		}
		s, err = bind(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return s, nil
}

// removeDead removes a socket that nobody listens on.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that is no socket")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return errors.New("another kanmon is listening on it")
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default: // EAGAIN: it is alive, and its queue is full
		return fmt.Errorf("another kanmon may be listening on it: %w", err)
	}
}

func bind(path string) (*socket, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it goes by the name alone
	s := &socket{UnixListener: l, path: path}
	if err = os.Chmod(path, 0o660); err == nil {
		s.own, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(path))
	}
	return s, nil
}

// Close stops listening. The file goes with it, unless it has become somebody else's.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, alone(s.path, func() error {
		info, err := os.Lstat(s.path)
		if err != nil || !os.SameFile(info, s.own) {
			return nil // somebody has removed it, or put another in its place
		}
		return os.Remove(s.path)
	}))
}

// alone does something while no other kanmon does such a thing in the same directory: to look and then to remove is not one step.
func alone(path string, do func() error) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	for end := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return do()
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR), time.Now().After(end):
			return fmt.Errorf("lock %s: %w", dir.Name(), err)
		}
	}
}

// lockPatience is for others that open their sockets: it takes them no time.
const lockPatience = 2 * time.Second
