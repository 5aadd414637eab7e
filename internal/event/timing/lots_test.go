package timing_test

import (
	"testing"

	"kanmon/internal/event/timing"
)

func TestWhatOnlyFewMailsTellOfIsToldWhenThoseAreSlow(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(t, seed+90, 4)
		reused := func(o *timing.Observation) {
			if w.r.IntN(8) > 0 { // seven mails of eight go over a connection that stands
				o.New = false
				o.Took[timing.Dial], o.Took[timing.Banner], o.Took[timing.Hello] = timing.Absent, timing.Absent, timing.Absent
			}
		}
		w.trouble = reused
		w.run(4 * history)
		greeted := 0
		w.trouble = func(o *timing.Observation) {
			if reused(o); key(o) && o.New {
				greeted++
				add(o, timing.Banner, 20)
			}
		}
		for told := len(w.told); greeted < 12 && len(here(w.told[told:])) == 0; {
			w.send()
		}
		if told := here(w.told); len(told) != 1 || told[0].Phase != timing.Banner || told[0].IP != ip(1) {
			t.Errorf("seed %d: after %d greetings 20 s later %+v, it has to be one of the greeting", seed, greeted, told)
		}
	}
}

func TestASlowWindowIsFoundByItsLargeBodiesWhereTheDotTakesLong(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(t, seed+94, 4)
		sizes := func(o *timing.Observation) {
			o.Size = 8 << 10
			if w.r.IntN(10) == 0 {
				o.Size = (100 + w.r.IntN(200)) << 10
			}
			o.Took[timing.Write] = max(0, float64(o.Size-64<<10)) / 8e6
			o.Took[timing.Dot] *= 16
		}
		w.trouble = sizes
		w.run(4 * history)
		large := 0
		w.trouble = func(o *timing.Observation) {
			if sizes(o); key(o) && o.Size > 96<<10 {
				large++
				o.Took[timing.Dot] += float64(64<<10) / 20e3
				o.Took[timing.Write] = float64(o.Size-64<<10) / 20e3
			}
		}
		for told := len(w.told); large < 10 && len(here(w.told[told:])) == 0; {
			w.send()
		}
		if told := here(w.told); len(told) != 1 || told[0].Phase != timing.Write || told[0].IP != ip(1) {
			t.Errorf("seed %d: after %d large bodies at 20 KB/s %+v, it has to be one of the writing", seed, large, told)
		}
	}
}
