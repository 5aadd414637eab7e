package days

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// Prune takes away what is older than is to be kept, or more; see [history.Store]. A time of 0 is for ever. Who writes waits for moments of it alone: a day
// is made anew beside them.
func (s *Store) Prune(ctx context.Context, now time.Time, keep history.Keep) (gone history.Pruned, err error) {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	all, err := s.toPrune(ctx)
	if err != nil {
		return gone, err
	}
	left := all[:0]
	for _, l := range all {
		to, stays := leftOf(&keep, s.age(now, l))
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
	if err := errors.Join(s.forgetOld(ctx, now, keep.Counts), s.forgetDamaged(now, &keep)); err != nil {
		return gone, err
	}
	if keep.Octets > 0 {
		err = s.pruneForSize(ctx, oldestFirst(left, dayOf(now)), keep.Octets, &gone)
	}
	return gone, err
}

// toPrune gives the days that there are, with the main file having what they owe it.
func (s *Store) toPrune(ctx context.Context) ([]listed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil, ErrReadOnly
	}
	if s.stale {
		if err := s.mend(ctx); err != nil {
			return nil, err
		}
	}
	return s.reading.list()
}

func (s *Store) forgetOld(ctx context.Context, now time.Time, keep time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.forgetShapes(ctx), s.forgetSearches(ctx, now, keep))
}

// age is how long ago a day ended. One that a clock gone wrong has named is as old as its file: it would stay for ever.
func (s *Store) age(now time.Time, l listed) time.Duration {
	age := now.Sub((l.day + 1).begin())
	if l.day <= dayOf(now)+1 {
		return age
	}
	if is, err := os.Stat(filepath.Join(s.dir, l.day.file(l.level))); err == nil {
		age = now.Sub(is.ModTime())
	}
	return age
}

// oldestFirst gives days that may be shortened, in that order: those first that are still to come, and today not.
func oldestFirst(all []listed, today day) []listed {
	due := slices.DeleteFunc(slices.Clone(all), func(l listed) bool { return l.day == today || l.day == today+1 })
	ahead, _ := slices.BinarySearchFunc(due, today, func(l listed, d day) int { return int(l.day) - int(d) })
	due = slices.Concat(due[ahead:], due[:ahead])
	if len(due) == len(all) { // the newest there is stays, whenever it was
		due = due[:max(0, len(due)-1)]
	}
	return due
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
func leftOf(keep *history.Keep, age time.Duration) (l level, stays bool) {
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

// pruneForSize takes from days, the first of them first, what was delivered, then all that is known of single mails, until the files are small enough.
func (s *Store) pruneForSize(ctx context.Context, all []listed, most int64, gone *history.Pruned) error {
	for _, to := range [...]level{trouble, counts} {
		for i := range all {
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

// mostAnew is how often a day is made anew beside those who write to it; then they wait for it.
const mostAnew = 3

// lessen makes a day's file anew with less in it, and puts it in the place of the one that it has. While it is made whoever writes goes on: the day is read,
// and written to, as it was. If something was, it is made once more.
func (s *Store) lessen(ctx context.Context, l listed, to level, forSize bool) (err error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = s.setAside(ctx, l, err)
	}()
	for range mostAnew {
		made, err := s.lessened(ctx, l, to, forSize)
		if err != nil {
			return err
		}
		if done, err := s.replace(ctx, l, to, made); done || err != nil {
			return err
		}
	}
	return s.lessenAlone(ctx, l, to, forSize)
}

// lessenAlone does it while nobody writes.
func (s *Store) lessenAlone(ctx context.Context, l listed, to level, forSize bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.lessened(ctx, l, to, forSize); err != nil {
		return err
	}
	return s.leave(l)
}

// lessened makes the file, and says how far the day had come that it was made of.
func (s *Store) lessened(ctx context.Context, l listed, to level, forSize bool) (generation int64, err error) {
	path := filepath.Join(s.dir, l.day.file(to))
	if err := discard(path); err != nil { // begun before, and not done
		return 0, err
	}
	b, err := openBook(s.dir, l.day, to)
	if err != nil {
		return 0, err
	}
	err = b.copyOf(ctx, filepath.Join(s.dir, l.day.file(l.level)), forSize)
	if err == nil {
		generation, err = generationOf(ctx, b.f)
	}
	if err := errors.Join(err, b.close()); err != nil {
		return 0, errors.Join(err, discard(path))
	}
	return generation, nil
}

// replace puts the file that was made of a day in its place, unless the day has come further meanwhile.
func (s *Store) replace(ctx context.Context, l listed, to level, made int64) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := made
	err = s.reading.with(l.day, func(v *volume) error {
		has, err = generationOf(ctx, v.f)
		return err
	})
	if err != nil || has != made {
		return false, errors.Join(err, discard(filepath.Join(s.dir, l.day.file(to))))
	}
	return true, s.leave(l)
}

// leave takes away the file of a day that has another one now.
func (s *Store) leave(l listed) error {
	if err := s.drop(l.day); err != nil {
		return err
	}
	return discard(filepath.Join(s.dir, l.day.file(l.level)))
}

func generationOf(ctx context.Context, f querier) (n int64, err error) {
	err = f.QueryRowContext(ctx, "SELECT coalesce((SELECT value FROM day_state WHERE key = 'generation'), 0)").Scan(&n)
	return n, err
}

// remove takes away a day.
func (s *Store) remove(ctx context.Context, l listed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
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
		if _, _, err := fileOf(strings.TrimSuffix(path, store.Damaged)); err != nil || path == name || has[path] {
			continue
		}
		if err := discard(filepath.Join(dir, path)); err != nil {
			return err
		}
	}
	return nil
}
