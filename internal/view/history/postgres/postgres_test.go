package postgres_test

import (
	"testing"

	"kanmon/internal/view/history"
	"kanmon/internal/view/history/historytest"
	"kanmon/internal/view/history/pgtest"
	"kanmon/internal/view/history/postgres"
)

func open(t *testing.T, database, host string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(postgres.Options{Database: database, Host: host})
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
	server := pgtest.Start(t)
	historytest.Run(t, func(t *testing.T) history.Store { return open(t, server.Database(t), "gw1") })
}
