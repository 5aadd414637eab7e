package journal

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Files are what journals write to. Those of one process share them: a journal that comes with a new configuration writes to a
// file that one before it still has open through the same sink. The zero Files is ready.
type Files struct {
	mu    sync.Mutex
	sinks []*sink

	records atomic.Uint64 // that have been numbered
}

// take gives the sink of an outlet, with one more user: the one there is, which goes on with what stands at the path now, else a new one.
func (f *Files) take(out outlet, limit int, log *teller) (*sink, error) {
	opened, err := openWithin(out)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	i := slices.IndexFunc(f.sinks, func(s *sink) bool { return s.is(out) })
	if i < 0 {
		defer f.mu.Unlock()
		s := newSink(out, opened, limit, log)
		s.users = 1
		f.sinks = append(f.sinks, s)
		go s.run()
		return s, nil
	}
	s := f.sinks[i]
	s.users++
	f.mu.Unlock()
	if err := within(openPatience, func() error { return s.exchange(opened) }); errors.Is(err, errStuck) {
		return s, err
	}
	return s, nil // that the old file could not be closed is not this one's fault
}

// leave takes a user off a sink, and says whether it was the last one.
func (f *Files) leave(s *sink) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.users--; s.users > 0 {
		return false
	}
	f.sinks = slices.DeleteFunc(f.sinks, func(other *sink) bool { return other == s })
	return true
}

// openWithin opens a file, unless that takes too long.
func openWithin(out outlet) (file, error) {
	type result struct {
		file file
		err  error
	}
	opened, late := make(chan result), make(chan struct{})
	defer close(late)
	go func() {
		f, err := out.open()
		select {
		case opened <- result{f, err}:
		case <-late:
			if err == nil {
				_ = f.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		return r.file, r.err
	case <-time.After(openPatience):
		return nil, errStuck
	}
}
