package daemon

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"kanmon/internal/admin"
)

// slip is an operator's typing error.
type slip struct {
	admin.SendingIPs
	stopped bool
}

func (*slip) Standings(netip.Addr) ([]admin.Standing, error)  { return nil, nil }
func (*slip) Resume(netip.Addr, string, string, string) error { return nil }
func (s *slip) Suspend(_ netip.Addr, _ string, until time.Time, _, _ string) error {
	s.stopped = until.IsZero()
	return nil
}

func TestSuspendForLessThanNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := admin.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	var ips slip
	w := newWorld(t, listenTable)
	server := admin.NewServer(&ips, nil, nil, nil, nil, w.daemon.log)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { _ = errors.Join(server.Close(), <-done) })
	if _, err := admin.NewClient(path).Suspend(t.Context(), netip.MustParseAddr("203.0.113.10"), "", -time.Hour, ""); err == nil && ips.stopped {
		t.Error("suspended for -1h: stopped until resumed")
	}
}
