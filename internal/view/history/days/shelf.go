package days

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/store"
	"kanmon/internal/view/history"
)

// Reading: each question has 5 seconds, and there are four at once. Nobody's page makes the others wait for long.
const (
	questionTime = 5 * time.Second
	atOnce       = 4
	mostVolumes  = 48 // files held open for reading
)

// A shelf is a folder as who reads sees it: days come, lose detail and go while it is looked at.
type shelf struct {
	dir  string
	room chan struct{}

	mu      sync.Mutex
	open    map[string]*volume     // by name of the file
	damaged map[string]fs.FileInfo // files that are left out, by name; of the days that there are
	turn    int64
}

// A volume is a day's file that is read.
type volume struct {
	day   day
	level level
	f     *store.File
	is    fs.FileInfo // of its file
	names sync.Map    // of tenants, providers and sending IPs, by their numbers, which stay
	used  int64       // when last, by the shelf's turn
	users int
	gone  bool
	torn  atomic.Bool // a line could not be read
}

func newShelf(dir string) *shelf {
	return &shelf{dir: dir, room: make(chan struct{}, atOnce), open: map[string]*volume{}, damaged: map[string]fs.FileInfo{}}
}

// ask waits for room, and gives what a question may take.
func (s *shelf) ask(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	select {
	case s.room <- struct{}{}:
		return ctx, func() { <-s.room; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, ctx.Err()
	}
}

// A listed is a file of a day; of a day with two, that which has more.
type listed struct {
	day   day
	level level
}

// list gives the days that there are, in order.
func (s *shelf) list() ([]listed, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	most := map[day]level{}
	for _, e := range entries {
		d, l, err := fileOf(e.Name())
		if err != nil {
			continue // of main.db, of SQLite's own beside a file
		}
		if was, ok := most[d]; !ok || l > was {
			most[d] = l
		}
	}
	s.forgetGone(most)
	all := make([]listed, 0, len(most))
	for d, l := range most {
		all = append(all, listed{d, l})
	}
	slices.SortFunc(all, func(a, b listed) int { return int(a.day) - int(b.day) })
	return all, nil
}

// has says what is kept of a day.
func (s *shelf) has(d day) (level, bool) {
	for l := detail + 1; l > 0; l-- {
		if _, err := os.Stat(filepath.Join(s.dir, d.file(l-1))); err == nil {
			return l - 1, true
		}
	}
	return 0, false
}

// between gives the days of a time, the newest first.
func (s *shelf) between(from, to time.Time) ([]listed, error) {
	all, err := s.list()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(l listed) bool {
		return !to.IsZero() && !l.day.begin().Before(to) || !from.IsZero() && !(l.day+1).begin().After(from)
	})
	slices.Reverse(all)
	return all, nil
}

// oldestFirst calls a function with the file of each day of a time.
func (s *shelf) oldestFirst(from, to time.Time, do func(*volume) error) error {
	all, err := s.between(from, to)
	if err != nil {
		return err
	}
	for _, l := range slices.Backward(all) {
		if err := s.with(l.day, do); err != nil {
			return err
		}
	}
	return nil
}

// with calls a function with a day's file; with none if there is none.
func (s *shelf) with(d day, do func(*volume) error) error {
	l, ok := s.has(d)
	if !ok {
		return nil
	}
	v, err := s.take(d, l)
	if errors.Is(err, fs.ErrNotExist) { // it lost detail just now
		if l, ok = s.has(d); !ok {
			return nil
		}
		v, err = s.take(d, l)
	}
	if errors.Is(err, store.ErrUnmade) || errors.Is(err, errLeftOut) { // it begins just now; or it is known to be damaged
		return nil
	}
	if err != nil {
		return s.goneOr(d, l, nil, s.leftOut(d, l, err))
	}
	defer s.giveBack(v)
	if err := do(v); err != nil {
		return s.goneOr(d, l, v.is, s.leftOut(d, l, fmt.Errorf("%s: %w", d.file(l), err)))
	}
	return nil
}

// errGone says that a file was taken away while it was read: whoever has a connection to it reads on, and nobody gets a new one.
var errGone = errors.New("the file of the day was taken away meanwhile")

// goneOr adds errGone to an error in reading a file that is not there any more, or is another one.
func (s *shelf) goneOr(d day, l level, was fs.FileInfo, err error) error {
	is, gone := os.Stat(filepath.Join(s.dir, d.file(l)))
	if gone != nil || was != nil && !os.SameFile(was, is) {
		return errors.Join(errGone, err)
	}
	return err
}

// mostAgain is how often a question is asked again: days go one by one.
const mostAgain = 3

// mostLess is how many days may be left out of one answer anew, since they are damaged.
const mostLess = 500

// whole asks a question anew where a day went in the middle of it: each answer is of whole days.
func whole(ask func() error) (err error) {
	for again, less := 0, 0; again <= mostAgain && less <= mostLess; {
		switch err = ask(); {
		case errors.Is(err, errLeftOut): // there is one file less to ask
			less++
		case errors.Is(err, errGone):
			again++
		default:
			return err
		}
	}
	return err
}

func (s *shelf) take(d day, l level) (*volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := d.file(l)
	path := filepath.Join(s.dir, name)
	is, err := os.Stat(path)
	if was := s.damaged[name]; was != nil {
		if err == nil && os.SameFile(was, is) && was.ModTime().Equal(is.ModTime()) {
			return nil, errLeftOut
		}
		delete(s.damaged, name)
	}
	v := s.open[name]
	if v != nil && (err != nil || !os.SameFile(v.is, is)) { // somebody has put another in its place, or none
		s.forget(name)
		v = nil
	}
	if v == nil {
		f, err := store.Read(path, atOnce, daySchema)
		if err != nil {
			return nil, err
		}
		v = &volume{day: d, level: l, f: f, is: is}
		s.open[name] = v
		s.makeRoom()
	}
	s.turn++
	v.used, v.users = s.turn, v.users+1
	return v, nil
}

// makeRoom closes what has not been read for longest, and what is not there any more.
func (s *shelf) makeRoom() {
	for len(s.open) > mostVolumes {
		oldest := ""
		for name, v := range s.open {
			if v.users == 0 && (oldest == "" || v.used < s.open[oldest].used) && v.used != 0 {
				oldest = name
			}
		}
		if oldest == "" {
			return
		}
		s.forget(oldest)
	}
}

// forgetGone closes the files of days that are not there any more.
func (s *shelf) forgetGone(has map[day]level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.open {
		if l, ok := has[v.day]; !ok || l < v.level {
			s.forget(name)
		}
	}
	maps.DeleteFunc(s.damaged, func(name string, _ fs.FileInfo) bool {
		d, l, _ := fileOf(name)
		now, ok := has[d]
		return !ok || now != l
	})
}

func (s *shelf) forget(name string) {
	v := s.open[name]
	if v == nil {
		return
	}
	delete(s.open, name)
	if v.gone = true; v.users == 0 {
		_ = v.f.Close() // it was read
	}
}

func (s *shelf) giveBack(v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.users--; v.gone && v.users == 0 {
		_ = v.f.Close() // it was read
	}
}

func (s *shelf) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.open {
		s.forget(name)
	}
	return nil
}

// mainly calls a function with the main file.
func (s *shelf) mainly(do func(*store.File) error) error {
	f, err := store.Read(filepath.Join(s.dir, mainFile), 1, mainSchema)
	if errors.Is(err, store.ErrUnmade) { // it begins just now
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

func (s *shelf) marks(ctx context.Context) (marks map[string]marked, err error) {
	marks = map[string]marked{}
	err = s.mainly(func(f *store.File) error { return readMarks(ctx, f, "main_mark", marks) })
	return marks, err
}

// number gives what a name is in a day; ok is false where no line has it.
func (v *volume) number(ctx context.Context, text string) (n int64, ok bool, err error) {
	err = each(ctx, v.f, "SELECT id FROM day_name WHERE text = ?", func(scan func(...any) error) error {
		ok = true
		return scan(&n)
	}, text)
	return n, ok, err
}

// name gives the name of a tenant, a provider or a sending IP.
func (v *volume) name(ctx context.Context, n int64) (text string, err error) {
	if known, ok := v.names.Load(n); ok {
		text, _ = known.(string)
		return text, nil
	}
	if err = v.f.QueryRowContext(ctx, "SELECT text FROM day_name WHERE id = ?", n).Scan(&text); err == nil {
		v.names.Store(n, text)
	}
	return text, err
}

// rangeOf gives the ids of a time in a day: first ≤ id < last.
func rangeOf(d day, of *history.Filter) (first, last id) {
	first, last = 0, idAt(aDay.Milliseconds()+1)
	if begin := d.begin(); of.From.After(begin) {
		first = idAt(of.From.Sub(begin).Milliseconds())
	}
	if end := of.To; !end.IsZero() && end.Before((d + 1).begin()) {
		last = idAt(end.Add(time.Millisecond - 1).Sub(d.begin()).Milliseconds())
	}
	return first, last
}

// condition gathers what rows must be.
type condition struct {
	where []string
	args  []any
	none  bool // nothing can be
}

func (c *condition) and(where string, args ...any) {
	c.where, c.args = append(c.where, where), append(c.args, args...)
}

// named wants a column to be a name of the day.
func (c *condition) named(ctx context.Context, v *volume, column string, texts ...string) error {
	var in []any
	for _, text := range texts {
		n, ok, err := v.number(ctx, text)
		if err != nil {
			return err
		}
		if ok {
			in = append(in, n)
		}
	}
	if len(in) == 0 {
		c.none = true
		return nil
	}
	c.and(column+" IN (?"+strings.Repeat(", ?", len(in)-1)+")", in...)
	return nil
}

func (c *condition) String() string {
	if len(c.where) == 0 {
		return "1"
	}
	return strings.Join(c.where, " AND ")
}
