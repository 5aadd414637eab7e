package mx

import (
	"context"
	"io"
	"sync"
	"time"
)

// tick is the time between two slots of a wheel.
const tick = 10 * time.Millisecond

// A wheel gives slow sessions one octet at a time. Sessions of one slot share a tick, so that many of them cost a few
// wake-ups a second, not one timer each.
type wheel struct {
	mu    sync.Mutex
	slots map[int][]*dripee // by number of ticks between two octets, times that number and slot: see key
	next  int               // slot for the next session
	wake  chan struct{}     // the first session has come
}

// maxTicks bounds the slots of one rate: nothing is slower than an octet in ten seconds.
const maxTicks = 1000

func newWheel() *wheel {
	return &wheel{slots: make(map[int][]*dripee), wake: make(chan struct{}, 1)}
}

func key(period, slot int) int { return period*maxTicks + slot }

// add begins to drip to w at so many octets a second.
func (w *wheel) add(rate int, to io.Writer) *dripee {
	period := min(max(1, int(time.Second/tick)/rate), maxTicks)
	d := &dripee{to: to}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := key(period, w.next%period)
	w.next++
	w.slots[k] = append(w.slots[k], d)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return d
}

func (w *wheel) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-w.wake:
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for now := 0; ; now++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.turn(now)
		}
	}
}

func (w *wheel) turn(now int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, members := range w.slots {
		if period := k / maxTicks; now%period != k%maxTicks {
			continue
		}
		kept := members[:0]
		for _, d := range members {
			if d.drip() {
				kept = append(kept, d)
			}
		}
		w.slots[k] = kept
	}
}

// endless is one line of a reply that never ends; a reader that wants whole lines sees one now and then.
const endless = "250-2.1.0 please be patient, this will take a while longer\r\n"

// A dripee is a session that is dripped to.
type dripee struct {
	mu   sync.Mutex
	to   io.Writer // nil: over
	sent int
}

// drip writes the next octet and says whether there is a next one.
func (d *dripee) drip() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.to == nil {
		return false
	}
	i := d.sent % len(endless)
	d.sent++
	if _, err := d.to.Write([]byte(endless[i : i+1])); err != nil {
		d.to = nil
	}
	return d.to != nil
}

// stop returns when nothing will be written any more.
func (d *dripee) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = nil
}
