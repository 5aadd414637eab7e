package inspect

import (
	"context"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
)

// Settings are what a [Room] is made with.
type Settings struct {
	Scanners []Scanner
	// Late is told a verdict that nobody waited for any more, of the message as Inspect got it, whose octets must not be read any more. It may
	// be told several at once, and must not block. Nil: nobody is told.
	Late func(Mail, event.Scan)
	Now  func() time.Time // nil: time.Now
}

// A Room is the scanners that messages are put to. It is safe for concurrent use.
type Room struct {
	s        Settings
	scanners []*scanner
	cache    *cache
	ctx      context.Context // of all that is under way
	cancel   context.CancelFunc
	ended    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	inside int           // messages that are inspected
	left   chan struct{} // closed when the last one has left behind Close
}

// NewRoom makes a Room. Close it.
func NewRoom(s Settings) *Room {
	r := &Room{s: s, cache: newCache(), left: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, one := range s.Scanners {
		r.scanners = append(r.scanners, newScanner(r, one))
	}
	return r
}

func (r *Room) now() time.Time {
	if r.s.Now != nil {
		return r.s.Now()
	}
	return time.Now()
}

// Close ends all that is under way, also what nobody waits for, and waits for it. What is inspected behind it has no verdict.
func (r *Room) Close() {
	r.mu.Lock()
	r.closed = true
	if r.inside == 0 {
		r.closeLeft()
	}
	r.mu.Unlock()
	r.cancel()
	<-r.left
	r.ended.Wait()
}

func (r *Room) closeLeft() {
	select {
	case <-r.left:
	default:
		close(r.left)
	}
}

// Inspect puts a message to its scanners, all at the same time, and returns when each has said something, is known to say nothing, or ctx
// has ended: one Scan of each, in the order of Settings. If ctx was cancelled, and not too late, scans under way are given up. Behind its
// return nobody reads the message's octets.
func (r *Room) Inspect(ctx context.Context, m Mail) []event.Scan {
	scanners := r.of(m.Scanners)
	if len(scanners) == 0 {
		return nil
	}
	if !r.enter() {
		return fillAll(scanners, skipped(event.LackUnavailable, "kanmon stops"))
	}
	defer r.leave()
	view, seen := newView(m)
	defer view.shut()
	if !slices.ContainsFunc(scanners, func(s *scanner) bool { return s.takes(&m) }) {
		return askAll(ctx, seen, scanners) // it need not be read to be known again
	}
	return r.cache.get(ctx, r.now, seen, scanners, func() []event.Scan { return askAll(ctx, seen, scanners) })
}

func askAll(ctx context.Context, m *Mail, scanners []*scanner) []event.Scan {
	all := make([]event.Scan, len(scanners))
	var asking sync.WaitGroup
	for i, s := range scanners[1:] {
		asking.Go(func() { all[i+1] = s.ask(ctx, m) })
	}
	all[0] = scanners[0].ask(ctx, m)
	asking.Wait()
	return all
}

func fillAll(scanners []*scanner, said event.Scan) []event.Scan {
	all := make([]event.Scan, len(scanners))
	for i, s := range scanners {
		all[i] = said
		all[i].Scanner = s.Name
	}
	return all
}

// of gives the scanners of these names; of none all.
func (r *Room) of(names []string) []*scanner {
	if names == nil {
		return r.scanners
	}
	var some []*scanner
	for _, s := range r.scanners {
		if slices.Contains(names, s.Name) {
			some = append(some, s)
		}
	}
	return some
}

func (r *Room) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.inside++
	return true
}

func (r *Room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inside--; r.inside == 0 && r.closed {
		r.closeLeft()
	}
}

// Forget forgets verdicts about messages of an account, or of all of a tenant's: behind it they are scanned anew.
func (r *Room) Forget(tenant, account string) { r.cache.forget(tenant, account) }
