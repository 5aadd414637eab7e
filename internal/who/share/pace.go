package share

import (
	"math"
	"slices"
	"time"
)

// A Pace divides work among owners, while there is too much of it. Nobody is told how much can be done: as long as those who do the work
// are strained, each owner who has far more of it done than others is slowed down, again and again, and as long as they are not, what
// was slowed may go faster, again and again; so may, while they are, who has no more than others. An owner alone is never slowed, nor are
// owners who all have as much. The zero Pace is ready.
type Pace[K comparable] struct {
	owners map[K]*worker
	slowed int // of them
	looked time.Time
	parts  []float64 // of those who had any work done, for the look
}

type worker struct {
	done float64   // since the last look
	most float64   // a second; 0: as much as it likes
	free time.Time // when what it has had done is paid for
	owes time.Time // until when it owes for what came to nothing
}

const (
	lookApart    = 50 * time.Millisecond
	slower       = 0.7
	faster       = 1.05
	leastPace    = 200 // work a second, at which nobody is a burden
	freePace     = 1e6 // at which an owner is as good as free
	farMore      = 2   // times what is in the middle of what the others have
	longestPause = 5 * time.Second
)

// Spend counts work that was done for an owner, and says for how long it must rest before it has more done. strained tells whether there
// has been too much work since it was asked last.
func (p *Pace[K]) Spend(owner K, work float64, now time.Time, strained func() bool) time.Duration {
	w := p.count(owner, work, now, strained)
	if w.most == 0 {
		return 0
	}
	if w.free.Before(now) {
		w.free = now
	}
	rest := min(w.free.Sub(now)+time.Duration(work/w.most*float64(time.Second)), longestPause)
	w.free = now.Add(rest)
	return rest
}

// Count is Spend for work behind which nobody can rest: nobody else of the owner rests for it, either.
func (p *Pace[K]) Count(owner K, work float64, now time.Time, strained func() bool) {
	p.count(owner, work, now, strained)
}

func (p *Pace[K]) count(owner K, work float64, now time.Time, strained func() bool) *worker {
	if since := now.Sub(p.looked); since >= lookApart {
		p.look(since, strained())
		p.looked = now
	}
	w := p.owners[owner]
	if w == nil {
		if p.owners == nil {
			p.owners = make(map[K]*worker)
		}
		w = &worker{}
		p.owners[owner] = w
	}
	w.done += work
	return w
}

// Waste is Count for work that came to nothing. The owner owes for it what it would have rested: see Owes.
func (p *Pace[K]) Waste(owner K, work float64, now time.Time, strained func() bool) {
	w := p.count(owner, work, now, strained)
	if w.most == 0 {
		return
	}
	if w.owes.Before(now) {
		w.owes = now
	}
	w.owes = now.Add(min(w.owes.Sub(now)+time.Duration(work/w.most*float64(time.Second)), longestPause))
}

// Owes says for how long an owner must rest before it begins anything new, for what it has wasted.
func (p *Pace[K]) Owes(owner K, now time.Time) time.Duration {
	w := p.owners[owner]
	if w == nil || w.most == 0 {
		return 0
	}
	return max(0, w.owes.Sub(now))
}

// Slowed reports whether an owner is slowed down.
func (p *Pace[K]) Slowed(owner K) bool {
	w := p.owners[owner]
	return w != nil && w.most > 0
}

// SlowsAny reports whether any owner is slowed down.
func (p *Pace[K]) SlowsAny() bool { return p.slowed > 0 }

func (p *Pace[K]) look(since time.Duration, strained bool) {
	p.slowed = 0
	most := math.Inf(1)
	if strained {
		most = p.fair()
	}
	for owner, w := range p.owners {
		switch {
		case w.done > most:
			used := w.done / since.Seconds()
			if w.most > 0 {
				used = min(used, w.most)
			}
			w.most = max(leastPace, slower*used)
		case w.most > 0: // whatever the strain comes from, not from this one
			if w.most *= math.Pow(faster, float64(since)/float64(lookApart)); w.most >= freePace {
				w.most = 0
			}
		}
		switch {
		case w.most > 0:
			p.slowed++
		case w.done == 0:
			delete(p.owners, owner)
		}
		w.done = 0
	}
}

// fair is what an owner may have had done since the last look before it is slowed: an equal part of all, and not far more than what those
// in the middle have, beside the owner itself.
func (p *Pace[K]) fair() float64 {
	all := 0.0
	p.parts = p.parts[:0]
	for _, w := range p.owners {
		if w.done > 0 {
			all += w.done
			p.parts = append(p.parts, w.done)
		}
	}
	if len(p.parts) < 2 {
		return math.Inf(1)
	}
	slices.Sort(p.parts)
	return max(all/float64(len(p.parts)), farMore*p.parts[(len(p.parts)-2)/2])
}
