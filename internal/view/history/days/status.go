package days

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kanmon/internal/view/history"
)

// Status says what there is; see [history.Store].
func (s *Store) Status(ctx context.Context) (got history.Status, err error) {
	err = whole(func() (err error) {
		got, err = s.onceStatus(ctx)
		return err
	})
	return got, err
}

func (s *Store) onceStatus(ctx context.Context) (history.Status, error) {
	ctx, done, err := s.reading.ask(ctx)
	if err != nil {
		return history.Status{}, err
	}
	defer done()
	st := history.Status{Marks: map[string]history.Mark{}}
	marks, err := s.reading.marks(ctx)
	if err != nil {
		return st, err
	}
	for source, m := range marks {
		st.Marks[source] = m.Mark
	}
	if st.Octets, err = octets(s.dir); err != nil {
		return st, err
	}
	in, err := s.reading.list()
	if err != nil {
		return st, err
	}
	for _, l := range in {
		for of, least := range map[*[2]time.Time]level{&st.Detail: detail, &st.Trouble: trouble, &st.Counts: counts} {
			if l.level < least {
				continue
			}
			if of[0].IsZero() {
				of[0] = l.day.begin()
			}
			of[1] = l.day.begin()
		}
		one, err := s.statusOf(ctx, l)
		if err != nil {
			return st, err
		}
		one.addTo(&st)
	}
	st.Damaged, err = s.damagedFiles()
	return st, err
}

// A dayStatus is what a day says of itself.
type dayStatus struct {
	last                time.Time
	attempts, gaps, bad int64
	shortened           bool
}

func (d *dayStatus) addTo(st *history.Status) {
	if !d.last.IsZero() {
		st.Last = d.last
	}
	st.Attempts += d.attempts
	st.Gaps += d.gaps
	st.BadLines += d.bad
	st.Shortened = st.Shortened || d.shortened
}

// A said is what a day has said, as long as nothing was written to its files.
type said struct {
	files [2]written // the day's own, and what SQLite has beside it
	dayStatus
}

type written struct {
	octets int64
	at     time.Time
}

// statusOf asks a day about itself: one to which nothing has been written since it was asked last has said it.
func (s *Store) statusOf(ctx context.Context, l listed) (dayStatus, error) {
	path := filepath.Join(s.dir, l.day.file(l.level))
	var now said
	for i, suffix := range [...]string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			now.files[i] = written{info.Size(), info.ModTime()}
		}
	}
	s.saying.Lock()
	known, asked := s.said[l.day]
	s.saying.Unlock()
	if asked && known.files == now.files {
		return known.dayStatus, nil
	}
	if err := s.reading.with(l.day, func(v *volume) error { return v.status(ctx, &now.dayStatus) }); err != nil {
		return now.dayStatus, err
	}
	s.saying.Lock()
	defer s.saying.Unlock()
	if s.said == nil || len(s.said) > mostSaid {
		s.said = map[day]said{}
	}
	s.said[l.day] = now
	return now.dayStatus, nil
}

// mostSaid is of how many days it is remembered what they say of themselves.
const mostSaid = 1000

func (v *volume) status(ctx context.Context, st *dayStatus) error {
	var newest int64
	if err := v.f.QueryRowContext(ctx, "SELECT coalesce((SELECT max(id) FROM day_line), -1)").Scan(&newest); err != nil {
		return err
	}
	if newest >= 0 {
		st.last = v.day.begin().Add(time.Duration(newest/perMilli) * time.Millisecond)
	}
	return each(ctx, v.f, "SELECT key, value FROM day_state", func(scan func(...any) error) error {
		var key string
		var n int64
		if err := scan(&key, &n); err != nil {
			return err
		}
		switch key {
		case "attempts":
			st.attempts += n
		case "gaps":
			st.gaps += n
		case "bad":
			st.bad += n
		case "shortened":
			st.shortened = true
		}
		return nil
	})
}

// octets is how much the files of a folder have, with what SQLite keeps beside them.
func octets(dir string) (sum int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err == nil && info.Mode().IsRegular() && !strings.HasSuffix(e.Name(), "-shm") { // which comes and goes with who reads
			sum += info.Size()
		}
	}
	return sum, nil
}
