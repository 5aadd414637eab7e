package share

import (
	"math"
	"time"
)

// A Pace divides work among owners, while there is too much of it. Nobody is told how much can be done: as long as those who do the work
// are strained, each owner who has more than an equal part of it done is slowed down, again and again, and as long as they are not, what
// was slowed may go faster, again and again. An owner alone is never slowed. The zero Pace is ready.
type Pace[K comparable] struct {
	owners map[K]*worker
	looked time.Time
}

type worker struct {
	done float64   // since the last look
	most float64   // a second; 0: as much as it likes
	free time.Time // when what it has had done is paid for
}

const (
	lookApart    = 50 * time.Millisecond
	slower       = 0.7
	faster       = 1.05
	leastPace    = 200 // work a second, at which nobody is a burden
	freePace     = 1e6 // at which an owner is as good as free
	longestPause = 5 * time.Second
)

// Spend counts work that was done for an owner, and says for how long it must rest before it has more done. strained tells whether there
// has been too much work since it was asked last.
func (p *Pace[K]) Spend(owner K, work float64, now time.Time, strained func() bool) time.Duration {
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

// Slowed says whether an owner is slowed down.
func (p *Pace[K]) Slowed(owner K) bool {
	w := p.owners[owner]
	return w != nil && w.most > 0
}

func (p *Pace[K]) look(since time.Duration, strained bool) {
	all, active := 0.0, 0
	for _, w := range p.owners {
		all += w.done
		if w.done > 0 {
			active++
		}
	}
	for owner, w := range p.owners {
		switch {
		case strained && active > 1 && w.done*float64(active) > all:
			used := w.done / since.Seconds()
			if w.most > 0 {
				used = min(used, w.most)
			}
			w.most = max(leastPace, slower*used)
		case !strained && w.most > 0:
			if w.most *= math.Pow(faster, float64(since)/float64(lookApart)); w.most >= freePace {
				w.most = 0
			}
		}
		if w.done == 0 && w.most == 0 {
			delete(p.owners, owner)
		}
		w.done = 0
	}
}
