package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Slot is one of several processes of kanmon behind a socket that somebody else holds, as systemd has them (sd_listen_fds(3), sd_notify(3)).
type Slot struct {
	*Process
	ready chan struct{} // closed when it has said READY
}

// StartSlot runs kanmon behind a listening socket. It takes over from the slot that runs, if one does.
func (k *Kanmon) StartSlot(name string, listener net.Listener) (*Slot, error) {
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	path := filepath.Join(k.dir, name+".notify")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	says, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, says.Close())
	}
	process, err := k.Host.Start(Command{
		Name: name, User: k.User, Files: []*os.File{socket},
		Args: []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, kanmonBinary(), "run", "--take-over", "--config", k.configFile()},
		Env:  slices.Concat(k.environ(), k.Env, []string{"LISTEN_FDS=1", "NOTIFY_SOCKET=" + path}),
	})
	if err != nil {
		return nil, errors.Join(err, says.Close())
	}
	s := &Slot{Process: process, ready: make(chan struct{})}
	go s.hear(says)
	go func() { <-process.Done(); _ = says.Close() }()
	return s, nil
}

func (s *Slot) hear(says *net.UnixConn) {
	text := make([]byte, 4096)
	for known := false; ; {
		n, err := says.Read(text)
		if err != nil {
			return
		}
		if !known && slices.Contains(strings.Split(string(text[:n]), "\n"), "READY=1") {
			known = true
			close(s.ready)
		}
	}
}

// IsReady reports whether it has said READY.
func (s *Slot) IsReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// WaitReady waits until it has said READY.
func (s *Slot) WaitReady(timeout time.Duration) error {
	select {
	case <-s.ready:
		return nil
	case <-s.Done():
		return fmt.Errorf("kanmon ended: %w: %s", s.err, s.Log())
	case <-time.After(timeout):
		return fmt.Errorf("kanmon is not ready within %s: %s", timeout, s.Log())
	}
}

// Ended reports whether it has ended, and how.
func (s *Slot) Ended() (ended bool, err error) {
	select {
	case <-s.Done():
		return true, s.err
	default:
		return false, nil
	}
}
