package tally

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/view/history"
)

// Spans are durations of one phase.
type Spans struct {
	Count    int64
	P50, P90 float64 // seconds; +Inf: longer than history tells apart
}

// Known reports whether there were any.
func (s Spans) Known() bool { return s.Count > 0 }

// A Phase is how long one took, and how long a week before.
type Phase struct {
	Name        string
	Now, Before Spans
}

// Slow reports whether it takes so much longer than a week before that somebody waits.
func (p *Phase) Slow() bool {
	const (
		felt = 1.0 // second
		many = 3
		few  = 10 // mails that say nothing yet
	)
	return p.Now.Count >= few && p.Now.P90 >= felt && (!p.Before.Known() || p.Now.P90 >= many*p.Before.P90)
}

// order is that in which a session goes through phases.
var order = []string{"dial", "banner", "ehlo", "starttls", "handshake", "ehlo_tls", "mail", "rcpt", "data", "body", "dot"}

// spansOf gives the middle and the worst tenth of what is counted in buckets: inside of one evenly, as Prometheus has it.
func spansOf(counts *[len(history.Buckets) + 1]int64) (s Spans) {
	for _, n := range counts {
		s.Count += n
	}
	s.P50, s.P90 = quantile(counts, s.Count, 0.5), quantile(counts, s.Count, 0.9)
	return s
}

func quantile(counts *[len(history.Buckets) + 1]int64, all int64, q float64) float64 {
	if all == 0 {
		return math.NaN()
	}
	rank := q * float64(all)
	var below int64
	for i, n := range counts[:len(history.Buckets)] {
		if float64(below+n) >= rank && n > 0 {
			least := 0.0
			if i > 0 {
				least = history.Buckets[i-1]
			}
			return least + (history.Buckets[i]-least)*(rank-float64(below))/float64(n)
		}
		below += n
	}
	return math.Inf(1)
}

// Phases gives what phases took, in their order, and a week before. Those of which nothing is known are left out.
func Phases(ctx context.Context, store history.Store, of Subject, from, to time.Time) ([]Phase, error) {
	now, err := phases(ctx, store, of, from, to)
	if err != nil {
		return nil, err
	}
	before, err := phases(ctx, store, of, from.Add(-7*day), to.Add(-7*day))
	if err != nil {
		return nil, err
	}
	var list []Phase
	for name, spans := range now {
		list = append(list, Phase{name, spans, before[name]})
	}
	slices.SortFunc(list, func(a, b Phase) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
	return list, nil
}

func phases(ctx context.Context, store history.Store, of Subject, from, to time.Time) (map[string]Spans, error) {
	times, err := store.Times(ctx, history.TimesOf{From: from, To: to, Provider: of.Provider, SendingIP: of.SendingIP})
	if err != nil {
		return nil, err
	}
	sums := map[string]*[len(history.Buckets) + 1]int64{}
	for i := range times {
		sum := sums[times[i].Phase]
		if sum == nil {
			sum = new([len(history.Buckets) + 1]int64)
			sums[times[i].Phase] = sum
		}
		for b, n := range times[i].Counts {
			sum[b] += n
		}
	}
	all := map[string]Spans{}
	for phase, sum := range sums {
		all[phase] = spansOf(sum)
	}
	return all, nil
}

// A Course is what one phase took, in steps of time.
type Course struct {
	Phase string
	From  time.Time
	Step  time.Duration
	Steps []Spans // Count 0: nothing is known
}

// CourseOf gives that of one phase.
func CourseOf(ctx context.Context, store history.Store, of Subject, phase string, from, to time.Time, step time.Duration) (*Course, error) {
	c := &Course{Phase: phase, From: from.UTC().Truncate(step), Step: step}
	times, err := store.Times(ctx, history.TimesOf{From: c.From, To: to, Provider: of.Provider, SendingIP: of.SendingIP, Phase: phase, Step: step})
	if err != nil {
		return nil, err
	}
	sums := make([][len(history.Buckets) + 1]int64, (to.Sub(c.From)+step-1)/step)
	for i := range times {
		if at := int(times[i].Begin.Sub(c.From) / step); at >= 0 && at < len(sums) {
			for b, n := range times[i].Counts {
				sums[at][b] += n
			}
		}
	}
	for i := range sums {
		c.Steps = append(c.Steps, spansOf(&sums[i]))
	}
	return c, nil
}

// timesByIP gives what one phase took from each sending IP.
func timesByIP(ctx context.Context, store history.Store, of Subject, phase string, from, to time.Time) (map[netip.Addr]Spans, error) {
	times, err := store.Times(ctx, history.TimesOf{From: from, To: to, Provider: of.Provider, Phase: phase, ByIP: true})
	if err != nil {
		return nil, err
	}
	sums := map[netip.Addr]*[len(history.Buckets) + 1]int64{}
	for i := range times {
		sum := sums[times[i].SendingIP]
		if sum == nil {
			sum = new([len(history.Buckets) + 1]int64)
			sums[times[i].SendingIP] = sum
		}
		for b, n := range times[i].Counts {
			sum[b] += n
		}
	}
	all := map[netip.Addr]Spans{}
	for ip, sum := range sums {
		all[ip] = spansOf(sum)
	}
	return all, nil
}
