package sts

import (
	"errors"
	"math/rand/v2"
	"time"

	"kanmon/internal/event"
)

// An entry is what is known of a domain. Its times are those of Keeper.now.
type entry struct {
	domain string
	owner  string // in whose part it counts

	policy  *Policy // nil: none
	fetched time.Time
	ends    time.Time // of the policy
	shelf   Mode      // whose places it has: Enforce, or Testing for all others
	units   int       // of the shelf; 0: it has no place there
	stored  bool      // the store has a row of it

	again     time.Time         // then the record is due
	failed    string            // id of the record whose policy could not be fetched
	retry     time.Time         // until then it is not fetched again
	renewable time.Time         // until then a renewal would bring nothing new
	refresh   time.Time         // then the policy is fetched anew behind the mail
	why       event.TrustReason // of the last lookup
	err       error
	crowded   string // with err ErrBusy: who had no room, and he alone

	used      int  // the last day on which mail went to it
	usedSince bool // since it was fetched
}

// Times between lookups.
const (
	soonest      = time.Second      // an answer of DNS holds for no less
	latest       = time.Hour        // and for no more
	failedFor    = 5 * time.Minute  // a policy that could not be fetched, while the record has the same id (RFC 8461 section 3.3)
	fetchedApart = 10 * time.Second // fetches of one policy, however short its max_age
	busyFor      = 5 * time.Second  // behind a lookup for which there was no room
	daily        = 24 * time.Hour   // refresh (RFC 8461 section 3.3)
	refreshApart = time.Hour        // tries to refresh
	usedFor      = 30               // days behind the last mail in which a policy is refreshed
)

// holds reports whether there is a policy that has not ended. The nil entry has none.
func (e *entry) holds(now time.Time) bool { return e != nil && e.policy != nil && now.Before(e.ends) }

// isFresh reports whether it is known that there is no policy, or for an owner, that he had no room to ask.
func (e *entry) isFresh(by string, now time.Time) bool {
	return e != nil && e.policy == nil && now.Before(e.again) && (!errors.Is(e.err, ErrBusy) || e.crowded == by)
}

// found is what is told of an entry. Of the nil one nothing is known.
func (e *entry) found(now time.Time) Found {
	if e == nil {
		return Found{}
	}
	f := Found{Known: true, Why: e.why, Err: e.err}
	switch {
	case e.holds(now):
		f.Policy = e.policy
	case errors.Is(e.err, ErrBusy):
		f.Known = false
	case errors.Is(e.err, errNoRecord):
		f.Err = nil
	}
	return f
}

// take gives an entry a policy.
func (e *entry) take(p *Policy, fetched time.Time) {
	e.policy, e.fetched, e.ends = p, fetched, fetched.Add(p.MaxAge)
	e.usedSince = false
	e.refresh = fetched.Add(jittered(e.interval()))
}

// interval is how long behind a fetch the next one is due.
func (e *entry) interval() time.Duration { return min(daily, e.policy.MaxAge/4*3) }

// isDue reports whether a policy is to be fetched anew behind the mail. One that lasts for less than a day is if it has had mail since: else
// a host would be asked all the time for nobody.
func (e *entry) isDue(now time.Time) bool {
	return e.holds(now) && !now.Before(e.refresh) && dayOf(now)-e.used <= usedFor && (e.usedSince || e.interval() == daily)
}

// putOff sets when a refresh that has failed is tried again.
func (e *entry) putOff(now time.Time) {
	e.refresh = now.Add(jittered(max(failedFor, min(refreshApart, e.ends.Sub(now)/4))))
}

// jittered spreads what would be due at once: it takes up to a fifth from a time.
func jittered(d time.Duration) time.Duration {
	if d < 5 {
		return d
	}
	return d - rand.N(d/5)
}

const day = 24 * time.Hour

// dayOf numbers days (UTC).
func dayOf(t time.Time) int { return int(t.Unix() / int64(day/time.Second)) }

// A passage is how far time has come: it never goes back. See the package page.
type passage struct {
	at   time.Time // without a monotonic reading
	read time.Time // as the clock gave it
}

// until takes what the clock shows, and returns what time it is.
func (p *passage) until(clock time.Time) time.Time {
	if !p.read.IsZero() {
		p.at = p.at.Add(max(0, clock.Sub(p.read))) // by the monotonic readings, where both have one
	}
	p.read = clock
	if wall := clock.Round(0); wall.After(p.at) {
		p.at = wall
	}
	return p.at
}

// now is what time it is for policies. It is called with mu held.
func (k *Keeper) now() time.Time { return k.passage.until(k.o.Clock()) }
