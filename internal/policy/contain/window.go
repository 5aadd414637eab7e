package contain

import "math"

// A counter is what is counted of a subject.
type counter uint8

const (
	mails     counter = iota // MAILs
	nulls                    // of them without a sender
	tried                    // RCPTs
	answered                 // RCPTs with an answer that is the recipient's or the sender's, not the moment's
	unknown                  // of them: no such recipient
	rejected                 // of them: the sender is refused
	judged                   // messages that were accepted or refused for what they are
	content                  // of them: refused
	refusedIP                // answers that our IP is listed or has no reputation
	followed                 // of them: only this tenant's mail is refused from the IP
	delivered                // messages accepted

	// The same, of providers with a name alone: what they say is a share of what they say, however much is accepted elsewhere.
	namedAnswered
	namedUnknown
	namedRejected
	namedJudged
	namedContent
	namedRefusedIP
	namedFollowed
	counters
)

// namedOf gives what of a counter is that of providers with a name; 0 for what is no matter of theirs.
var namedOf = [counters]counter{
	answered: namedAnswered, unknown: namedUnknown, rejected: namedRejected, judged: namedJudged, content: namedContent,
	refusedIP: namedRefusedIP, followed: namedFollowed,
}

// by returns what an answer of a receiver counts as.
func (n counts) by(named bool) counts {
	for of, c := range namedOf {
		if named && c != 0 {
			n[c] = n[of]
		}
	}
	return n
}

// named returns counts as if there were nobody but providers with a name.
func (n *counts) named() (only counts) {
	for of, c := range namedOf {
		if c != 0 {
			only[of] = n[c]
		}
	}
	return only
}

type counts [counters]uint32

// A window is a sliding one: the sum of the buckets of its last slots. Only slots in which something was counted have a
// bucket, so that a quiet account costs next to nothing. Slots never go back (see timeline).
type window struct {
	buckets []bucket // oldest first
	sum     counts
}

type bucket struct {
	slot int32
	n    counts
}

// add counts in a slot; the window is span slots wide, that one included.
func (w *window) add(slot, span int32, n *counts) {
	w.expire(slot, span)
	if last := len(w.buckets) - 1; last < 0 || w.buckets[last].slot != slot {
		w.buckets = append(w.buckets, bucket{slot: slot})
	}
	b := &w.buckets[len(w.buckets)-1]
	for i := range n {
		b.n[i] += n[i]
		w.sum[i] += n[i]
	}
}

func (w *window) expire(slot, span int32) {
	old := 0
	for old < len(w.buckets) && w.buckets[old].slot <= slot-span {
		for i, n := range &w.buckets[old].n {
			w.sum[i] -= n
		}
		old++
	}
	if old > 0 {
		w.buckets = w.buckets[:copy(w.buckets, w.buckets[old:])]
	}
}

func (w *window) clear() {
	w.buckets, w.sum = w.buckets[:0], counts{}
}

// The two windows of a subject: an hour in minutes, a day in hours.
type windows struct{ hour, day window }

const (
	hourSpan = 60
	daySpan  = 24
)

func (w *windows) add(minute int32, n *counts) {
	w.hour.add(minute, hourSpan, n)
	w.day.add(minute/60, daySpan, n)
}

func (w *windows) expire(minute int32) {
	w.hour.expire(minute, hourSpan)
	w.day.expire(minute/60, daySpan)
}

func (w *windows) clear() {
	w.hour.clear()
	w.day.clear()
}

// wilson returns the lower bound of a share of which bad of cases were seen (Wilson 1927): with few cases it is low, so
// that 3 of 5 are not taken for 60 %.
func wilson(bad, cases int, z float64) float64 {
	if cases <= 0 || bad <= 0 {
		return 0
	}
	n := float64(cases)
	p := min(float64(bad)/n, 1)
	z2 := z * z
	return max(0, (p+z2/(2*n)-z*math.Sqrt(p*(1-p)/n+z2/(4*n*n)))/(1+z2/n))
}
