package inspect

import (
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
)

// When an upstream is taken for away, and how it comes back.
const (
	failuresAway  = 5           // in a row
	failuresDoubt = 2           // from which on it is pinged, if they may be the tenant's doing
	samples       = 32          // of how long scans took
	fewSamples    = 8           // fewer say nothing
	oneOf         = 16          // of the messages, that tries it while only its answer to pings speaks for it
	lately        = time.Minute // how long another tenant's verdict says that failures are not the upstream's
)

// A breaker knows whether an upstream is there. Scans that fail are its failures, and so is it if they take so long that half of them take
// more than half of the time. Then it is away, and nobody waits for it. It is pinged: once it answers it is tried by one message of sixteen,
// the first one at once, and is there again as soon as one of them has its verdict in good time.
//
// A message that makes a scan fail is somebody's. Failures that are all of one tenant are not the upstream's where another tenant's messages
// have had their verdicts lately, unless it does not answer a ping, either; and how long scans take is the median of the tenants' medians. Where
// all that are remembered are of one tenant, whose messages have taken the room of the others', they say nothing as long as another one's had
// their verdicts lately, and in good time.
type breaker struct {
	within time.Duration // that a scan may take
	now    func() time.Time

	mu     sync.Mutex
	state  breakerState
	since  time.Time // of state, if it is not there
	why    string
	row    int        // failures since the last verdict
	asking bool       // it is pinged because of them
	silent bool       // and has not answered
	rowOf  string     // the tenant whose they all are, of two or more ""
	well   [2]verdict // the last one, and the last one of another tenant
	took   []sample
	passed int  // messages that were not tried, and the one that was, since it answered pings
	trying bool // one of them is under way
}

type breakerState uint8

const (
	there  breakerState = iota
	away                // it does not answer pings
	tested              // it does, and is tried
)

type sample struct {
	tenant string
	took   time.Duration
}

type verdict struct {
	tenant string
	at     time.Time
	quick  bool // in less than half of the time
}

// may reports whether a message is put to the upstream now, and whether it is one that tries it. If not, why says since when it is away.
func (b *breaker) may() (ok, try bool, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == there {
		return true, false, ""
	}
	if b.state == tested && !b.trying {
		b.passed++
		if b.passed%oneOf == 1 {
			b.trying = true
			return true, true, ""
		}
	}
	return false, false, "away since " + b.since.UTC().Format(time.RFC3339) + ": " + b.why
}

// untried gives a try back that came to nothing.
func (b *breaker) untried() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying, b.passed = false, 0
}

// A doubt is what must be done because of what was heard.
type doubt uint8

const (
	noDoubt  doubt = iota
	pingOnce       // and tell answered
	gone           // it has gone away by that: ping it until pinged says that it is there, and have nobody wait for it
)

// heard is told what came of a scan.
func (b *breaker) heard(tenant string, said event.Scan, took time.Duration, try bool) doubt {
	b.mu.Lock()
	defer b.mu.Unlock()
	if try {
		b.trying = false
	}
	failed := said.Lack == event.LackUnavailable
	if said.State != event.Scanned && !failed {
		return noDoubt // busy, too large, unfit: it is there
	}
	now := b.now()
	if b.state != there {
		if try && !failed && took <= b.within/2 {
			b.state, b.well = there, [2]verdict{{tenant, now, true}}
		} else if try && b.state == tested {
			b.why = reason(said, took)
		}
		return noDoubt
	}
	b.took = append(b.took, sample{tenant, took})
	if len(b.took) > samples {
		b.took = slices.Delete(b.took, 0, 1)
	}
	b.count(tenant, failed, verdict{tenant, now, took <= b.within/2})
	switch {
	case b.row >= failuresAway && (b.silent || !b.isTheTenants(now)):
		b.why = reason(said, took)
	case b.median() > b.within/2 && !b.slowIsTheTenants(now):
		b.why = "half of the scans take more than " + (b.within / 2).String()
	case b.row >= failuresDoubt && b.isTheTenants(now) && !b.asking:
		b.asking = true
		return pingOnce
	default:
		return noDoubt
	}
	b.goAway(now)
	return gone
}

// answered is told what came of the ping that heard has asked for.
func (b *breaker) answered(err error) doubt {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking, b.silent = false, err != nil
	if b.state != there || !b.silent || b.row < failuresAway {
		return noDoubt
	}
	b.why = cut(err.Error())
	b.goAway(b.now())
	return gone
}

// goAway has nobody wait for the upstream; b.mu is held.
func (b *breaker) goAway(now time.Time) {
	b.state, b.since, b.took, b.row, b.silent = away, now, nil, 0, false
}

// count counts failures in a row; b.mu is held.
func (b *breaker) count(tenant string, failed bool, v verdict) {
	if !failed {
		b.row, b.rowOf, b.silent = 0, "", false
		if b.well[0].tenant != tenant {
			b.well[1] = b.well[0]
		}
		b.well[0] = v
		return
	}
	if b.row++; b.row == 1 {
		b.rowOf = tenant
	} else if b.rowOf != tenant {
		b.rowOf = ""
	}
}

// isTheTenants reports whether the failures in a row are rather their tenant's doing; b.mu is held.
func (b *breaker) isTheTenants(now time.Time) bool {
	return b.rowOf != "" && slices.ContainsFunc(b.well[:], func(v verdict) bool {
		return v.tenant != b.rowOf && !v.at.IsZero() && now.Sub(v.at) <= lately
	})
}

// slowIsTheTenants reports whether all scans that are remembered are one tenant's, and another one's had verdicts lately in good time; b.mu is held.
func (b *breaker) slowIsTheTenants(now time.Time) bool {
	of := b.took[0].tenant
	if slices.ContainsFunc(b.took, func(s sample) bool { return s.tenant != of }) {
		return false
	}
	return slices.ContainsFunc(b.well[:], func(v verdict) bool {
		return v.tenant != of && v.quick && now.Sub(v.at) <= lately
	})
}

func reason(said event.Scan, took time.Duration) string {
	if said.Why != "" {
		return said.Why
	}
	return "it took " + took.Round(time.Millisecond).String()
}

// median is that of the tenants' medians, the lower one of two; b.mu is held.
func (b *breaker) median() time.Duration {
	if len(b.took) < fewSamples {
		return 0
	}
	of := map[string][]time.Duration{}
	for _, s := range b.took {
		of[s.tenant] = append(of[s.tenant], s.took)
	}
	medians := make([]time.Duration, 0, len(of))
	for _, list := range of {
		medians = append(medians, middle(list))
	}
	return middle(medians)
}

func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[(len(list)-1)/2]
}

// pinged is told whether the upstream has answered a ping. It returns false once no more are needed.
func (b *breaker) pinged(err error) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.state == there:
		return false
	case err != nil:
		b.state, b.why = away, cut(err.Error())
	case b.state == away:
		b.state, b.passed = tested, 0
	}
	return true
}

// isAway reports whether nobody is to wait for the upstream any more.
func (b *breaker) isAway() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == away
}

// show gives the state, since when, and why.
func (b *breaker) show() (state breakerState, since time.Time, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.since, b.why
}
