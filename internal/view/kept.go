package view

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"kanmon/internal/config"
	"kanmon/internal/store"
	"kanmon/internal/view/history"
	"kanmon/internal/view/history/days"
	"kanmon/internal/view/history/postgres"
)

// KeptHistory opens the history of a configuration for writing. One process of a host may: the error is [store.ErrInUse] where another does.
func KeptHistory(cfg *config.Config) (history.Store, error) {
	dir := cfg.History.Directory
	if cfg.History.Database == "" {
		return days.Open(dir)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := store.Lock(filepath.Join(dir, "database.lock"))
	if err != nil {
		return nil, err
	}
	s, err := database(cfg)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &locked{s, lock}, nil
}

// DatabaseFaults says what would keep history from being kept in the database of a configuration.
func DatabaseFaults(ctx context.Context, cfg *config.Config) ([]postgres.Fault, error) {
	return postgres.Faults(ctx, postgres.Options{Database: cfg.History.Database, PasswordFile: cfg.History.DatabasePasswordFile, Host: cfg.Journal.Gateway})
}

// database opens the database of a configuration.
func database(cfg *config.Config) (history.Store, error) {
	h := &cfg.History
	s, err := postgres.Open(postgres.Options{Database: h.Database, PasswordFile: h.DatabasePasswordFile, Host: cfg.Journal.Gateway})
	if err != nil {
		return nil, err // not s: it would be a store
	}
	return s, nil
}

// A locked store is that of a process that keeps others of its host from writing: they would follow the same records.
type locked struct {
	history.Store
	lock *os.File
}

// Close closes it, and lets others write.
func (l *locked) Close() error { return errors.Join(l.Store.Close(), l.lock.Close()) }
