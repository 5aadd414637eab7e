package provider

import (
	"strings"
	"time"
)

// Lookups behind the mail: nobody waits for them, so they give way. Whoever's mail asks for them has a part of the places and of the
// questions, and all of them together leave places for lookups that sessions wait for.
const (
	mostBehind = 48  // under way
	mostOfOne  = 8   // of one asker
	askedByOne = 20  // questions of one asker in a second, and askedBurst at once
	askedByAll = 200 // and of all
	askedBurst = 100
	mostAskers = 4096
	burstOfAll = 1000
)

// An asker is whose mail something is looked up behind.
type asker struct {
	running int
	room    bucket
}

type behind struct {
	running int
	room    bucket
	askers  *cache[string, *asker]
}

func newBehind() behind { return behind{askers: newCache[string, *asker](mostAskers)} }

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

// Learn looks up whose MXs a domain has, behind the mail of the asker, a tenant. It never waits, and it does nothing while that is known and
// fresh, or where there is no room: the next mail asks again. Where there is nothing to do it does not allocate.
func (l *Lookup) Learn(domain, by string) {
	if !l.Due(domain) {
		return
	}
	domain = normal(domain)
	a := l.asker(domain, by)
	if a == nil {
		return
	}
	l.flights.DoChan(domain, func() (any, error) { return l.lookUp(domain, a), nil })
}

// Due reports whether Learn has anything to do.
func (l *Lookup) Due(domain string) bool {
	domain = normal(domain)
	if strings.HasPrefix(domain, "[") { // RFC 5321 section 4.1.3: an address literal
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k, found := l.domains.get(domain)
	return !found || !time.Now().Before(k.until)
}

// asker gives whoever asks, if there is room for one more question of his; nil if there is none. Until there is an answer nobody asks
// about the domain again.
func (l *Lookup) asker(domain, by string) *asker {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, found := l.behind.askers.get(by)
	if !found {
		a = &asker{}
		l.behind.askers.put(by, a)
	}
	now := time.Now()
	if a.running >= mostOfOne || l.behind.running >= mostBehind || !a.room.take(now, askedByOne, askedBurst) ||
		!l.behind.room.take(now, askedByAll, burstOfAll) {
		return nil
	}
	k, _ := l.domains.get(domain)
	k.until = now.Add(lookupTime)
	l.domains.put(domain, k)
	return a
}

// begin counts a lookup; false if there may be none.
func (l *Lookup) begin(by *asker) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.running >= atOnce:
		return false
	case by != nil && (by.running >= mostOfOne || l.behind.running >= mostBehind):
		return false
	case by != nil:
		by.running++
		l.behind.running++
	}
	l.running++
	l.ended.Add(1)
	return true
}

func (l *Lookup) end(by *asker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if by != nil {
		by.running--
		l.behind.running--
	}
	l.running--
	l.ended.Done()
}
