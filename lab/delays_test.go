package main

import (
	"reflect"
	"testing"
	"time"
)

// arrived is a mail with a delay.
func arrived(due, delay time.Duration) mail {
	return mail{due: due, arrivals: []time.Duration{due + delay, due + delay + time.Hour}}
}

// TestDelays counts a mail that has not arrived with the time until the end, and first receipts only.
func TestDelays(t *testing.T) {
	var mails []mail
	for n := 99; n >= 1; n-- {
		mails = append(mails, arrived(time.Second, time.Duration(n)*time.Millisecond))
	}
	mails = append(mails, mail{due: 2 * time.Second})
	got := delaysOf(mails, 10*time.Second)
	want := delays{N: 100, Late: 1, Median: 50 * time.Millisecond, P95: 95 * time.Millisecond, P99: 99 * time.Millisecond, Max: 8 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := delaysOf(nil, time.Second); got != (delays{}) {
		t.Errorf("no mails: %+v", got)
	}
	one := delaysOf([]mail{arrived(0, time.Second)}, time.Minute)
	if one.Median != time.Second || one.P95 != time.Second || one.Max != time.Second {
		t.Errorf("one mail: %+v", one)
	}
}

// TestDistribution ends at the share that has arrived.
func TestDistribution(t *testing.T) {
	mails := []mail{arrived(0, 4*time.Second), arrived(0, 2*time.Second), {due: 0}, {due: 0}}
	points := distribution(mails)
	at := map[int]time.Duration{}
	for _, p := range points {
		at[p.percent] = p.delay
	}
	want := map[int]time.Duration{0: 2 * time.Second, 25: 2 * time.Second, 26: 4 * time.Second, 50: 4 * time.Second}
	for percent, delay := range want {
		if at[percent] != delay {
			t.Errorf("%d %% arrived within %v, want %v", percent, at[percent], delay)
		}
	}
	if last := points[len(points)-1].percent; last != 50 {
		t.Errorf("it goes to %d %%, but 50 %% have arrived", last)
	}
}

func TestBySecond(t *testing.T) {
	mails := []mail{arrived(100*time.Millisecond, time.Second), arrived(900*time.Millisecond, 3*time.Second), {due: 5500 * time.Millisecond}}
	got := bySecond(mails, 10*time.Second)
	want := []second{
		{0, delays{N: 2, Median: time.Second, P95: 3 * time.Second, P99: 3 * time.Second, Max: 3 * time.Second}},
		{5, delays{N: 1, Late: 1, Median: 4500 * time.Millisecond, P95: 4500 * time.Millisecond, P99: 4500 * time.Millisecond, Max: 4500 * time.Millisecond}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestRates counts first receipts by when they arrived, not by when they were due, and none before the start in a line.
func TestRates(t *testing.T) {
	all := func(mail) bool { return true }
	mails := []mail{
		arrived(-2*time.Second, 1500*time.Millisecond), // half a second before the start
		arrived(-time.Second, 1500*time.Millisecond),
		arrived(0, 2*time.Second),
		arrived(time.Second, time.Second), // at the same time
		arrived(0, 7*time.Second),
		{due: time.Second}, // never
	}
	if got := rate(mails, all, 0, 4*time.Second); got != 0.75 {
		t.Errorf("rate %v a second, want 3 in 4 s", got)
	}
	if got := rate(mails, all, 2*time.Second, 7*time.Second); got != 0.4 {
		t.Errorf("rate %v a second, want 2 in 5 s: the beginning counts, the end does not", got)
	}
	if got := longestPause(mails, all, 0, 8*time.Second); got != 5*time.Second {
		t.Errorf("longest pause %v, want 5s", got)
	}
	if got := longestPause(mails, all, 7*time.Second, 20*time.Second); got != 13*time.Second {
		t.Errorf("longest pause %v, want 13s until the end", got)
	}
	if got, want := cumulative(mails, all, 7500*time.Millisecond), []int{0, 1, 1, 3, 3, 3, 3, 3, 4}; !reflect.DeepEqual(got, want) {
		t.Errorf("line %v, want %v", got, want)
	}
}
