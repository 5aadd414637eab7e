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

// answersNothing is a socket whose process hangs, or is stopped: the kernel takes the connection and what is written, and nobody reads it.
func answersNothing() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			for buffer := make([]byte, 1024); ; {
				if _, err := theirs.Read(buffer); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

// Who gives up earlier than a kanmon may take to answer is told that, and not that kanmon hangs.
func TestACallersOwnDeadlineIsNotCalledAHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("/run/kanmon/admin.sock")
		c.http.Transport = answersNothing()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Tenants(ctx)
		if nobody := (NoAnswer{}); !errors.As(err, &nobody) || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hangs") || !strings.Contains(err.Error(), "given up") {
			t.Errorf("it says: %v", err)
		}
		if _, err = c.Tenants(t.Context()); !strings.Contains(err.Error(), "kanmon hangs, or is stopped") {
			t.Errorf("without a deadline it says: %v", err)
		}
	})
}

// A reload may take minutes. Nobody waits that long for a kanmon that hangs, or that is stopped: the kernel takes the connection all the same.
func TestReloadDoesNotWaitForWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClient("/run/kanmon/admin.sock")
		c.http.Transport = answersNothing()
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
