package journal

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Files are what journals write to. Those of one process share them: a journal that comes with a new configuration writes to a
// file that one before it still has open through the same sink. What all of them have lost is counted here. The zero Files is ready.
type Files struct {
	mu    sync.Mutex
	sinks []*sink           // also those that nobody uses any more and that still write
	owed  map[string]losses // by the name of a sheet: what is missing in sinks of it that have ended, and none that goes on could be told

	records atomic.Uint64 // that have been numbered
	lines   atomic.Uint64 // of JSON, likewise

	traces traces

	counting sync.Mutex
	dropped  losses
}

// Dropped is the number of records that at least one sink of a journal has lost, of all journals that there were. It never goes back.
func (f *Files) Dropped() uint64 {
	f.counting.Lock()
	defer f.counting.Unlock()
	return f.dropped.sum()
}

// Taken is the number of records that were taken to be written, of all journals that there were.
func (f *Files) Taken() uint64 { return f.records.Load() }

// DroppedOf is [Files.Dropped] by tenant, or by source where no tenant is known. Those beyond 64 are "others".
func (f *Files) DroppedOf() map[string]uint64 {
	f.counting.Lock()
	dropped := maps.Clone(f.dropped)
	f.counting.Unlock()
	of := make(map[string]uint64)
	for o, n := range dropped {
		of[o.String()] += n
	}
	return of
}

func (f *Files) lost(o owner) {
	f.counting.Lock()
	defer f.counting.Unlock()
	f.dropped.add(o, 1)
}

// take returns the sink of an unopened one, with one more user: the one there is, which goes on with what stands at the
// path now, else a new one. One that nobody uses any more has to end before: a file has one writer.
func (f *Files) take(out unopened, limit int, log *teller) (*sink, error) {
	late := time.After(openPatience)
	opened, err := openBefore(late, out)
	if err != nil {
		return nil, err
	}
	for {
		s, fresh, ended := f.enter(out, opened, limit, log)
		switch {
		case fresh:
			return s, nil
		case s != nil:
			if err := within(openPatience, func() error { return s.exchange(opened) }); errors.Is(err, errStuck) {
				return s, err
			}
			return s, nil // that the old file could not be closed is not this one's fault
		}
		select {
		case <-ended:
		case <-late:
			return nil, errors.Join(errStuck, within(closePatience, opened.Close))
		}
	}
}

// enter counts one more user of the sink of an unopened one, or begins one. Where there is one that nobody uses any
// more, it gives what is closed when that has ended.
func (f *Files) enter(out unopened, opened file, limit int, log *teller) (s *sink, fresh bool, ended <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropEnded()
	if i := slices.IndexFunc(f.sinks, func(s *sink) bool { return s.is(out) }); i >= 0 {
		s = f.sinks[i]
		if s.users == 0 {
			return nil, false, s.done
		}
		s.users++
		return s, false, nil
	}
	s = newSink(out, opened, limit, log, &f.lines)
	s.users = 1
	s.lost = f.owed[out.name]
	delete(f.owed, out.name)
	f.sinks = append(f.sinks, s)
	go s.run()
	return s, true, nil
}

// leave takes a user off a sink, and says whether it was the last one.
func (f *Files) leave(s *sink) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.users--
	return s.users == 0
}

// owes has the stream of a sheet tell what is missing in a sink of it that has ended: the newest one, or the next that there will be.
func (f *Files) owes(name string, missing losses) {
	if len(missing) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range slices.Backward(f.sinks) {
		if s.name == name && s.users > 0 {
			s.skip(missing)
			return
		}
	}
	if f.owed == nil {
		f.owed = make(map[string]losses)
	}
	owed := f.owed[name]
	for o, n := range missing {
		owed.add(o, n)
	}
	f.owed[name] = owed
}

// tidy forgets sinks that nobody uses any more and that have ended.
func (f *Files) tidy() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropEnded()
}

func (f *Files) dropEnded() {
	f.sinks = slices.DeleteFunc(f.sinks, func(s *sink) bool { return s.users == 0 && s.ended() })
}

// openBefore opens a file, unless that takes until it is late.
func openBefore(late <-chan time.Time, out unopened) (file, error) {
	type result struct {
		file file
		err  error
	}
	opened, given := make(chan result), make(chan struct{})
	defer close(given)
	go func() {
		f, err := out.open()
		select {
		case opened <- result{f, err}:
		case <-given:
			if err == nil {
				_ = f.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		return r.file, r.err
	case <-late:
		return nil, errStuck
	}
}
