package timing_test

import (
	"testing"

	"kanmon/internal/event/timing"
)

func TestLessThanASecondMoreTakesMoreEvidenceToBeTold(t *testing.T) {
	for seed := range uint64(4) {
		for _, c := range []struct {
			more        float64
			least, most float64 // evidence when it is told; a mail gives 3 at most
		}{{.7, 12.7, 14}, {5, 10.7, 13.7}} {
			w := newWorld(t, seed+80, 4)
			w.run(history)
			w.trouble = func(o *timing.Observation) {
				if key(o) {
					add(o, timing.Banner, c.more)
				}
			}
			for n := 0; n < 2000 && len(here(w.told)) == 0; n++ {
				w.send()
			}
			if told := here(w.told); len(told) != 1 || told[0].Evidence < c.least || told[0].Evidence > c.most {
				t.Errorf("seed %d, %.1f s more: %+v, it has to be told once, at an evidence of %.1f to %.1f", seed, c.more, told, c.least, c.most)
			}
		}
	}
}
