package session

import (
	"runtime/debug"
	"sync"
	"time"

	"kanmon/internal/event"
)

// Tellers tell of long waits on stacks of their own. What hears of them needs more stack than the 4 KiB of a session that waits, and a stack
// that has grown stays so until the next collection, for each of ten thousand held sessions. The session waits for its teller, so that
// it is told in order and one of them at a time has to do with the session.
type tellers struct {
	made sync.Once
	work chan telling
}

// A telling is a wait to be told of, and how the teller says that it has been: with what it has panicked with, or nil.
type telling struct {
	of   *session
	wait event.Wait
	done chan any
}

// tellerStays is how long a teller waits for the next wait: those of many sessions that are held at once come together.
const tellerStays = 2 * time.Second

// tell tells of a wait of a session, on whose goroutine it is called.
func (t *tellers) tell(s *session, w event.Wait) {
	t.made.Do(func() { t.work = make(chan telling) })
	told := telling{s, w, make(chan any, 1)}
	select {
	case t.work <- told:
	default: // each of them has something to tell
		go t.run(told)
	}
	if fault := <-told.done; fault != nil {
		panic(fault) //nolint:forbidigo // it is the session's, as on its own stack
	}
}

func (t *tellers) run(first telling) {
	first.now()
	rest := time.NewTimer(tellerStays)
	defer rest.Stop()
	for {
		select {
		case next := <-t.work:
			next.now()
			rest.Reset(tellerStays)
		case <-rest.C:
			return
		}
	}
}

func (t telling) now() {
	defer func() {
		fault := recover()
		if fault != nil { // the session, which panics with it, does not have this stack
			t.of.e.logger().Error("telling of a wait panicked", "session", t.of.info.ID.String(), "stack", string(debug.Stack()))
		}
		t.done <- fault
	}()
	t.of.tellWait(t.wait)
}
