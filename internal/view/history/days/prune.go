package days

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// Prune takes away what is older than is to be kept, or more; see [history.Store]. A time of 0 is for ever.
func (s *Store) Prune(ctx context.Context, now time.Time, keep history.Keep) (gone history.Pruned, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return gone, ErrReadOnly
	}
	if s.stale {
		if err := s.mend(ctx); err != nil {
			return gone, err
		}
	}
	all, err := s.reading.list()
	if err != nil {
		return gone, err
	}
	left := all[:0]
	for _, l := range all {
		to, stays := leftOf(&keep, now, l.day)
		if !stays {
			gone.Counts++
			err = s.remove(ctx, l)
		} else if to < l.level {
			countGone(&gone, l.level)
			err = s.lessen(ctx, l, to, false)
			l.level = to
		}
		if err != nil {
			return gone, fmt.Errorf("prune %s: %w", l.day.file(l.level), err)
		}
		if stays {
			left = append(left, l)
		}
	}
	if err := errors.Join(s.forgetShapes(ctx), s.forgetSearches(ctx, now, keep.Counts)); err != nil {
		return gone, err
	}
	if keep.Octets > 0 {
		err = s.pruneForSize(ctx, left, keep.Octets, &gone)
	}
	return gone, err
}

// mostKnownShapes is of how many refusals it is known when they were seen first.
const mostKnownShapes = 200_000

// forgetShapes takes away those that were not seen for the longest time, where there are too many.
func (s *Store) forgetShapes(ctx context.Context) error {
	_, err := s.main.f.ExecContext(ctx, "DELETE FROM main_shape WHERE hash IN (SELECT hash FROM main_shape ORDER BY last DESC LIMIT -1 OFFSET ?)", mostKnownShapes)
	if err == nil {
		clear(s.main.seen)
	}
	return err
}

// leftOf is how much is to be left of a day, or that nothing is.
func leftOf(keep *history.Keep, now time.Time, d day) (l level, stays bool) {
	age := now.Sub((d + 1).begin())
	past := func(keeps time.Duration) bool { return keeps > 0 && age > keeps }
	switch {
	case past(keep.Counts):
		return counts, false
	case past(keep.Trouble):
		return counts, true
	case past(keep.Detail):
		return trouble, true
	}
	return detail, true
}

// pruneForSize takes from the oldest days, first what was delivered, then all that is known of single mails, until the files are small enough. The newest
// day stays as it is.
func (s *Store) pruneForSize(ctx context.Context, all []listed, most int64, gone *history.Pruned) error {
	for _, to := range [...]level{trouble, counts} {
		for i := range max(0, len(all)-1) {
			has, err := octets(s.dir)
			if err != nil || has <= most {
				return err
			}
			l := &all[i]
			if l.level <= to {
				continue
			}
			if err := s.lessen(ctx, *l, to, true); err != nil {
				return fmt.Errorf("prune %s: %w", l.day.file(l.level), err)
			}
			countGone(gone, l.level)
			l.level, gone.ForSize = to, true
		}
	}
	return nil
}

func countGone(gone *history.Pruned, of level) {
	if of == detail {
		gone.Detail++
	} else {
		gone.Trouble++
	}
}

// lessen makes a day's file anew with less in it, and puts it in the place of the one that it has.
func (s *Store) lessen(ctx context.Context, l listed, to level, forSize bool) error {
	if err := s.drop(l.day); err != nil {
		return err
	}
	path := filepath.Join(s.dir, l.day.file(to))
	if err := discard(path); err != nil { // begun before, and not done
		return err
	}
	b, err := openBook(s.dir, l.day, to)
	if err != nil {
		return err
	}
	if err := errors.Join(b.copyOf(ctx, filepath.Join(s.dir, l.day.file(l.level)), forSize), b.close()); err != nil {
		return errors.Join(err, discard(path))
	}
	return discard(filepath.Join(s.dir, l.day.file(l.level)))
}

// remove takes away a day.
func (s *Store) remove(ctx context.Context, l listed) error {
	if err := s.drop(l.day); err != nil {
		return err
	}
	if _, err := s.main.f.ExecContext(ctx, "DELETE FROM main_day WHERE day = ?", l.day); err != nil {
		return err
	}
	if _, err := s.main.f.ExecContext(ctx, "DELETE FROM main_shape WHERE last <= ?", l.day); err != nil {
		return err
	}
	s.main.forget()
	return discard(filepath.Join(s.dir, l.day.file(l.level)))
}

const goneSuffix = ".gone"

// discard removes a file with what SQLite has beside it. It first gives the file another name: a crash leaves neither half a database nor a WAL that
// a later file of that name would take for its own.
func discard(path string) error {
	err := os.Rename(path, path+goneSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, suffix := range [...]string{"-wal", "-shm", goneSuffix} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sweep removes what a crash has left of files that were being discarded.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	has := map[string]bool{}
	for _, e := range entries {
		has[e.Name()] = true
	}
	for name := range has {
		path := name
		for _, suffix := range [...]string{"-wal", "-shm", goneSuffix} {
			path = strings.TrimSuffix(path, suffix)
		}
		if _, _, err := fileOf(path); err != nil || path == name || has[path] {
			continue
		}
		if err := discard(filepath.Join(dir, path)); err != nil {
			return err
		}
	}
	return nil
}
