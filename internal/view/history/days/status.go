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
func (s *Store) Status(ctx context.Context) (history.Status, error) {
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
		if err := s.reading.with(l.day, func(v *volume) error { return v.status(ctx, &st) }); err != nil {
			return st, err
		}
	}
	return st, nil
}

func (v *volume) status(ctx context.Context, st *history.Status) error {
	var newest int64
	if err := v.f.QueryRowContext(ctx, "SELECT coalesce((SELECT max(id) FROM day_line), -1)").Scan(&newest); err != nil {
		return err
	}
	if newest >= 0 {
		st.Last = v.day.begin().Add(time.Duration(newest/perMilli) * time.Millisecond)
	}
	return each(ctx, v.f, "SELECT key, value FROM day_state", func(scan func(...any) error) error {
		var key string
		var n int64
		if err := scan(&key, &n); err != nil {
			return err
		}
		switch key {
		case "attempts":
			st.Attempts += n
		case "gaps":
			st.Gaps += n
		case "bad":
			st.BadLines += n
		case "shortened":
			st.Shortened = true
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
