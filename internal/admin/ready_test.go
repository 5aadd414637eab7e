package admin

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Who does not answer is not ready, and is not waited for: what asks does so each second.
func TestReadiness(t *testing.T) {
	path, _ := serve(t, &fakeIPs{}, nil)
	if err := NewClient(path).Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	hung := filepath.Join(t.TempDir(), "hung.sock")
	l, err := net.Listen("unix", hung) // nobody accepts: the kernel does
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var nobody NoAnswer
	if err := NewClient(hung).Ready(t.Context()); !errors.As(err, &nobody) || !strings.Contains(err.Error(), "within "+readyWithin.String()) {
		t.Errorf("of one that hangs: %v", err)
	}
}
