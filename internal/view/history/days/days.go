package days

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// A Store is a history in a folder.
type Store struct {
	dir     string
	reading *shelf
	aside   []string // where files went that could not be used, since it was opened

	pruning sync.Mutex // of who takes away; it is taken before mu

	mu    sync.Mutex // of who writes
	lock  *os.File   // nil: it only reads
	main  *ledger
	books map[day]*book // that are written to, few
	marks map[string]marked
	last  int64 // number of the last mark
	stale bool  // the main file has not all that the days owe it

	saying sync.Mutex
	said   map[day]said // what days say of themselves
}

var _ history.Store = (*Store)(nil)

type marked struct {
	history.Mark
	source string
	number int64
}

// ErrReadOnly is what a store that only reads gives to who would write.
var ErrReadOnly = errors.New("history is open for reading alone")

const (
	mainFile   = "main.db"
	searchFile = "searches.db"
)

// Open opens the history of a folder for writing and reading, and makes it if there is none. One process may.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	if err := sweep(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, mainFile)
	s := &Store{dir: dir, reading: newShelf(dir), books: map[day]*book{}, marks: map[string]marked{}, stale: true}
	err := s.openMain(path)
	if errors.Is(err, store.ErrDamaged) { // it has nothing that the days have not
		var failed error
		where, failed := store.SetAside(path)
		if failed != nil {
			return nil, errors.Join(err, fmt.Errorf("move %s away: %w", path, failed))
		}
		s.aside = append(s.aside, where)
		err = s.openMain(path)
	}
	if err != nil {
		return nil, err
	}
	if err := s.mend(context.Background()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) openMain(path string) (err error) {
	if s.lock, err = store.Lock(path); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if s.main, err = openLedger(path); err != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

// SetAside says where files were moved when it was opened, since they could not be used: that of what spans days, which was made anew of the days; those of days.
func (s *Store) SetAside() []string { return s.aside }

// Read opens the history of a folder for reading alone. Any number of processes may, also of users who may not write there.
func Read(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, mainFile)); err != nil {
		return nil, fmt.Errorf("no history there yet: %w", err)
	}
	return &Store{dir: dir, reading: newShelf(dir)}, nil
}

// Close closes all files.
func (s *Store) Close() error {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := []error{s.reading.close()}
	for d, b := range s.books {
		errs = append(errs, b.close())
		delete(s.books, d)
	}
	if s.main != nil {
		errs = append(errs, s.main.close())
		s.main = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Add keeps lines; see [history.Store].
func (s *Store) Add(ctx context.Context, lines []history.Line, source string, read history.Mark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return ErrReadOnly
	}
	if err := s.there(); err != nil {
		return err
	}
	if s.stale {
		if err := s.mend(ctx); err != nil {
			return err
		}
	}
	parts := map[day][]history.Line{}
	bad := int64(0)
	for _, l := range lines {
		if l.Entry == nil || l.Entry.At.Year() < 2000 || l.Entry.At.Year() > 2200 {
			bad++
			continue
		}
		d := dayOf(l.Entry.At)
		parts[d] = append(parts[d], l)
	}
	in := slices.Sorted(maps.Keys(parts))
	if len(in) == 0 {
		if bad == 0 && (source == "" || len(s.books) == 0) {
			return s.markOnly(ctx, source, read)
		}
		in = append(in, s.newestBook(cmp.Or(read.At, time.Now())))
	}
	for i, d := range in {
		var mark *marked
		if i == len(in)-1 && source != "" {
			mark = &marked{read, source, s.last + 1}
		}
		if err := s.addDay(ctx, d, parts[d], mark, bad); err != nil {
			if l, ok := s.reading.has(d); ok {
				err = s.setAside(ctx, listed{d, l}, err)
			}
			return err
		}
		bad = 0
	}
	return nil
}

// there makes sure that the folder is the one that was opened. What is written to files that somebody has removed nobody ever reads, and days that are
// made anew behind them say of all before that it has been read.
func (s *Store) there() error {
	own, err := s.lock.Stat()
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, mainFile)
	now, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !os.SameFile(own, now):
		return fmt.Errorf("%s was removed or replaced while history was kept: restart what keeps it (systemctl restart kanmon-history or kanmon-view); it reads all records that there are anew", path)
	default:
		return err
	}
}

// newestBook is where something is noted that has no day of its own.
func (s *Store) newestBook(at time.Time) day {
	if len(s.books) == 0 {
		return dayOf(at)
	}
	return slices.Max(slices.Collect(maps.Keys(s.books)))
}

func (s *Store) addDay(ctx context.Context, d day, lines []history.Line, mark *marked, bad int64) (err error) {
	b, err := s.book(d)
	if err != nil {
		return err
	}
	j, err := s.main.begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what is remembered of either is not so
			err = errors.Join(err, j.tx.Rollback(), s.drop(d))
			s.main.forget()
		}
	}()
	if b.generation == 0 { // a day begins
		if err := j.expire(d.begin()); err != nil {
			return err
		}
	}
	err = b.f.Within(ctx, func(tx *sql.Tx) error {
		w, err := b.fill(ctx, tx, j, lines)
		if err != nil {
			return err
		}
		if bad > 0 {
			if err := w.put("more", "bad", bad); err != nil {
				return err
			}
		}
		return w.end(ctx, mark)
	})
	if err != nil {
		return err
	}
	if mark != nil {
		s.last = mark.number
		s.marks[mark.source] = *mark
	}
	// From here on it is kept. What the main file does not get now it gets before the next lines.
	s.stale = errors.Join(j.done(b, mark), j.tx.Commit()) != nil
	return nil
}

// done notes in the main file how far it has what a day owes it.
func (j *joining) done(b *book, mark *marked) error {
	if err := j.put("day", b.day, b.generation); err != nil || mark == nil {
		return err
	}
	return j.put("mark", mark.source, mark.number, mark.File, mark.Offset, mark.At.UnixMilli())
}

// markOnly notes how far a source without lines has been read.
func (s *Store) markOnly(ctx context.Context, source string, read history.Mark) error {
	if source == "" {
		return nil
	}
	mark := marked{read, source, s.last + 1}
	j, err := s.main.begin(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(j.put("mark", mark.source, mark.number, mark.File, mark.Offset, mark.At.UnixMilli()), j.tx.Commit()); err != nil {
		return errors.Join(err, j.tx.Rollback())
	}
	s.last, s.marks[source] = mark.number, mark
	return nil
}

// mostBooks is how many days are held open for writing: at midnight two are.
const mostBooks = 2

func (s *Store) book(d day) (*book, error) {
	if b := s.books[d]; b != nil {
		return b, nil
	}
	for len(s.books) >= mostBooks {
		if err := s.drop(slices.Min(slices.Collect(maps.Keys(s.books)))); err != nil {
			return nil, err
		}
	}
	l := detail
	if has, ok := s.reading.has(d); ok {
		l = has
	}
	b, err := openBook(s.dir, d, l)
	if err != nil {
		return nil, err
	}
	s.books[d] = b
	return b, nil
}

func (s *Store) drop(d day) error {
	b := s.books[d]
	if b == nil {
		return nil
	}
	delete(s.books, d)
	return b.close()
}

// Mark says how far a source has been read.
func (s *Store) Mark(ctx context.Context, source string) (history.Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != nil {
		return s.marks[source].Mark, nil
	}
	all, err := s.reading.marks(ctx)
	return all[source].Mark, err
}

// mend brings the main file up to date with what the days owe it, and finds the last marks.
func (s *Store) mend(ctx context.Context) error {
	has := map[day]int64{}
	err := each(ctx, s.main.f, "SELECT day, generation FROM main_day", func(scan func(...any) error) error {
		var d day
		var n int64
		err := scan(&d, &n)
		has[d] = n
		return err
	})
	if err != nil {
		return err
	}
	marks := map[string]marked{}
	if err := readMarks(ctx, s.main.f, "main_mark", marks); err != nil {
		return err
	}
	listed, err := s.reading.list()
	if err != nil {
		return err
	}
	for _, v := range listed {
		err := s.mendDay(ctx, v.day, has[v.day], marks)
		if err != nil && ctx.Err() == nil && !store.IsDamage(err) && s.finish(v) == nil {
			err = s.mendDay(ctx, v.day, has[v.day], marks)
		}
		if err = s.setAside(ctx, v, err); err != nil && !s.wasSetAside(v) {
			return err
		}
	}
	s.marks = marks
	for _, m := range marks {
		s.last = max(s.last, m.number)
	}
	s.stale = false
	return nil
}

// finish has SQLite take back or end what a kill has cut off in the making of a day's file: who only reads may not.
func (s *Store) finish(l listed) error {
	b, err := openBook(s.dir, l.day, l.level)
	if err != nil {
		return err
	}
	return b.close()
}

func (s *Store) mendDay(ctx context.Context, d day, has int64, marks map[string]marked) error {
	return s.reading.with(d, func(v *volume) error {
		if err := readMarks(ctx, v.f, "day_mark", marks); err != nil {
			return err
		}
		var generation int64
		var data []byte
		err := v.f.QueryRowContext(ctx, "SELECT generation, data FROM day_owed").Scan(&generation, &data)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		case generation == has:
			return nil
		}
		j, err := s.main.begin(ctx)
		if err != nil {
			return err
		}
		if generation == has+1 {
			var o owed
			if err = json.Unmarshal(data, &o); err == nil {
				err = j.apply(&o)
			}
		} else {
			err = j.replay(v)
		}
		if err = errors.Join(err, j.put("day", d, generation)); err != nil {
			return errors.Join(err, j.tx.Rollback())
		}
		return j.tx.Commit()
	})
}

func readMarks(ctx context.Context, f querier, table string, into map[string]marked) error {
	return each(ctx, f, "SELECT source, number, file, offset, at FROM "+table, func(scan func(...any) error) error {
		var m marked
		var at int64
		if err := scan(&m.source, &m.number, &m.File, &m.Offset, &at); err != nil {
			return err
		}
		if m.At = time.UnixMilli(at).UTC(); m.number > into[m.source].number {
			into[m.source] = m
		}
		return nil
	})
}
