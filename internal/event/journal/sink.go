package journal

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kanmon/internal/event"
)

// A sheet says what a sink is called and what its lines look like.
type sheet struct {
	name string

	dialogue bool // it is of what was said, and not only of what came of it
	numbered bool // its lines are JSON objects that are told apart

	append func(*formatter, *event.Record) []byte // valid until the next call
	rest   func(*formatter) repeats               // what has not been written yet of the records so far; nil: all has
	gap    func(dst []byte, now time.Time, of owner, records uint64) []byte
}

// A file is where a sink writes to. Close ends a Write that waits, where the system can do that.
type file interface {
	io.WriteCloser
	// same reports whether the other file is the one that is open here.
	same(other file) bool
	// endsOpen reports whether what is in it already does not end its last line.
	endsOpen() bool
	// takeBack takes out what has just been written at its end.
	takeBack(tail []byte) error
}

const (
	retryAfter = time.Second
	// writeChunk is about how much one Write has, so that progress on a slow sink is known. So much is worth being written at once.
	writeChunk = 64 << 10
	// maxKeptBuffer keeps buffers swollen by a stall from staying in memory.
	maxKeptBuffer = 1 << 20
	// abortGrace is how long a writer whose file was closed under it may take to notice.
	abortGrace = 100 * time.Millisecond
	// openPatience is how long a file may take to be opened: a dead disk must not hold up a reload.
	openPatience = 5 * time.Second
	// closePatience is how long it may take to be closed.
	closePatience = time.Second
)

var (
	errLeftOver = errors.New("records left over")
	errStuck    = errors.New("the file does not answer")
)

// A sink is one output: a bounded buffer that the formatting goroutine fills without waiting, and a goroutine that
// writes it. A failed write is tried again, so a full disk loses only what exceeds the buffer.
type sink struct {
	unopened
	limit int // octets of waiting
	log   *teller
	wake  chan struct{} // holds a token when there may be text to write
	retry chan struct{} // holds a token when a failed write may be tried at once
	done  chan struct{} // closed when run has ended

	// Only run uses these.
	writing file      // what current goes to
	logged  time.Time // when a failure was last logged

	users int // journals; guarded by Files.mu

	mu        sync.Mutex
	file      file
	waiting   block          // what comes after current
	has       map[owner]int  // octets of each in waiting
	current   block          // what run writes; only run changes its data
	lost      losses         // since the last gap lines
	stamp     []byte         // what tells its lines apart, but for their number; nil: nothing does
	lines     *atomic.Uint64 // that have been numbered, of all sinks together
	begun     bool           // its lines may come: those of the journals before are written
	finishing bool
	aborted   bool
	err       error // last failure
}

func newSink(out unopened, f file, limit int, log *teller, lines *atomic.Uint64) *sink {
	return &sink{
		lines:    lines,
		unopened: out, file: f, limit: limit, log: log, has: make(map[owner]int),
		wake: make(chan struct{}, 1), retry: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// add buffers a formatted record and is false if it does not fit. It wakes run when there is enough to write, and for what was lost.
func (s *sink) add(of *owner, seq uint64, text []byte) bool {
	if len(text) == 0 {
		return true
	}
	s.mu.Lock()
	has, before := s.has[*of], len(s.waiting.data)
	ok := fits(has, len(text)+s.stampsOf(text), s.limit-before)
	if ok {
		s.waiting.data = s.place(s.waiting.data, text)
		s.waiting.marks = append(s.waiting.marks, mark{seq: seq, end: len(s.waiting.data), of: of})
		s.has[*of] = has + len(s.waiting.data) - before
	} else {
		s.lost.add(*of, 1)
	}
	enough := len(s.waiting.data) >= writeChunk
	s.mu.Unlock()
	if enough || !ok {
		s.poke()
	}
	return ok
}

// disown says that a record just added is counted as lost, because another sink lost it.
func (s *sink) disown(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.waiting.disown(seq) {
		s.current.disown(seq)
	}
}

// skip notes records that never came as far as here, or are missing in a sink before this one.
func (s *sink) skip(missed losses) {
	s.mu.Lock()
	for o, n := range missed {
		s.lost.add(o, n)
	}
	s.mu.Unlock()
	s.poke()
}

// poke makes run look at the buffer.
func (s *sink) poke() { signal(s.wake) }

// urge makes run look at the buffer, and try a failed write again at once.
func (s *sink) urge() {
	signal(s.wake)
	signal(s.retry)
}

// reopen opens the path anew and hands the file to run. The old file is closed; a record that was written in part is
// written again as a whole. A file that takes long is handed over when it comes.
func (s *sink) reopen() error {
	return within(openPatience, func() error {
		f, err := s.open()
		if err != nil {
			return err
		}
		return s.exchange(f)
	})
}

// exchange writes to another file from now on, unless it is the same.
func (s *sink) exchange(f file) error {
	s.mu.Lock()
	old := s.file
	s.mu.Unlock()
	if old.same(f) { // which asks the disk
		return f.Close()
	}
	s.mu.Lock()
	if s.aborted || s.file != old {
		s.mu.Unlock()
		return f.Close()
	}
	s.file = f
	s.mu.Unlock()
	s.urge()
	return old.Close()
}

// within waits for what may be stuck in the kernel, but not longer than patience.
func within(patience time.Duration, what func() error) error {
	done := make(chan error, 1)
	go func() { done <- what() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return errStuck
	}
}

// finish tells run to end when the buffer is written, or when writing fails.
func (s *sink) finish() {
	s.mu.Lock()
	s.finishing = true
	s.mu.Unlock()
	s.urge()
}

// wait waits for run to end, no longer than ctx, closes the file, and adds the numbers of the records that are not in
// it to left, with whose they are. It gives what is missing in the file without a line that says so.
func (s *sink) wait(ctx context.Context, left map[uint64]owner) (missing losses, err error) {
	var overtime error
	select {
	case <-s.done:
	case <-ctx.Done():
		overtime = ctx.Err()
	}
	s.mu.Lock()
	s.aborted = true
	f := s.file
	s.mu.Unlock()
	closing := within(closePatience, f.Close)
	if overtime != nil {
		select {
		case <-s.done:
		case <-time.After(abortGrace): // stuck in the kernel: nothing can end it
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	missing, s.lost = s.lost, nil
	for _, b := range []*block{&s.current, &s.waiting} {
		for _, m := range b.unwritten() {
			missing.add(*m.of, max(m.tells, 1))
			if m.seq != 0 {
				left[m.seq] = *m.of
			}
		}
	}
	if len(s.current.data) > s.current.written || len(s.waiting.data) > 0 {
		return missing, errors.Join(errLeftOver, overtime, s.err)
	}
	return missing, closing
}

// run writes what is buffered until the sink finishes.
func (s *sink) run() {
	defer close(s.done)
	for {
		if !s.next() {
			return
		}
		for !s.write() {
			if s.ending() {
				return
			}
			select {
			case <-time.After(retryAfter):
			case <-s.retry: // reopened or finishing
			}
		}
	}
}

// next waits for text and makes it the current block. It is false when there is none and the sink finishes.
func (s *sink) next() bool {
	for {
		s.mu.Lock()
		if len(s.waiting.data) > 0 || len(s.lost) > 0 && s.begun {
			s.swap()
			s.mu.Unlock()
			return true
		}
		over := s.finishing || s.aborted
		s.mu.Unlock()
		if over {
			return false
		}
		<-s.wake
	}
}

// swap takes what waits, with what was lost meanwhile told behind it, and leaves the written block's memory for what comes.
func (s *sink) swap() {
	spare := s.current
	s.current, s.waiting = s.waiting, block{}
	if cap(spare.data) <= maxKeptBuffer {
		s.waiting = block{data: spare.data[:0], marks: spare.marks[:0]}
	}
	clear(s.has)
	now := time.Now()
	for _, o := range s.lost.owners() {
		s.current.data = s.place(s.current.data, s.gap(nil, now, o, s.lost[o]))
		s.current.marks = append(s.current.marks, mark{end: len(s.current.data), of: &o, tells: s.lost[o]})
	}
	s.lost = nil
}

// write writes the rest of the current block. It is false if that failed.
func (s *sink) write() bool {
	for {
		s.mu.Lock()
		f := s.file
		fresh := f != s.writing
		if fresh {
			s.current.rewind()
		}
		chunk := s.current.chunk()
		s.mu.Unlock()
		if len(chunk) == 0 {
			return true
		}
		n, err := 0, error(nil)
		if fresh && f.endsOpen() { // a kanmon that was killed left half a line
			_, err = f.Write(newline)
		}
		if err == nil {
			s.writing = f
			n, err = f.Write(chunk)
		}
		if err != nil {
			n -= s.takeBack(f, n)
		}
		again := s.progress(f, n, err)
		if err != nil && !again {
			return false
		}
	}
}

// takeBack takes a record that has been written in part out again, if that is possible, and gives how many octets it took. So the file ends
// with a record, whatever becomes of it.
func (s *sink) takeBack(f file, n int) int {
	s.mu.Lock()
	tail := s.current.torn(n)
	s.mu.Unlock()
	if len(tail) == 0 || f.takeBack(tail) != nil {
		return 0
	}
	return len(tail)
}

// progress notes the result of a Write to f. It is true if the file was replaced meanwhile.
func (s *sink) progress(f file, n int, err error) (replaced bool) {
	s.mu.Lock()
	s.current.written += n
	replaced = s.file != f
	failed := err != nil && !replaced && !s.aborted
	if failed {
		s.err = err
	}
	s.mu.Unlock()
	if now := time.Now(); failed && now.Sub(s.logged) >= logInterval {
		if s.log.tell(func(log *slog.Logger) { log.Error("journal sink fails", "sink", s.name, "err", err) }) {
			s.logged = now
		}
	}
	return replaced
}

// ended reports whether run has ended.
func (s *sink) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (s *sink) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finishing || s.aborted
}
