package web

import (
	"time"

	"kanmon/internal/view/chart"
	"kanmon/internal/view/find"
)

// A tryLine is an attempt with its phases as bars.
type tryLine struct {
	find.ToldTry
	Bars []stepBar
}

// A stepBar is a phase: when it was in the attempt, and how long.
type stepBar struct {
	find.ToldStep
	Bar chart.Bar
}

// tryOf draws where the time of an attempt went. The phases follow each other.
func tryOf(t *find.ToldTry) tryLine {
	l := tryLine{ToldTry: *t}
	var whole time.Duration
	for _, s := range t.Steps {
		whole += time.Duration(s.Seconds * float64(time.Second))
	}
	var at time.Duration
	for _, s := range t.Steps {
		took := time.Duration(s.Seconds * float64(time.Second))
		kind := chart.Other
		switch {
		case s.Drip || s.Name == "held":
			kind = chart.Bad
		case took > felt:
			kind = chart.Wait
		}
		l.Bars = append(l.Bars, stepBar{s, chart.Bar{Begin: at, Took: took, Of: whole, Kind: kind}})
		at += took
	}
	return l
}

// felt is from when on a phase is what somebody waits for.
const felt = 10 * time.Second
