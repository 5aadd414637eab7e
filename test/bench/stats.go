package main

import (
	"fmt"
	"slices"
	"time"
)

// A spread is the median of some values, with the least and the greatest of them.
type spread struct {
	median, least, most float64
	n                   int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (v[len(v)/2-1] + median) / 2
	}
	return spread{median, v[0], v[len(v)-1], len(v)}
}

// String gives the median and, in parentheses, the range, with as many digits as mean something.
func (s spread) String() string {
	if s.n == 0 {
		return "–"
	}
	digits := 0
	switch {
	case s.median < 10:
		digits = 2
	case s.median < 100:
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, s.median, digits, s.least, digits, s.most)
}

// of gives the spread of a figure of a contender over the rounds that it took part in.
func of(rounds []round, name string, figure func(*sample) float64) spread {
	var values []float64
	for _, r := range rounds {
		if s := r[name]; s != nil {
			values = append(values, figure(s))
		}
	}
	return spreadOf(values)
}

// compared gives the spread of a comparison of two contenders, round by round: what slows the machine slows both.
func compared(rounds []round, name, other string, figure func(a, b *sample) float64) spread {
	var values []float64
	for _, r := range rounds {
		if a, b := r[name], r[other]; a != nil && b != nil {
			values = append(values, figure(a, b))
		}
	}
	return spreadOf(values)
}

func ratio(a, b *sample) float64 {
	if b.rate() == 0 {
		return 0
	}
	return a.rate() / b.rate()
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
