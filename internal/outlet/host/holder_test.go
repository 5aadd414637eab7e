package host

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Who has a port is named with its process.
func TestHolderIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
	if got, want := Holder("/proc", inode), fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(comm)), os.Getpid()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Holder("/proc", "1"); got != "" {
		t.Errorf("a socket that is not there: %q", got)
	}
}
