package days

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// Searched notes a search; see [history.Store].
func (s *Store) Searched(ctx context.Context, of history.Search) error {
	f, err := store.Open(filepath.Join(s.dir, searchFile), patience, searchSchema)
	if err != nil {
		return fmt.Errorf("note who searches: %w", err)
	}
	_, err = f.ExecContext(ctx, "INSERT INTO search_done (at, by, what, why) VALUES (?, ?, ?, ?)", of.At.UnixMilli(), of.By, of.What, of.Why)
	return errors.Join(err, f.Close())
}

// mostSearches bounds what is noted: who searches by a program presses out what was noted first, and no mail.
const mostSearches = 1_000_000

// forgetSearches takes away what was noted longer ago than anything is kept, and what is too much.
func (s *Store) forgetSearches(ctx context.Context, now time.Time, keeps time.Duration) error {
	path := filepath.Join(s.dir, searchFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := store.Open(path, patience, searchSchema)
	if err != nil {
		return fmt.Errorf("forget old searches: %w", err)
	}
	oldest := int64(0)
	if keeps > 0 {
		oldest = now.Add(-keeps).UnixMilli()
	}
	_, err = f.ExecContext(ctx, "DELETE FROM search_done WHERE at < ? OR id <= (SELECT coalesce(max(id), 0) FROM search_done) - ?", oldest, mostSearches)
	return errors.Join(err, f.Close())
}

// Searches gives them; see [history.Store].
func (s *Store) Searches(ctx context.Context, page history.Page) (all []history.Search, next history.Next, err error) {
	before := int64(1) << 62
	if page.After != "" {
		if before, err = strconv.ParseInt(string(page.After), 10, 64); err != nil {
			return nil, "", errNext
		}
	}
	f, err := store.Read(filepath.Join(s.dir, searchFile), 1, searchSchema)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	limit, last := limitOf(page), int64(0)
	err = each(ctx, f, "SELECT id, at, by, what, why FROM search_done WHERE id < ? ORDER BY id DESC LIMIT ?", func(scan func(...any) error) error {
		var n, at int64
		var one history.Search
		if err := scan(&n, &at, &one.By, &one.What, &one.Why); err != nil {
			return err
		}
		if len(all) == limit {
			next = history.Next(strconv.FormatInt(last, 10))
			return nil
		}
		one.At, last = time.UnixMilli(at).UTC(), n
		all = append(all, one)
		return nil
	}, before, limit+1)
	return all, next, errors.Join(err, f.Close())
}
