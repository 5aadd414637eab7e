package journal

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kanmon/internal/session"
)

// A sheet says what a sink is called and what its lines look like.
type sheet struct {
	name   string
	append func(*formatter, *session.Record) []byte // valid until the next call
	gap    func(dst []byte, now time.Time, of owner, records uint64) []byte
}

// A file is where a sink writes to. Close ends a Write that waits, where the system can do that.
type file interface {
	io.WriteCloser
	// same tells whether the other file is the one that is open here.
	same(other file) bool
}

const (
	retryAfter = time.Second
	// writeChunk bounds one Write, so that progress on a slow sink is known. So much is worth being written at once.
	writeChunk = 64 << 10
	// maxKeptBuffer keeps buffers swollen by a stall from staying in memory.
	maxKeptBuffer = 1 << 20
	// abortGrace is how long a writer whose file was closed under it may take to notice.
	abortGrace = 100 * time.Millisecond
)

var errLeftOver = errors.New("records left over")

// A sink is one output: a bounded buffer that the formatting goroutine fills without waiting, and a goroutine that
// writes it. A failed write is tried again, so a full disk loses only what exceeds the buffer.
type sink struct {
	outlet
	limit int // octets of waiting
	log   *slog.Logger
	wake  chan struct{} // holds a token when there may be text to write
	retry chan struct{} // holds a token when a failed write may be tried at once
	done  chan struct{} // closed when run has ended

	// Only run uses these.
	writing file      // what current goes to
	logged  time.Time // when a failure was last logged

	mu        sync.Mutex
	file      file
	waiting   block         // what comes after current
	has       map[owner]int // octets of each in waiting
	current   block         // what run writes; only run changes its data
	lost      losses        // since the last gap lines
	finishing bool
	aborted   bool
	err       error // last failure
}

// A block is formatted text and where the records in it end.
type block struct {
	data    []byte
	marks   []mark
	written int // octets of data that are in the file
}

type mark struct {
	seq uint64 // number of the record; 0 if it is counted as lost already
	end int    // offset behind the record
}

func newSink(out outlet, f file, limit int, log *slog.Logger) *sink {
	return &sink{
		outlet: out, file: f, limit: limit, log: log, has: make(map[owner]int),
		wake: make(chan struct{}, 1), retry: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// add buffers a formatted record and is false if it does not fit. It wakes run when there is enough to write, and for what was lost.
func (s *sink) add(o owner, seq uint64, text []byte) bool {
	if len(text) == 0 {
		return true
	}
	s.mu.Lock()
	has := s.has[o]
	ok := fits(has, len(text), s.limit-len(s.waiting.data))
	if ok {
		s.waiting.data = append(s.waiting.data, text...)
		s.waiting.marks = append(s.waiting.marks, mark{seq, len(s.waiting.data)})
		s.has[o] = has + len(text)
	} else {
		s.lost.add(o, 1)
	}
	enough := len(s.waiting.data) >= writeChunk
	s.mu.Unlock()
	if enough || !ok {
		s.poke()
	}
	return ok
}

// disown says that the record just added is counted as lost, because another sink lost it.
func (s *sink) disown(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range []*block{&s.current, &s.waiting} {
		if n := len(b.marks); n > 0 && b.marks[n-1].seq == seq {
			b.marks[n-1].seq = 0
		}
	}
}

// skip notes records that never came as far as here.
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
// written again as a whole.
func (s *sink) reopen() error {
	f, err := s.open()
	if err != nil {
		return err
	}
	s.mu.Lock()
	old := s.file
	if s.aborted || old.same(f) {
		s.mu.Unlock()
		return f.Close()
	}
	s.file = f
	s.mu.Unlock()
	s.urge()
	return old.Close()
}

// finish tells run to end when the buffer is written, or when writing fails.
func (s *sink) finish() {
	s.mu.Lock()
	s.finishing = true
	s.mu.Unlock()
	s.urge()
}

// wait waits for run to end, no longer than ctx, closes the file, and adds the numbers of the records that are not in
// it to left.
func (s *sink) wait(ctx context.Context, left map[uint64]struct{}) error {
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
	closing := f.Close()
	if overtime != nil {
		select {
		case <-s.done:
		case <-time.After(abortGrace): // stuck in the kernel: nothing can end it
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range []*block{&s.current, &s.waiting} {
		for _, m := range b.marks {
			if m.end > b.written && m.seq != 0 {
				left[m.seq] = struct{}{}
			}
		}
	}
	if len(s.current.data) > s.current.written || len(s.waiting.data) > 0 {
		return errors.Join(errLeftOver, overtime, s.err)
	}
	return closing
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
		if len(s.waiting.data) > 0 || len(s.lost) > 0 {
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
		s.current.data = s.gap(s.current.data, now, o, s.lost[o])
	}
	s.lost = nil
}

// write writes the rest of the current block. It is false if that failed.
func (s *sink) write() bool {
	for {
		s.mu.Lock()
		f := s.file
		if f != s.writing {
			s.current.rewind()
			s.writing = f
		}
		rest := s.current.data[s.current.written:]
		s.mu.Unlock()
		if len(rest) == 0 {
			return true
		}
		n, err := f.Write(rest[:min(len(rest), writeChunk)])
		again := s.progress(f, n, err)
		if err != nil && !again {
			return false
		}
	}
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
	// Logging may wait, so not under the lock.
	if now := time.Now(); failed && now.Sub(s.logged) >= logInterval {
		s.logged = now
		s.log.Error("journal sink fails", "sink", s.name, "err", err)
	}
	return replaced
}

// rewind goes back to the start of a record that was written in part: a new file must not begin with half a line.
func (b *block) rewind() {
	i, _ := slices.BinarySearchFunc(b.marks, b.written, func(m mark, at int) int { return m.end - at })
	if i < len(b.marks) && b.marks[i].end == b.written {
		return
	}
	b.written = 0
	if i > 0 {
		b.written = b.marks[i-1].end
	}
}

func (s *sink) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finishing || s.aborted
}
