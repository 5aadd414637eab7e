package provider

import (
	"time"

	"kanmon/internal/who/share"
)

// Lookups behind the mail: nobody waits for them, so they have places of their own, and never take one of those for lookups that sessions
// wait for. Whoever's mail asks has a part of both, and of the questions behind the mail.
const (
	mostWaited = 64  // under way that sessions wait for: one asker alone has half
	mostBehind = 48  // under way behind the mail
	mostOfOne  = 8   // of these, of one asker
	askedByOne = 20  // questions behind the mail of one asker in a second, and askedBurst at once
	askedByAll = 200 // and of all
	askedBurst = 100
	mostAskers = 4096
	burstOfAll = 1000
)

var (
	placesWaited = share.Bounds{Most: mostWaited, Reserve: mostWaited}
	placesBehind = share.Bounds{Most: mostBehind, Each: mostOfOne}
)

type behind struct {
	places share.Places[string] // lookups under way, by asker
	room   bucket
	askers *share.Map[string, *bucket]
}

func newBehind() behind { return behind{askers: share.NewMap[string, *bucket](mostAskers)} }

// A bucket is how many questions may be asked now.
type bucket struct {
	left  float64
	since time.Time
}

// take takes a question if there is one.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.since.IsZero() {
		b.left = burst
	} else {
		b.left = min(burst, b.left+rate*max(0, now.Sub(b.since).Seconds()))
	}
	b.since = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// Learn looks up whose MXs a domain has, behind the mail of the asker, a tenant. It never waits, and it does nothing
// while that is known and fresh, or where there is no room: the next mail asks again. Where there is nothing to do it
// does not allocate.
func (l *Lookup) Learn(domain, by string) {
	if !l.Due(domain) {
		return
	}
	if domain = normal(domain); l.mayAsk(domain, by) {
		l.flights.DoChan(domain, func() (any, error) { return l.lookUp(domain, by, false), nil })
	}
}

// Due reports whether Learn has anything to do.
func (l *Lookup) Due(domain string) bool {
	domain = normal(domain)
	if isLiteral(domain) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k, found := l.domains.Get(domain)
	return !found || !time.Now().Before(k.until)
}

// mayAsk takes one of the asker's questions, if there is room for a lookup of his. Until there is an answer nobody asks
// about the domain again.
func (l *Lookup) mayAsk(domain, by string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, found := l.behind.askers.Get(by)
	if !found {
		of = &bucket{}
		l.behind.askers.Put(by, of, by)
	}
	now := time.Now()
	if !l.behind.places.Room(by, placesBehind) || !of.take(now, askedByOne, askedBurst) || !l.behind.room.take(now, askedByAll, burstOfAll) {
		return false
	}
	k, _ := l.domains.Get(domain)
	k.until = now.Add(lookupTime)
	l.domains.Put(domain, k, by)
	return true
}

// begin takes a place for a lookup; false if there is none.
func (l *Lookup) begin(by string, waited bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || waited && !l.waited.Take(by, placesWaited) || !waited && !l.behind.places.Take(by, placesBehind) {
		return false
	}
	l.ended.Add(1)
	return true
}

func (l *Lookup) end(by string, waited bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waited {
		l.waited.Give(by)
	} else {
		l.behind.places.Give(by)
	}
	l.ended.Done()
}
