package sts

import (
	"slices"
	"strings"
	"time"
)

// tendEvery is how often the shelf is looked through.
const tendEvery = 15 * time.Second

// tendLoop has policies renewed before they end, and forgets those that have ended.
func (k *Keeper) tendLoop() {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-ticker.C:
			k.tend()
		}
	}
}

func (k *Keeper) tend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	today := dayOf(now)
	crowded := map[Mode]bool{}
	for m := None; m <= Enforce; m++ {
		crowded[m] = k.shelf.isCrowded(m)
	}
	for _, e := range k.shelf.all {
		switch {
		case !e.holds(now), crowded[e.shelf] && today-e.used > usedFor:
			k.drop(e)
		case e.isDue(now):
			k.begin(e.domain, e.owner, flight{behind: true, refresh: true})
		}
	}
}

// A Kept is a policy that is kept, to be shown.
type Kept struct {
	Domain string
	Found         // its Policy is there
	Owner  string // in whose part it counts
	Used   time.Time
	Next   time.Time // then it is fetched anew, if it is used; by the wall clock
	Stays  bool      // it has a place of its own: false where there was no room
}

// List returns all policies that have not ended, by domain.
func (k *Keeper) List() (list []Kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, wall := k.now(), k.o.Clock().Round(0)
	add := func(e *entry) {
		if e.holds(now) {
			list = append(list, Kept{
				Domain: e.domain, Found: e.found(now), Owner: e.owner, Stays: e.units > 0,
				Used: time.Unix(int64(e.used)*int64(day/time.Second), 0).UTC(), Next: wall.Add(e.refresh.Sub(now)),
			})
		}
	}
	for _, e := range k.shelf.all {
		add(e)
	}
	for _, e := range k.passing.All() {
		add(e)
	}
	slices.SortFunc(list, func(a, b Kept) int { return strings.Compare(a.Domain, b.Domain) })
	return list
}

// Sizes are how much there is, for metrics.
type Sizes struct {
	Policies   int // that have a place
	Remembered int // domains beside these
	Lookups    int // under way
	Fetches    int // of them, that are at a policy host
	Unsaved    int // domains that wait for the disk
}

// Sizes returns them.
func (k *Keeper) Sizes() Sizes {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Sizes{len(k.shelf.all), k.passing.Len(), len(k.flights), k.fetches.All(), len(k.dirty) + k.saving}
}
