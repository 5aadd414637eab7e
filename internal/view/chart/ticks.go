package chart

import "time"

// mostTicks is how many fit below a chart of 360 pixels.
const mostTicks = 5

// tickSteps are the distances between ticks.
var tickSteps = [...]time.Duration{
	time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 48 * time.Hour, 4 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 182 * 24 * time.Hour,
}

// ticks gives round times inside the frame, a little away from its edges.
func (f *Frame) ticks() (list []Mark) {
	whole := f.To.Sub(f.From)
	step := tickSteps[len(tickSteps)-1]
	for _, s := range tickSteps {
		if whole/s <= mostTicks {
			step = s
			break
		}
	}
	const day = 24 * time.Hour
	layout := "15:04"
	if step >= day || whole > 2*day {
		layout = "01-02"
	}
	if step < day && whole > 2*day {
		layout = "01-02 15:04"
	}
	// A clock's round times are counted from its own midnight, so that they stay round where the zone is not a whole step from UTC.
	begin := f.local(f.From)
	at := time.Date(begin.Year(), begin.Month(), begin.Day(), 0, 0, 0, 0, begin.Location())
	for ; !at.After(f.To); at = at.Add(step) {
		const edge = 0.04
		if part := float64(at.Sub(f.From)) / float64(whole); part >= edge && part <= 1-edge {
			list = append(list, Mark{At: at, Label: f.local(at).Format(layout)})
		}
	}
	return list
}
