package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/view/history"
)

// A Lag is how far history is behind a file of records.
type Lag struct {
	Path    string
	Written time.Time     // when the newest line was; the zero Time: there is none
	Kept    time.Time     // when the newest line was that is kept; likewise
	Behind  time.Duration // between them
	Err     error         // why the file could not be read
}

// Late is from when on a lag is not normal.
const Late = 5 * time.Minute

// LagOf compares a file with how far history has read it.
func LagOf(path string, read history.Mark) Lag {
	l := Lag{Path: path, Kept: read.At}
	l.Written, l.Err = newest(path)
	if !l.Written.IsZero() && l.Written.After(l.Kept) {
		from := l.Kept
		if from.IsZero() {
			from = oldest(path)
		}
		l.Behind = l.Written.Sub(from)
	}
	return l
}

// newest gives when the last whole line of a file was written.
func newest(path string) (at time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return at, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return at, err
	}
	for part := int64(64 << 10); ; part *= 8 {
		from := max(0, info.Size()-part)
		last, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
		if err != nil {
			return at, err
		}
		for len(last) > 0 {
			end := bytes.LastIndexByte(last, '\n')
			if end < 0 {
				break
			}
			begin := bytes.LastIndexByte(last[:end], '\n') + 1
			if e, err := event.ParseEntry(last[begin:end]); err == nil && (begin > 0 || from == 0) {
				return e.At, nil
			}
			last = last[:begin]
		}
		if from == 0 || part > mostLine {
			return at, nil
		}
	}
}

// oldest gives when the first line was written of a file of which nothing is kept yet.
func oldest(path string) time.Time {
	one, err := inspect(path, true)
	if err != nil {
		return time.Time{}
	}
	return one.at
}

// Lag is how far a Follower is behind its file.
func (f *Follower) Lag() Lag {
	var read history.Mark
	if at := f.counts.newest.Load(); at != 0 {
		read.At = time.Unix(0, at).UTC()
	}
	return LagOf(f.Path, read)
}

// gone says what is wrong where the file of records is not there, and the newest that is kept is so old. A rotation moves the file away, and the next
// record makes another: kanmon writes one each minute, even where there is no mail.
func gone(path string, age time.Duration) error {
	if age <= Late {
		return nil
	}
	return fmt.Errorf("%s is gone, and nothing has been written there for %s: does kanmon run, and has somebody moved the file away? systemctl kill -s USR1 --kill-who=main kanmon makes it anew", path, age.Round(time.Second))
}

// Lags asks history how far it is with each file.
func Lags(ctx context.Context, s history.Store, paths []string) (list []Lag, err error) {
	for _, path := range paths {
		m, err := s.Mark(ctx, path)
		if err != nil {
			return nil, err
		}
		l := LagOf(path, m)
		if errors.Is(l.Err, fs.ErrNotExist) && !l.Kept.IsZero() {
			l.Err = gone(path, time.Since(l.Kept))
		}
		list = append(list, l)
	}
	return list, nil
}
