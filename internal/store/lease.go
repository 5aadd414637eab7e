package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A file changes hands while both processes run: the one that has it pauses its writes ([File.Pause]) and unlocks it ([Unlock]); the other
// locks it, reads and writes it. If the other is lost before it is sure, the first takes the lock again ([Relock]) and goes on ([File.Resume]).
// Else what the first would still write, its heir is told ([File.Bequeath]). The lock decides: who does not have it does not write.

// ErrPaused is seen by who would write while another process takes the file over.
var ErrPaused = errors.New("another kanmon is taking the file over")

// An Heir is told what would have been written: the rows of a part, in the part's own form, which encoding/json writes.
type Heir func(part string, rows any) error

// A hold is how a file stands while it changes hands.
type hold struct {
	over chan struct{} // closed when it is decided
	heir Heir          // afterwards; nil: the file is this process's again
}

// Pause lets who writes now end, and has all others wait until [File.Resume] or [File.Bequeath], for as long as their contexts last. Those
// who read go on.
func (f *File) Pause(ctx context.Context) error {
	f.turn.Lock()
	if f.held == nil {
		f.held = &hold{over: make(chan struct{})}
	}
	f.turn.Unlock()
	// The one connection of the handle is free when nobody writes.
	conn, err := f.Conn(ctx)
	if err != nil {
		f.Resume()
		return fmt.Errorf("%s: wait for its last writer: %w", f.path, err)
	}
	return conn.Close()
}

// Resume ends a pause: the file is this process's again.
func (f *File) Resume() { f.decide(nil) }

// Bequeath ends a pause for good: the heir is told what is to be written. It must not wait for long.
func (f *File) Bequeath(heir Heir) { f.decide(heir) }

func (f *File) decide(heir Heir) {
	f.turn.Lock()
	defer f.turn.Unlock()
	if f.held == nil || f.held.heir != nil {
		return
	}
	f.held.heir = heir
	close(f.held.over)
	if heir == nil {
		f.held = nil
	}
}

// Keep is [File.Within] for a file that may change hands: while it does, Keep waits, for as long as the context lasts. Where another process
// has it then, that is told the rows, which say all that would have been done to the part.
func (f *File) Keep(ctx context.Context, part string, rows any, do func(*sql.Tx) error) error {
	for {
		heir, err := f.heir(ctx)
		switch {
		case err != nil:
			return err
		case heir != nil:
			return heir(part, rows)
		}
		if err := f.Within(ctx, do); !errors.Is(err, ErrPaused) {
			return err
		}
	}
}

// heir waits until it is decided whose the file is, and gives who is to be told; nil: it is written here.
func (f *File) heir(ctx context.Context) (Heir, error) {
	f.turn.Lock()
	held := f.held
	f.turn.Unlock()
	if held == nil {
		return nil, nil //nolint:nilnil // nobody is to be told
	}
	select {
	case <-held.over:
		return held.heir, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w: ask again in some seconds", f.path, ErrPaused)
	}
}

// paused says why nothing may be written.
func (f *File) paused() error {
	f.turn.Lock()
	defer f.turn.Unlock()
	if f.held != nil {
		return fmt.Errorf("%s: %w", f.path, ErrPaused)
	}
	return nil
}

// Unlock gives up what [Lock] gave, and leaves the descriptor open: see there.
func Unlock(lock *os.File) error { return unix.Flock(int(lock.Fd()), unix.LOCK_UN) }

// Relock takes again what [Unlock] gave up, or returns [ErrInUse].
func Relock(lock *os.File) error {
	err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w%s", ErrInUse, holderOf(lock))
	}
	return err
}
