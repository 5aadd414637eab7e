package days_test

import (
	"testing"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/historytest"
)

func open(t *testing.T, dir string) *days.Store {
	t.Helper()
	s, err := days.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestBehavesAsAStore(t *testing.T) {
	historytest.Run(t, func(t *testing.T) history.Store { return open(t, t.TempDir()) })
}
