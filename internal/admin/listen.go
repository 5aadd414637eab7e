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

// A Socket is a listener that removes its file only as long as that is its own.
type Socket struct {
	*net.UnixListener
	path string // where it is to be
	at   string // where it is
	own  os.FileInfo
}

// Listen opens the Unix socket for the owner and its group (0660). A socket that a dead kanmon left is replaced. One that anybody may
// still be listening on is not: only a refused connection says that nobody is.
func Listen(path string) (net.Listener, error) {
	var s *Socket
	err := alone(path, func() (err error) {
		if err := lookDead(path); err != nil {
			return err
		}
		if s, err = bind(path); err == nil {
			err = s.place()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return s, nil
}

// ListenAside opens the Unix socket beside its place, where another kanmon listens still. [Socket.Replace] brings it there.
func ListenAside(path string) (s *Socket, err error) {
	err = alone(path, func() (err error) {
		s, err = bind(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("admin socket %s: %w", path, err)
	}
	return s, nil
}

// Replace brings the socket to its place. Whoever listens there is not asked any more by new connections.
func (s *Socket) Replace() error {
	if err := alone(s.path, s.place); err != nil {
		return fmt.Errorf("admin socket %s: %w", s.path, err)
	}
	return nil
}

func (s *Socket) place() error {
	if err := os.Rename(s.at, s.path); err != nil {
		return errors.Join(errors.Unwrap(err), s.UnixListener.Close(), os.Remove(s.at))
	}
	s.at = s.path
	return nil
}

// lookDead reports that nobody listens on a socket, or that there is none.
func lookDead(path string) error {
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
		return nil
	default: // EAGAIN: it is alive, and its queue is full
		return fmt.Errorf("another kanmon may be listening on it: %w", err)
	}
}

// aside is the name of a socket that is not in its place yet: of the same length, for there is little room for names of sockets (unix(7)). There is one at
// a time; a dead kanmon's is replaced.
func aside(path string) string {
	last := len(path) - 1
	if path[last] == '~' {
		return path[:last] + "+"
	}
	return path[:last] + "~"
}

func bind(path string) (*Socket, error) {
	at := aside(path)
	if err := lookDead(at); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it goes by the name alone
	s := &Socket{UnixListener: l, path: path, at: at}
	if err = os.Chmod(at, 0o660); err == nil {
		s.own, err = os.Lstat(at)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(at))
	}
	return s, nil
}

// Close stops listening. The file goes with it, unless it has become somebody else's.
func (s *Socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, alone(s.path, func() error {
		info, err := os.Lstat(s.at)
		if err != nil || !os.SameFile(info, s.own) {
			return nil // somebody has removed it, or put another in its place
		}
		return os.Remove(s.at)
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
