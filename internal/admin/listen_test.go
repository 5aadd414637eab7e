package admin

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket whose queue is full is a living kanmon's, not a dead one's.
//
// audit-B10
func TestSocketOfABusyKanmonIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for { // until its queue is full
		c, err := net.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if l, err := Listen(path); err == nil {
		_ = l.Close()
		t.Fatal("the socket of a living kanmon was taken over")
	} else if !strings.Contains(err.Error(), "another kanmon may be listening") {
		t.Errorf("it says %q", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("its socket is gone: %v", err)
	}
}

// The name of a socket may be as long as the kernel takes one, and a socket beside it needs no more.
func TestASocketMayHaveTheLongestName(t *testing.T) {
	const most = 107 // octets of sun_path, without its end (unix(7))
	folder := t.TempDir()
	path := filepath.Join(folder, strings.Repeat("s", most-len(folder)-1))
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ListenAside(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Replace(), first.Close()); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// A kanmon that ends takes its own socket away, and no other.
//
// audit-B10
func TestOnlyOnesOwnSocketIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the second kanmon cannot be reached any more: %v", err)
	}
	_ = c.Close()
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its own socket is left behind: %v", err)
	}
}

// Whoever holds connections open, silent ones or with half a request, does not keep the operator out, and they cost few descriptors.
//
// audit-B10
func TestOperatorHasRoomBesideOpenConnections(t *testing.T) {
	for name, said := range map[string]string{
		"silent": "", "half a request": "GET /v1/ips HTTP/1.1\r\n",
		"half a body": "POST /v1/ips/203.0.113.10/resume HTTP/1.1\r\nHost: kanmon\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := serve(t, &fakeIPs{}, nil)
			before := descriptors(t)
			for range 100 {
				c, err := net.Dial("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_, _ = c.Write([]byte(said)) // it may have been closed already
			}
			for range 3 {
				if _, err := NewClient(path).Standings(t.Context(), netip.Addr{}); err != nil {
					t.Fatalf("the operator: %v", err)
				}
			}
			if n := descriptors(t) - before - 100; n > mostConnections {
				t.Errorf("the server holds %d connections, want at most %d", n, mostConnections)
			}
		})
	}
}

// descriptors gives how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
