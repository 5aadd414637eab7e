package trial

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of tries. A try looks to a receiver as a client that says whom it would write to, and then does not: a few tell nobody anything, and
// many are what receivers know of list washers and of scanners. The numbers leave room for a person who looks into one trouble, not for a program.
const (
	Again    = time.Minute // between two tries at one provider, or at one MX that is of none
	EachDay  = 20          // there, within 24 hours
	AllDay   = 100         // everywhere
	AtOnce   = 2           // tries
	Together = 8           // dialogues of one try
)

const day = 24 * time.Hour

// A Desk says whether it is time for one more try. The zero Desk is ready. It forgets with the process.
type Desk struct {
	mu      sync.Mutex
	tried   []tried // within a day, the newest last
	running int
}

type tried struct {
	where string
	at    time.Time
	by    string
}

// Where names what counts as one receiver: the provider or, of an MX that is of none, its netblock.
func Where(mx netip.Addr, provider string) string {
	if provider != "" {
		return provider
	}
	bits := 24
	if mx.Is6() {
		bits = 48
	}
	block, _ := mx.Prefix(bits) // it has as many bits
	return block.String()
}

// Begin counts a try, and gives what is to be called at its end.
func (d *Desk) Begin(where, by string, now time.Time) (end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = slices.DeleteFunc(d.tried, func(t tried) bool { return now.Sub(t.at) >= day })
	var there []tried
	for _, t := range d.tried {
		if t.where == where {
			there = append(there, t)
		}
	}
	switch {
	case d.running >= AtOnce:
		return nil, fmt.Errorf("%d tries run already: wait for one of them", d.running)
	case len(there) > 0 && now.Sub(there[len(there)-1].at) < Again:
		last := there[len(there)-1]
		wait := (Again - now.Sub(last.at)).Round(time.Second)
		return nil, fmt.Errorf("%s was tried %s ago, by %s: one try a minute, so again in %s. What receivers see of a try is a client that writes to nobody; often, "+
			"that costs reputation", where, now.Sub(last.at).Round(time.Second), last.by, max(wait, time.Second))
	case len(there) >= EachDay:
		wait := (day - now.Sub(there[0].at)).Round(time.Minute)
		return nil, fmt.Errorf("%s was tried %d times within 24 hours, which is all there is: again in %s", where, len(there), wait)
	case len(d.tried) >= AllDay:
		wait := (day - now.Sub(d.tried[0].at)).Round(time.Minute)
		return nil, fmt.Errorf("%d tries were made within 24 hours, which is all there is: again in %s", len(d.tried), wait)
	}
	d.tried = append(d.tried, tried{where, now, by})
	d.running++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running--
	}), nil
}
