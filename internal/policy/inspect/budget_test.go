package inspect

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever is asked for, grown and given back in whatever order: never is more taken than there is, no tenant has more than its part, and in
// the end all is given back and nobody waits.
func TestAllRoomIsGivenBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const most = 1 << 20
		b := NewBudget(most)
		var holds []*Hold
		pick := func() *Hold { return holds[rapid.IntRange(0, len(holds)-1).Draw(rt, "which")] }
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				tenant := fmt.Sprint(rapid.IntRange(0, 5).Draw(rt, "tenant"))
				holds = append(holds, b.Ask(tenant, rapid.Int64Range(0, most/3).Draw(rt, "octets")))
			case 2:
				if len(holds) > 0 {
					pick().Grow(rapid.Int64Range(0, most/3).Draw(rt, "more"))
				}
			case 3:
				if len(holds) > 0 {
					pick().Give()
				}
			}
			checkBudget(rt, b, holds)
		}
		for _, h := range holds {
			h.Give()
		}
		if octets, tenants, waiting := b.Taken(); octets != 0 || tenants != 0 || waiting != 0 || len(b.turns.of) != 0 || b.turns.order.Len() != 0 {
			rt.Fatalf("%d octets of %d tenants, %d waiting", octets, tenants, waiting)
		}
	})
}

func checkBudget(t *rapid.T, b *Budget, holds []*Hold) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum, of := int64(0), map[string]int64{}
	for _, h := range holds {
		sum += h.taken
		of[h.tenant] += h.taken
		if h.waiting && h.granted || h.taken > 0 && !h.granted || h.used > h.taken {
			t.Fatalf("%+v", h)
		}
	}
	if sum != b.taken || sum > b.most {
		t.Fatalf("%d taken, %d counted, of %d", sum, b.taken, b.most)
	}
	for tenant, n := range of {
		if n != b.held[tenant] || n > b.most/tenantsPart {
			t.Fatalf("tenant %s: %d taken, %d counted", tenant, n, b.held[tenant])
		}
	}
}

// Whoever waits for room is answered in five seconds at most, and at once where there never is any.
func TestRoomIsWaitedForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1 << 20)
		if h := b.Ask("a", 1<<20); h.Ready() != nil || h.Granted() {
			t.Error("a message that is larger than the tenant's part")
		}
		first := b.Ask("a", 1<<18)
		if first.Ready() != nil || !first.Granted() || !first.Grow(1<<18) || first.Grow(1) {
			t.Error("what was asked for is to be used, and no more")
		}
		began := time.Now()
		second := b.Ask("a", 1)
		<-second.Ready()
		if second.Granted() || time.Since(began) != waitForRoom {
			t.Errorf("%v after %v", second.Granted(), time.Since(began))
		}
		third := b.Ask("a", 1)
		time.AfterFunc(time.Second, first.Give)
		began = time.Now()
		<-third.Ready()
		if !third.Granted() || time.Since(began) != time.Second {
			t.Errorf("%v after %v", third.Granted(), time.Since(began))
		}
		third.Give()
		if octets, _, _ := b.Taken(); octets != 0 {
			t.Errorf("%d octets are left", octets)
		}
	})
}

// One tenant's many do not stand before another one's first, and a large message comes to its turn.
func TestRoomIsGivenInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1 << 20)
		part := int64(1 << 18)
		var full []*Hold
		for _, tenant := range []string{"a", "b", "c", "d"} {
			full = append(full, b.Ask(tenant, part))
		}
		var flood []*Hold
		for range 100 {
			flood = append(flood, b.Ask("a", leastHold))
		}
		large, small := b.Ask("e", part), b.Ask("f", leastHold)
		full[1].Give() // a quarter is free: a has its part still, e is before f
		synctest.Wait()
		if !large.Granted() || small.Granted() {
			t.Errorf("large: %v, small: %v", large.Granted(), small.Granted())
		}
		full[0].Give()
		n := 0
		for _, h := range flood {
			if h.Granted() {
				n++
			}
		}
		if !small.Granted() || n != int(part/leastHold)-1 {
			t.Errorf("small: %v, %d of the flood", small.Granted(), n)
		}
		for _, h := range append(append(full, flood...), large, small) {
			h.Give()
		}
		if octets, tenants, waiting := b.Taken(); octets != 0 || tenants != 0 || waiting != 0 {
			t.Errorf("%d octets of %d tenants, %d waiting", octets, tenants, waiting)
		}
	})
}

// Many that ask, grow and give back at the same time, some of them while they wait, leave nothing.
func TestRoomIsTakenByMany(t *testing.T) {
	b := NewBudget(1 << 20)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			for j := range 50 {
				h := b.Ask(fmt.Sprint(i%7), int64(i*j)%100_000)
				if i%3 > 0 {
					if ready := h.Ready(); ready != nil && i%3 == 1 {
						select {
						case <-ready:
						case <-time.After(time.Millisecond):
						}
					}
					h.Grow(int64(i * 10))
				}
				h.Give()
			}
		})
	}
	all.Wait()
	if octets, tenants, waiting := b.Taken(); octets != 0 || tenants != 0 || waiting != 0 {
		t.Errorf("%d octets of %d tenants, %d waiting", octets, tenants, waiting)
	}
}

// A budget that has become smaller gives nothing until what is taken fits again; one that has become larger serves who waits.
func TestABudgetIsResized(t *testing.T) {
	b := NewBudget(64 << 10)
	one, other := b.Ask("acme", 16<<10), b.Ask("blue", 16<<10)
	b.Resize(40 << 10)
	late := b.Ask("green", 10<<10)
	if late.Granted() || late.Ready() == nil || one.Grow(20<<10) {
		t.Error("there is room in what is taken already")
	}
	one.Give()
	if <-late.Ready(); !late.Granted() {
		t.Error("what has come back is not given")
	}
	next := b.Ask("red", 10<<10)
	b.Resize(80 << 10)
	for _, h := range []*Hold{late, other, next} {
		if ready := h.Ready(); ready != nil {
			<-ready
		}
		if !h.Granted() {
			t.Error("a larger one has no room")
		}
		h.Give()
	}
	if octets, tenants, waiting := b.Taken(); octets != 0 || tenants != 0 || waiting != 0 {
		t.Errorf("%d octets of %d tenants are left, %d wait", octets, tenants, waiting)
	}
}
