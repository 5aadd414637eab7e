package shape

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever comes when, a provider gets no more in any such time than it takes in it, and whoever has enough to send gets the better part of that through.
func TestNoTimeHasMoreThanAProviderTakesInIt(t *testing.T) {
	for _, amount := range []int64{1, 2, 3, 4, 5, 6, 9, 10, 20, 60, 100, 1000} {
		for _, shared := range []bool{false, true} {
			m, c := newMemory()
			of, err := Compile("orange", []Limit{{Count: NewConnections, Amount: amount, Per: time.Minute, Keep: true}}, shared)
			if err != nil {
				t.Fatalf("%d: %v", amount, err)
			}
			random := rand.New(rand.NewPCG(uint64(amount), 1))
			var passed []time.Time
			begun := c.now
			for c.now.Sub(begun) < 20*time.Minute {
				for range random.IntN(int(amount) + 2) { // a burst, with silence before it now and then
					if l, full := m.Connect(of, ip, [...]string{"acme", "blue"}[random.IntN(2)], false, false); !full.Is() {
						passed = append(passed, c.now)
						l.Close()
					}
				}
				c.now = c.now.Add(time.Duration(random.Int64N(int64(4*time.Second)) + 1))
			}
			most, first := 0, 0
			for i, at := range passed {
				for at.Sub(passed[first]) >= time.Minute {
					first++
				}
				most = max(most, i-first+1)
			}
			if most > int(amount) {
				t.Errorf("%d in a minute, shared %v: %d have passed in one", amount, shared, most)
			}
			if least := int(20 * amount * 9 / 20); len(passed) < least {
				t.Errorf("%d in a minute, shared %v: %d have passed in 20, want %d", amount, shared, len(passed), least)
			}
		}
	}
}
