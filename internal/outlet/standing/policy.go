package standing

import (
	"errors"
	"fmt"
	"time"
)

// A Trigger is what it takes to act: all of its counts reached within its time. Counts are 1 to 64.
type Trigger struct {
	Replies      int
	Tenants      int // distinct ones
	Destinations int // distinct ones
	Within       time.Duration
}

// byTwo is what it takes where one customer of a provider may have written the words: two, of two messages.
func (t Trigger) byTwo() Trigger {
	t.Destinations, t.Replies = max(2, t.Destinations), max(2, t.Replies)
	return t
}

// Numbers are all numbers of the package. Sources: [K] KumoMTA's shipped shaping rules, [M] Momentum's adaptive
// delivery, [R] what RFC 5321 §4.5.3.2 makes a session last, [–] our own choice.
type Numbers struct {
	// Listed suspends: replies that say the IP is on a list, or blocked by the receiver. One is enough, since it says in
	// words what is wrong, and harms at most its own provider [–; K: 1 to 5 an hour].
	Listed      Trigger
	ListedFirst time.Duration // the first suspension [K: 2 h for Yahoo and Microsoft; M: 4 h]

	// Refused suspends: replies that may be about the IP, lists of weight weak or closed among them. One tenant's bad
	// mail reaches many destinations, one odd receiver refuses many tenants; several of both have only the IP in common [–].
	Refused      Trigger
	RefusedFirst time.Duration // [K: 15 to 60 min]
	// RefusedPart is the least part of refusals among what was heard from the provider since the first of them, 0 to 1:
	// where most mail is accepted, the IP is not what is refused [M: 10 %].
	RefusedPart float64

	// Longest caps what doubling makes of a suspension, and what is read from the store [–; field: delistings take a day].
	Longest time.Duration
	// Forget is how long a key must be active for its next suspension to be a first one again [–].
	Forget time.Duration
	// HandLongest caps a suspension by hand: a slip of the year must not suspend for ever [–].
	HandLongest time.Duration

	// Throttled slows: replies that say too much, too fast, too many connections from this IP [K: 2 to 5 an hour].
	Throttled      Trigger
	ThrottleFactor float64       // share after a cut, as a part of the one before [K, M: stepwise]
	ThrottleFloor  float64       // the least share
	ThrottleHold   time.Duration // time before more is tried; doubles with every cut, up to Longest [K: 15 to 90 min]
	ThrottleSettle time.Duration // between cuts: replies to what was under way say nothing of the new share [M: 60 s]

	// A reply about our netblock slows the configured sending IPs of the same /24 or /48 to this share, for this long [–].
	NeighbourShare float64
	NeighbourHold  time.Duration

	// Restore are the shares a key goes through on its way back to 1, rising [–: warm-up by parts of the traffic].
	Restore          []float64
	RestoreHold      time.Duration // least time at each of them [M: one increase an hour]
	RestoreSuccesses int           // least messages accepted at each of them [–]
	// RestoreQuiet raises the share without any success when nothing was refused for so long: a provider that gets
	// little mail would never see RestoreSuccesses of it [–].
	RestoreQuiet time.Duration

	ProbeTime  time.Duration // a probe that has said nothing for so long has no say [R: 5+5+5+2+3+10 min]
	ProbeRetry time.Duration // after a probe that ended without telling: time before the next one [–]

	// IgnoreLists: this provider does not use public lists. A confirmed listing then is nothing to it.
	IgnoreLists bool
}

// DefaultNumbers returns the defaults; docs/why/standing.md lists them.
func DefaultNumbers() *Numbers {
	return &Numbers{
		Listed:           Trigger{Replies: 1, Tenants: 1, Destinations: 1, Within: time.Hour},
		ListedFirst:      2 * time.Hour,
		Refused:          Trigger{Replies: 1, Tenants: 2, Destinations: 3, Within: time.Hour},
		RefusedFirst:     30 * time.Minute,
		RefusedPart:      0.10,
		Longest:          24 * time.Hour,
		Forget:           24 * time.Hour,
		HandLongest:      366 * 24 * time.Hour,
		Throttled:        Trigger{Replies: 2, Tenants: 1, Destinations: 1, Within: time.Hour},
		ThrottleFactor:   0.5,
		ThrottleFloor:    0.05,
		ThrottleHold:     30 * time.Minute,
		ThrottleSettle:   time.Minute,
		NeighbourShare:   0.5,
		NeighbourHold:    time.Hour,
		Restore:          []float64{0.10, 0.30},
		RestoreHold:      15 * time.Minute,
		RestoreSuccesses: 5,
		RestoreQuiet:     6 * time.Hour,
		ProbeTime:        30 * time.Minute,
		ProbeRetry:       2 * time.Minute,
	}
}

// Validate says what cannot work, all of it.
func (p *Numbers) Validate() error {
	var wrong []error
	complain := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	for _, t := range []struct {
		name string
		Trigger
	}{{"listed", p.Listed}, {"refused", p.Refused}, {"throttled", p.Throttled}} {
		for _, n := range []int{t.Replies, t.Tenants, t.Destinations} {
			complain(n >= 1 && n <= 64, "%s: counts must be 1 to 64, not %d", t.name, n)
		}
		complain(t.Within > 0, "%s: the time must be more than 0, not %v", t.name, t.Within)
	}
	for _, d := range []struct {
		name string
		time.Duration
	}{
		{"listed, first", p.ListedFirst},
		{"refused, first", p.RefusedFirst},
		{"longest", p.Longest},
		{"forget", p.Forget},
		{"longest by hand", p.HandLongest},
		{"throttle hold", p.ThrottleHold},
		{"neighbour hold", p.NeighbourHold},
		{"restore hold", p.RestoreHold},
		{"restore quiet", p.RestoreQuiet},
		{"probe time", p.ProbeTime},
		{"probe retry", p.ProbeRetry},
	} {
		complain(d.Duration > 0, "%s: must be more than 0, not %v", d.name, d.Duration)
	}
	complain(p.ThrottleSettle >= 0, "throttle settle: must not be negative, but is %v", p.ThrottleSettle)
	complain(p.ListedFirst <= p.Longest && p.RefusedFirst <= p.Longest, "longest: must not be less than a first suspension")
	for _, s := range []struct {
		name  string
		share float64
	}{{"throttle factor", p.ThrottleFactor}, {"throttle floor", p.ThrottleFloor}, {"neighbour share", p.NeighbourShare}} {
		complain(s.share > 0 && s.share < 1, "%s: must be more than 0 and less than 1, not %v", s.name, s.share)
	}
	complain(p.RefusedPart >= 0 && p.RefusedPart <= 1, "refused part: must be 0 to 1, not %v", p.RefusedPart)
	complain(p.RestoreSuccesses >= 0, "restore successes: must not be negative, but is %d", p.RestoreSuccesses)
	last := 0.0
	for _, share := range p.Restore {
		complain(share > last && share < 1, "restore: shares must rise, and be between 0 and 1: %v", p.Restore)
		last = share
	}
	complain(len(p.Restore) > 0, "restore: wants at least one share")
	return errors.Join(wrong...)
}

// rise returns the share above the one given.
func (p *Numbers) rise(share float64) float64 {
	for _, next := range p.Restore {
		if next > share {
			return next
		}
	}
	return 1
}
