package main

import (
	"slices"
	"time"
)

// receipts gives when the mails that fit arrived first, in order.
func receipts(mails []mail, fits func(mail) bool) (at []time.Duration) {
	for _, m := range mails {
		if fits(m) && len(m.arrivals) > 0 {
			at = append(at, m.arrivals[0])
		}
	}
	slices.Sort(at)
	return at
}

// rate counts first receipts a second between two times.
func rate(mails []mail, fits func(mail) bool, from, until time.Duration) float64 {
	count := 0
	for _, at := range receipts(mails, fits) {
		if at >= from && at < until {
			count++
		}
	}
	return float64(count) / (until - from).Seconds()
}

// longestPause is the longest time without a first receipt between two times.
func longestPause(mails []mail, fits func(mail) bool, from, until time.Duration) (longest time.Duration) {
	last := from
	for _, at := range receipts(mails, fits) {
		if at < from || at >= until {
			continue
		}
		longest = max(longest, at-last)
		last = at
	}
	return max(longest, until-last)
}

// cumulative counts first receipts from the start up to each second.
func cumulative(mails []mail, fits func(mail) bool, lasted time.Duration) []int {
	return upToSeconds(receipts(mails, fits), lasted)
}

func upToSeconds(times []time.Duration, lasted time.Duration) []int {
	counts := make([]int, int(lasted.Seconds())+2)
	for _, at := range times {
		if at >= 0 {
			counts[int(at.Seconds())+1]++
		}
	}
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	return counts
}
