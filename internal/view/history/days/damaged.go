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

// A disk, or a person, may damage the file of a day. Who reads leaves it out from then on, and asks the question anew: the other days have nothing to do with
// it. Who writes gives it another name, and begins the day anew where lines come for it: what the records still have can be imported. Of a file that
// SQLite can read, but not all blocks of lines, those lines alone are left out. [Store.Status] tells of each.

// errLeftOut says that a file of a day is damaged, and that no question is asked of it any more.
var errLeftOut = errors.New("the file of the day is damaged, and left out")

// leftOut notes that a file is damaged, if an error says so.
func (s *shelf) leftOut(d day, l level, err error) error {
	if !store.IsDamage(err) {
		return err
	}
	is, gone := os.Stat(filepath.Join(s.dir, d.file(l)))
	if gone != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(d.file(l))
	s.damaged[d.file(l)] = is
	return fmt.Errorf("%w: %w", errLeftOut, err)
}

// known gives the names of files that were found damaged, or in part so.
func (s *shelf) known() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.damaged {
		all = append(all, name)
	}
	for name, v := range s.open {
		if v.torn.Load() {
			all = append(all, name)
		}
	}
	return all
}

// asides gives the names of the files of days that were set aside, the oldest first.
func asides(dir string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		was, is := strings.CutSuffix(e.Name(), store.Damaged)
		if _, _, not := fileOf(was); is && not == nil {
			all = append(all, e.Name())
		}
	}
	return all, err
}

// damagedFiles gives the names of all files of days that are damaged, and left out in full or in part.
func (s *Store) damagedFiles() ([]string, error) {
	all, err := asides(s.dir)
	all = append(all, s.reading.known()...)
	slices.Sort(all)
	return all, err
}

// setAside gives the file of a day another name if SQLite finds it damaged, and says so; else it gives the error back: the file of what spans days may have
// been the one that was met.
func (s *Store) setAside(ctx context.Context, l listed, err error) error {
	if !store.IsDamage(err) || ctx.Err() != nil {
		return err
	}
	path := filepath.Join(s.dir, l.day.file(l.level))
	if _, is := store.Check(ctx, path); !store.IsDamage(is) {
		return err
	}
	_ = s.drop(l.day) // it cannot be left in order
	s.reading.mu.Lock()
	s.reading.forget(l.day.file(l.level))
	s.reading.mu.Unlock()
	where, failed := store.SetAside(path)
	if failed != nil {
		return errors.Join(err, fmt.Errorf("move %s away: %w", path, failed))
	}
	if _, failed := s.main.f.ExecContext(ctx, "DELETE FROM main_day WHERE day = ?", l.day); failed != nil {
		return errors.Join(err, failed)
	}
	if !slices.Contains(s.aside, where) {
		s.aside = append(s.aside, where)
	}
	return fmt.Errorf("%w: %s was set aside as %s; import the records of that day that there are (kanmon history import), and it is made anew", err, l.day.file(l.level), where)
}

// forgetDamaged removes files that were set aside once what they had would be kept no more, and sooner where there is too much of all.
func (s *Store) forgetDamaged(now time.Time, keep *history.Keep) error {
	all, err := asides(s.dir)
	if err != nil {
		return err
	}
	for _, name := range all {
		d, l, _ := fileOf(strings.TrimSuffix(name, store.Damaged))
		has, err := octets(s.dir)
		if err != nil {
			return err
		}
		if left, stays := leftOf(keep, now.Sub((d + 1).begin())); stays && left >= l && (keep.Octets <= 0 || has <= keep.Octets) {
			continue
		}
		if err := discard(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// wasSetAside reports whether a day's file is not there any more.
func (s *Store) wasSetAside(l listed) bool {
	_, err := os.Stat(filepath.Join(s.dir, l.day.file(l.level)))
	return errors.Is(err, fs.ErrNotExist)
}
