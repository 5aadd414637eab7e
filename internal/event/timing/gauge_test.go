package timing

import (
	"math"
	"testing"
)

func TestWhatAllKeysHaveInCommonIsInTheBaseAndNoResidualChanges(t *testing.T) {
	p := newPlace("p")
	p.base[Dot] = .5
	p.sized[usualClass], p.sized[5] = -.4, .3
	for _, beside := range []float32{-1.8, -1.6, -1.7, -1.1} {
		k := &key{place: p, number: uint16(len(p.keys))}
		k.beside[Dot] = beside
		p.keys = append(p.keys, k)
	}
	before := make([]float32, 0, len(p.keys))
	for _, k := range p.keys {
		before = append(before, k.usually(Dot)+p.sized[5])
	}
	p.recentre(Dot)
	sum := float32(0)
	for i, k := range p.keys {
		sum += k.beside[Dot]
		if after := k.usually(Dot) + p.sized[5]; math.Abs(float64(after-before[i])) > 1e-5 {
			t.Errorf("key %d usually took %v, and takes %v now", i, before[i], after)
		}
	}
	if math.Abs(float64(sum)) > 1e-5 || p.sized[usualClass] != 0 {
		t.Errorf("the sum beside the base is %v, the usual size's share %v; both have to be 0", sum, p.sized[usualClass])
	}
}
