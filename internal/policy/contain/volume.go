package contain

import (
	"math"
	"slices"
	"time"
)

// A volume is how many distinct recipients a subject reached in this hour of the wall clock, and what is allowed.
type volume struct {
	wallHour  int64
	jumps     uint32
	seen      sketch
	carried   uint8  // what a process before this one had of it, as in the history; whom that reached it does not say
	policy    uint32 // the Detector's when the allowance was computed
	distinct  float64
	allowance float64
	basis     string
	loud      bool // beyond the allowance in this hour
	spoiled   bool // contained for outcomes in this hour, or a part of it
	history   *history
}

// What an allowance rests on.
const (
	basisCold = "what all may"
	basisDay  = "its history at this time of the day"
	basisWeek = "its history at this time of the week"
	basisAny  = "its largest hour, since the clock jumped"
)

const (
	historyWeeks = 5 // so that what comes on the same day every month is known
	weekHours    = 7 * 24
	historyHours = historyWeeks * weekHours
)

// A history is the volume of each of the last 840 hours, in steps of a twelfth of a doubling: an octet each. Only subjects
// that once reached a quarter of what all may have one.
type history [historyHours]uint8

func encodeVolume(n float64) uint8 {
	if n < 1 {
		return 0
	}
	return uint8(min(255, 1+math.Round(12*math.Log2(n))))
}

func decodeVolume(code uint8) float64 {
	if code == 0 {
		return 0
	}
	return math.Exp2(float64(code-1) / 12)
}

func slotOf(hour int64) int {
	return int(hour - floorDiv(hour, historyHours)*historyHours)
}

// around returns the largest of an hour and those beside it: mail is an hour late, and summer time comes and goes.
func (h *history) around(hour int64) uint8 {
	return max(h[slotOf(hour-1)], h[slotOf(hour)], h[slotOf(hour+1)])
}

// reach counts a recipient as volume, and slows a subject that has more than its allowance.
func (d *Detector) reach(e *entry, hash uint64) {
	if e.seen.add(mix(hash, d.seed)) {
		was := d.volumeNow(e)
		if e.distinct = e.seen.estimate(); d.volumeNow(e) != was {
			d.mark(e)
		}
	}
	if e.distinct <= e.allowance {
		return
	}
	if e.kind == List {
		return // to write to many is what it is for
	}
	e.loud = true
	d.rise(e, &Reading{
		Signal: Volume, Window: "hour", Bad: int(e.distinct), Cases: int(e.distinct), Level: Slow, Threshold: e.allowance,
	})
}

// turnHour closes the hour if it has passed: what was sent in it becomes history, unless there were bad outcomes.
func (d *Detector) turnHour(e *entry) {
	hour, jumps := d.time.hour, d.time.jumps
	if e.wallHour == hour && e.jumps == jumps {
		if e.policy != d.policies { // what all may is another since
			d.allow(e)
			e.loud = e.loud && e.distinct > e.allowance
		}
		return
	}
	volume := d.volumeNow(e)
	if e.history == nil && volume > 0 {
		e.history = &history{}
	}
	if e.history != nil { // a row of before says the same: restoreHistory turns the hour likewise
		if !e.spoiled {
			e.history[slotOf(e.wallHour)] = volume
		}
		if e.jumps == jumps { // else nobody knows what was in between
			for h := max(e.wallHour+1, hour-historyHours); h < hour; h++ {
				e.history[slotOf(h)] = 0
			}
		}
	}
	e.wallHour, e.jumps = hour, jumps
	e.recountVolume()
	e.spoiled = e.outcomes
	d.allow(e)
}

// volumeNow returns what history would have of this hour if it were over; 0 where it is not learnt.
func (d *Detector) volumeNow(e *entry) uint8 {
	if e.history == nil && e.distinct <= d.cold(e)/4 && e.carried == 0 || e.spoiled {
		return 0
	}
	return max(encodeVolume(e.distinct), e.carried)
}

// recountVolume begins the count of the hour anew.
func (e *entry) recountVolume() {
	e.seen, e.distinct, e.loud, e.carried = sketch{}, 0, false, 0
	if e.Account == "" {
		e.owner.reached = sketch{}
	}
}

// reachedNow estimates how many distinct recipients a subject has had in this hour, also those that do not count against its allowance.
func (e *entry) reachedNow() float64 {
	if e.Account == "" {
		return max(e.distinct, e.owner.reached.estimate())
	}
	return e.distinct
}

// cold is what is allowed to those without history.
func (d *Detector) cold(e *entry) float64 {
	if e.Account == "" {
		return d.policy.TenantVolume
	}
	return d.policy.AccountVolume
}

// again is what a subject may exceed its largest hour by: the sketch's error, twice.
const again = 1.5

// allow computes the allowance of the hour: by this hour of the week when three weeks are known, by this hour of the day
// before, and never less than what all may.
func (d *Detector) allow(e *entry) {
	e.allowance, e.basis, e.policy = d.cold(e), basisCold, d.policies
	if e.history == nil {
		return
	}
	consider := func(volume float64, basis string) {
		if volume > e.allowance {
			e.allowance, e.basis = volume, basis
		}
	}
	if d.time.age < d.time.doubt {
		consider(again*decodeVolume(slices.Max(e.history[:])), basisAny)
		return
	}
	hour := e.wallHour
	day := uint8(0)
	for h := hour - 24; h > hour-historyHours; h -= 24 {
		day = max(day, e.history.around(h))
	}
	consider(again*decodeVolume(day), basisDay)
	weeks := min(int((d.time.age-e.born)/(weekHours*time.Hour)), historyWeeks-1)
	if weeks < 3 {
		return
	}
	same := make([]float64, 0, historyWeeks)
	for w := 1; w <= weeks; w++ {
		same = append(same, decodeVolume(e.history.around(hour-int64(w)*weekHours)))
	}
	middle := median(same)
	for i := range same {
		same[i] = math.Abs(same[i] - middle)
	}
	// 1.4826 makes a standard deviation of the MAD, of normal values.
	consider(d.policy.VolumeFactor*(middle+3*1.4826*median(same)), basisWeek)
}

// median sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
