package main

import (
	"slices"
	"time"
)

// Delays are quantiles of delays. Where Late is not zero, so many mails had not arrived at the end: they count as arriving then, and
// the quantiles are lower bounds.
type delays struct {
	N, Late               int
	Median, P95, P99, Max time.Duration
}

func delaysOf(mails []mail, end time.Duration) delays {
	d := delays{N: len(mails)}
	if d.N == 0 {
		return d
	}
	var samples []time.Duration
	for _, m := range mails {
		if len(m.arrivals) == 0 {
			d.Late++
			m.arrivals = []time.Duration{end}
		}
		samples = append(samples, m.delay())
	}
	slices.Sort(samples)
	d.Median, d.P95, d.P99, d.Max = samples[rank(d.N, 50)], samples[rank(d.N, 95)], samples[rank(d.N, 99)], samples[d.N-1]
	return d
}

// rank is the place, from 0, of the smallest of n sorted samples that so many per cent of them do not exceed.
func rank(n, percent int) int { return max(0, (n*percent+99)/100-1) }

// A share is a point of a distribution: so many per cent of the mails arrived with no larger delay.
type share struct {
	percent int
	delay   time.Duration
}

// distribution has a point for each per cent, as far as mails have arrived.
func distribution(mails []mail) (points []share) {
	var samples []time.Duration
	for _, m := range mails {
		if len(m.arrivals) > 0 {
			samples = append(samples, m.delay())
		}
	}
	slices.Sort(samples)
	for percent := range 101 {
		if at := rank(len(mails), percent); at < len(samples) {
			points = append(points, share{percent: percent, delay: samples[at]})
		}
	}
	return points
}

// A second is what became of the mails that were due in one second of an experiment.
type second struct {
	at     int
	delays delays
}

func bySecond(mails []mail, end time.Duration) (out []second) {
	for len(mails) > 0 { // they are sorted by due
		at := int(mails[0].due / time.Second)
		n := slices.IndexFunc(mails, func(m mail) bool { return int(m.due/time.Second) != at })
		if n < 0 {
			n = len(mails)
		}
		out = append(out, second{at: at, delays: delaysOf(mails[:n], end)})
		mails = mails[n:]
	}
	return out
}
