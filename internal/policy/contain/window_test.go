package contain

import (
	"fmt"
	"hash/maphash"
	"math"
	"testing"

	"pgregory.net/rapid"

	"kanmon/internal/who/witness"
)

// A window's sum is that of what was counted in its span, whatever the order of additions and pauses.
func TestWindowIsTheSumOfItsSpan(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var w window
		var all []bucket
		span := rapid.Int32Range(1, 70).Draw(rt, "span")
		slot := int32(0)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			slot += rapid.SampledFrom([]int32{0, 0, 1, 2, 30, 60, 1500}).Draw(rt, "pause")
			if rapid.Bool().Draw(rt, "look") {
				w.expire(slot, span)
			} else {
				n := counts{}
				n[rapid.IntRange(0, int(counters)-1).Draw(rt, "counter")] = uint32(rapid.IntRange(0, 5).Draw(rt, "n"))
				w.add(slot, span, &n)
				all = append(all, bucket{slot, n})
			}
			var want counts
			for _, b := range all {
				if b.slot > slot-span {
					for i := range want {
						want[i] += b.n[i]
					}
				}
			}
			if w.sum != want {
				rt.Fatalf("slot %d: %v, want %v", slot, w.sum, want)
			}
			if len(w.buckets) > int(span) {
				rt.Fatalf("%d buckets in %d slots", len(w.buckets), span)
			}
		}
	})
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		bad, cases int
		z, want    float64
	}{
		{0, 0, 3, 0}, {0, 100, 3, 0}, {3, 5, 3, 0.1377}, {3, 5, 1.96, 0.2307}, {50, 100, 1.96, 0.4038}, {400, 1000, 3, 0.3547}, {5, 5, 3, 0.3571},
	} {
		if got := wilson(c.bad, c.cases, c.z); math.Abs(got-c.want) > 0.0001 {
			t.Errorf("%d of %d, z %v: %.4f, want %.4f", c.bad, c.cases, c.z, got, c.want)
		}
	}
}

// Of 200 sketches each, nine of ten are within 25 %, and the mean is right.
func TestSketchCounts(t *testing.T) {
	for _, n := range []int{1, 10, 50, 200, 1000, 5000, 100000} {
		mean, near := 0.0, 0
		for seed := range uint64(200) {
			var s sketch
			for i := range n {
				h := mix(uint64(i)+seed<<32, 1)
				s.add(h)
				if s.add(h) {
					t.Fatal("the same hash is new twice")
				}
			}
			e := s.estimate() / float64(n)
			mean += e / 200
			if math.Abs(e-1) <= 0.25 {
				near++
			}
		}
		if math.Abs(mean-1) > 0.05 || near < 180 {
			t.Errorf("%d: mean %.3f, %d of 200 within a quarter", n, mean, near)
		}
	}
}

func TestHalvesForget(t *testing.T) {
	var h halves
	for i := range uint64(100) {
		h.add(halfDay-1, mix(i, 0))
	}
	h.add(2*halfDay-1, mix(1, 0))
	if e := h.estimate(); e < 80 || e > 120 {
		t.Errorf("after half a day: %v", e)
	}
	h.expire(2 * halfDay)
	if e := h.estimate(); e > 2 {
		t.Errorf("after a day: %v", e)
	}
}

// receiver is a provider with a name.
func receiver(n int) witness.Mark {
	return witness.Called(fmt.Sprint("provider ", n), func(name string) uint64 { return maphash.String(nameSeed, name) })
}

var nameSeed = maphash.MakeSeed()

func TestOrigins(t *testing.T) {
	fill := func(n ...int) (o origins) {
		for who, n := range n {
			for range n {
				o.add(0, receiver(who+1))
			}
		}
		return o
	}
	for _, c := range []struct {
		n     []int
		count int
	}{
		{nil, 0},
		{[]int{50}, 1},
		{[]int{50, 2, 2}, 1},
		{[]int{50, 6}, 1},
		{[]int{50, 10}, 2},
		{[]int{10, 10, 10}, 3},
		{[]int{10, 10, 10, 10, 10}, 5},
		{[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 3},
	} {
		o := fill(c.n...)
		if got := o.count(); got != c.count {
			t.Errorf("%v: %d, want %d", c.n, got, c.count)
		}
	}
	o := fill(10, 30)
	if who, share := o.most(); who != receiver(2) || share != 0.75 {
		t.Errorf("most: %d, %v", who, share)
	}
	o.expire(halfDay)
	if who, share := o.most(); who != receiver(2) || share != 0.75 || o.n[0]+o.n[1]+o.n[2]+o.n[3] != 20 {
		t.Errorf("not halved: %v", o.n)
	}
	o.expire(20 * halfDay)
	if o.count() != 0 {
		t.Errorf("not forgotten: %v", o.n)
	}
}

func TestVolumeCode(t *testing.T) {
	for n := 1.0; n < 2e6; n *= 1.7 {
		if got := decodeVolume(encodeVolume(n)); math.Abs(got/n-1) > 0.03 {
			t.Errorf("%v is kept as %v", n, got)
		}
	}
	if decodeVolume(encodeVolume(0)) != 0 {
		t.Error("nothing is kept as something")
	}
}
