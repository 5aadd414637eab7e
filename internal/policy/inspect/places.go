package inspect

import (
	"context"
	"errors"
	"sync"
	"time"

	"kanmon/internal/who/share"
)

// Errors of a place that was not given.
var (
	errBusy = errors.New("no place in time")
	errMany = errors.New("too many wait for a place")
	errAway = errors.New("it went away meanwhile")
)

// Bounds of places.
const (
	leastPlaces = 2  // that a tenant may have where there are as many, however many tenants want some
	waitEach    = 64 // that may wait for one place, before the next is told at once that it is busy
)

// places are how many scans a scanner does at once. A tenant has no more of them than an equal part among those who want some now, and those
// who wait get theirs in turns: one tenant's thousand do not stand before another one's first.
type places struct {
	most int

	mu      sync.Mutex
	taken   int
	held    map[string]int // by tenant; tenants that have some
	turns   turns[*waiter]
	waiting share.Places[string]
}

type waiter struct {
	turn  turn
	ready chan error // of room 1
}

func newPlaces(most int) *places { return &places{most: most, held: map[string]int{}} }

// take takes a place, and waits for it no longer than that. The error is errBusy, errMany, errAway, or that of ctx.
func (p *places) take(ctx context.Context, tenant string, wait time.Duration) error {
	w, err := p.ask(tenant)
	if w == nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err = <-w.ready:
		return err
	case <-timer.C:
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case given := <-w.ready: // meanwhile
		if given == nil {
			p.giveLocked(tenant)
		}
	default:
		p.turns.leave(w.turn)
		p.waiting.Give(tenant)
	}
	return err
}

// ask takes a place, or has the tenant wait for one.
func (p *places) ask(tenant string) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.turns.has(tenant) && p.taken < p.most && (p.held[tenant] == 0 || p.held[tenant] < p.part()) {
		p.taken++
		p.held[tenant]++
		return nil, nil
	}
	if bound := p.most * waitEach; !p.waiting.Take(tenant, share.Bounds{Most: bound, Reserve: bound}) {
		return nil, errMany
	}
	w := &waiter{ready: make(chan error, 1)}
	w.turn = p.turns.add(tenant, w)
	return w, nil
}

// part is how many places a tenant may have now; p.mu is held.
func (p *places) part() int {
	want := p.turns.tenants()
	for t := range p.held {
		if !p.turns.has(t) {
			want++
		}
	}
	return max(leastPlaces, p.most/max(1, want))
}

// give gives a place back.
func (p *places) give(tenant string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.giveLocked(tenant)
}

func (p *places) giveLocked(tenant string) {
	p.taken--
	if p.held[tenant]--; p.held[tenant] == 0 {
		delete(p.held, tenant)
	}
	for p.taken < p.most {
		part := p.part()
		w, ok := p.turns.next(func(tenant string, _ *waiter) bool { return p.held[tenant] < part })
		if !ok {
			return
		}
		tenant := w.turn.of.tenant
		p.waiting.Give(tenant)
		p.taken++
		p.held[tenant]++
		w.ready <- nil
	}
}

// sendAway tells all who wait that the scanner is away.
func (p *places) sendAway() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		w, ok := p.turns.next(func(string, *waiter) bool { return true })
		if !ok {
			return
		}
		p.waiting.Give(w.turn.of.tenant)
		w.ready <- errAway
	}
}

// count gives how many are taken, and how many wait.
func (p *places) count() (taken, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken, p.waiting.All()
}
