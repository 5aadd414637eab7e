package timing

import (
	"math"
	"time"
)

// Numbers of the detector. doc.go says where they come from.
const (
	MaxKeys = 10_000         // (sending IP × provider)
	Again   = 6 * time.Hour  // a finding that comes back within this continues
	Forgets = 24 * time.Hour // a finding of a key without mail ends
	Frozen  = 7 * 24 * time.Hour

	suspicious    = 5.0  // of evidence, from which on mail is split and the scope is looked at
	enough        = 10.7 // of evidence, for a finding
	enoughRefused = 7.5  // of refused connections, of which it takes three
	heldAt        = 14.0 // evidence of a finding grows no further: it has to be able to end
	over          = 1.0  // a finding ends below

	needHistory = 24 // values of the key's own
	needOthers  = 5  // mails of other IPs to compare with
)

// A Detector remembers what mails took and tells what is unusual in it. It is for one goroutine.
type Detector struct {
	keys    map[pair]*key
	places  map[string]*place
	sources map[string]*source
	order   []*key // for eviction, with a hand that goes round
	hand    int
	room    int

	began time.Time
	now   float64 // seconds since
	votes voting  // of all sending IPs
	ours  breadth // a finding of scope Everything

	pens   pool[[heldMost]mail] // what few keys have at a time
	claims pool[claim]

	out []Finding
}

type pair struct{ ip, provider string }

// New makes a detector for MaxKeys keys.
func New() *Detector { return newDetector(MaxKeys) }

func newDetector(room int) *Detector {
	return &Detector{keys: map[pair]*key{}, places: map[string]*place{}, sources: map[string]*source{}, room: room, out: make([]Finding, 0, 8)}
}

// Keys gives how many (sending IP × provider) are remembered.
func (d *Detector) Keys() int { return len(d.keys) }

// Observe takes what a mail tells and gives what has changed; the slice is valid until the next call. Times that go back count as now.
func (d *Detector) Observe(o *Observation) []Finding {
	d.out = d.out[:0]
	d.tick(o.At)
	k := d.keyOf(o.IP, o.Provider)
	gap := d.now - k.seen
	k.seen = d.now
	if !o.Waits {
		k.mails++
		d.drips(k, o)
	}
	if o.New {
		d.dialled(k, o)
	}
	if !o.Refused && !o.Stalled {
		m := k.measure(o, gap)
		if !o.Waits {
			k.place.remember(k, &m)
			d.vote(k, &m)
			if o.SplitFrom != "" && o.SplitFrom != o.IP {
				d.control(o, &m)
			}
		}
		d.hold(k, &m)
	}
	d.release(k.place)
	d.endings(k)
	d.sweep()
	return d.out
}

// tick lets time go forward.
func (d *Detector) tick(at time.Time) {
	if d.began.IsZero() {
		d.began = at
	}
	d.now = max(d.now, at.Sub(d.began).Seconds())
}

func (d *Detector) timeOf(seconds float64) time.Time {
	return d.began.Add(time.Duration(seconds * float64(time.Second)))
}

// hash is FNV-1a: hosts and tenants are compared by it.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// grow is R ← (1+R)·e in logarithms.
func grow(lnR, lnE float64) float64 {
	if lnR > 30 {
		return lnR + lnE
	}
	return math.Log1p(math.Exp(lnR)) + lnE
}
