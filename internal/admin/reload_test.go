package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A reload may take minutes. Nobody waits that long for a kanmon that hangs, or that is stopped: the kernel takes the connection all the same.
func TestReloadDoesNotWaitForWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("/run/kanmon/admin.sock")
		c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { // the kernel takes what is written, and nobody reads it
				for buffer := make([]byte, 1024); ; {
					if _, err := theirs.Read(buffer); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}}
		began := time.Now()
		_, err := c.Reload(t.Context())
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it waited for %v", took)
		}
		if nobody := (NoAnswer{}); !errors.As(err, &nobody) || !strings.Contains(err.Error(), "kanmon hangs, or is stopped") || !strings.Contains(err.Error(), "/run/kanmon/admin.sock") {
			t.Errorf("it says: %v", err)
		}
	})
}

// A socket that a dead kanmon has left is called that.
func TestReloadFindsThatNobodyListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(path).Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "nobody listens on the socket") {
		t.Errorf("it says: %v", err)
	}
}
