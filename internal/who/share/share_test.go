package share

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Of places without a reserve who comes first has all; with one, an owner alone has all but it, and there is always a place for one who
// has none, however many are greedy.
func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		bounds Bounds
		want   []int // of owners who take all they get, one after the other
	}{
		{Bounds{Most: 100}, []int{100, 0, 0}},
		{Bounds{Most: 100, Reserve: 10}, []int{90, 5, 3, 1, 1, 0}},
		{Bounds{Most: 100, Reserve: 100}, []int{50, 25, 13, 6, 3, 2, 1, 0}},
		{Bounds{Most: 1, Reserve: 1}, []int{1, 0}},
		{Bounds{Most: 100, Each: 40}, []int{40, 40, 20, 0}},
	} {
		var p Places[int]
		var got []int
		for owner := range test.want {
			for p.Take(owner, test.bounds) {
			}
			got = append(got, p.Of(owner))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: %v, want %v", test.bounds, got, test.want)
		}
		for owner, n := range got {
			for range n {
				p.Give(owner)
			}
		}
		if p.All() != 0 || len(p.held) != 0 {
			t.Errorf("%+v: %d places and %d owners are left", test.bounds, p.All(), len(p.held))
		}
	}
}

// flood puts so many new keys of an owner.
func flood(m *Map[string, int], owner string, keys int) {
	for i := range keys {
		m.Put(fmt.Sprint(owner, " ", i), i, owner)
	}
}

// has says how many of so many keys of an owner are remembered.
func has(m *Map[string, int], owner string, keys int) (found int) {
	for i := range keys {
		if _, known := m.Get(fmt.Sprint(owner, " ", i)); known {
			found++
		}
	}
	return found
}

// An owner alone has all. With any number of keys he drives out his own; what was used lately stays.
func TestMapIsShared(t *testing.T) {
	m := NewMap[string, int](100)
	flood(m, "quiet", 10)
	for i := range 10_000 {
		m.Put(fmt.Sprint("greedy ", i), i, "greedy")
		m.Get("greedy 0")
	}
	if n := has(m, "quiet", 10); n != 10 {
		t.Errorf("%d of the quiet owner's 10 are left", n)
	}
	if _, found := m.Get("greedy 0"); !found {
		t.Error("what is used all the time is lost")
	}
	if _, found := m.Get("greedy 1"); found || m.Len() != 100 {
		t.Errorf("%d entries; the longest unused one is there: %t", m.Len(), found)
	}
	alone := NewMap[string, int](100)
	if flood(alone, "alone", 100); has(alone, "alone", 100) != 100 {
		t.Errorf("alone he has %d of 100", alone.Len())
	}
}

// Who comes late has his part at once, and keeps it, whoever has filled the memory and gone quiet: one, many, or nobody. What is left is
// shared equally.
func TestWhoComesLateHasHisPart(t *testing.T) {
	const most = 5000
	for name, quiet := range map[string][]string{
		"one": {"a"}, "eight": {"a", "b", "c", "d", "e", "f", "g", "h"}, "nobody": {""}, "nobody and one": {"", "a"},
	} {
		m := NewMap[string, int](most)
		for _, owner := range quiet {
			flood(m, owner, 6000)
		}
		part := most / (len(quiet) + 1)
		if flood(m, "late", part); has(m, "late", part) != part {
			t.Errorf("behind %s: %d of %d are remembered", name, has(m, "late", part), part)
		}
		flood(m, "late", 20_000)
		for _, owner := range append(quiet, "late") {
			if n := m.order.parts[owner].order.Len(); n < part || n > part+1+len(quiet) {
				t.Errorf("behind %s: %q has %d, an equal part is %d", name, owner, n, part)
			}
		}
	}
}

// Who makes himself any number of owners takes from one who is no more than what that one does not use, and a 64th not at all.
func TestManyOwnersPressNobodyOut(t *testing.T) {
	const most, used, unused = 6400, 1000, 90
	m := NewMap[string, int](most)
	flood(m, "honest", used)
	for i := range 100_000 {
		m.Put(fmt.Sprint("evil ", i), i, fmt.Sprint("evil", i))
		if i%100 == 0 {
			has(m, "honest", unused)
		}
	}
	if n := has(m, "honest", unused); n != unused {
		t.Errorf("%d of %d that are in use are left", n, unused)
	}
	if m.Len() != most || len(m.order.above) != 0 {
		t.Errorf("%d entries, %d owners above a part", m.Len(), len(m.order.above))
	}
}

// What is out of date goes before what is not, whosever it is.
func TestWhatIsOutOfDateGoesFirst(t *testing.T) {
	m := NewMap[int, bool](10).Until(func(old bool) bool { return old })
	m.Put(0, true, "quiet")
	for i := range 9 {
		m.Put(1+i, false, "greedy")
	}
	if gone, forgot := m.Put(10, false, "greedy"); !forgot || gone != 0 {
		t.Errorf("%d has gone, %t; want what is out of date", gone, forgot)
	}
	if gone, forgot := m.Put(11, false, "greedy"); !forgot || gone != 1 {
		t.Errorf("%d has gone, %t; want the longest unused", gone, forgot)
	}
}

// With as many owners as there is room for, the entry that was not used for longest goes.
func TestMapIsFull(t *testing.T) {
	m := NewMap[int, int](3)
	for i := range 3 {
		m.Put(i, i, fmt.Sprint(i))
	}
	m.Get(0)
	if gone, forgot := m.Put(3, 3, "3"); !forgot || gone != 1 {
		t.Errorf("%d has gone, %t; want 1", gone, forgot)
	}
	m.Put(0, 7, "another")
	if v, _ := m.Get(0); v != 7 || m.entries[0].Owner() != "0" {
		t.Errorf("put again: %d of %q", v, m.entries[0].Owner())
	}
	m.Delete(0)
	m.Delete(0)
	if _, found := m.Get(0); found || m.Len() != 2 || m.order.Len() != 2 || len(m.order.parts) != 2 /* 2 and 3 */ {
		t.Errorf("%d entries, %d in order, %d owners", m.Len(), m.order.Len(), len(m.order.parts))
	}
	var none *Map[int, int]
	none.Delete(1)
	for range none.All() {
		t.Error("the nil Map has an entry")
	}
	if n := testing.AllocsPerRun(100, func() { m.Get(2) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// An Order that has grown is like one that was as large from the beginning, whatever it had before.
func TestAnOrderGrows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		grown, large := NewOrder[int](640), NewOrder[int](6400)
		var of, in []*Entry[int]
		for step := range 600 {
			if step == 300 {
				grown.Grow(6400)
				grown.Grow(640) // takes no room away
			}
			if n := len(of); n > 0 && random.IntN(4) == 0 {
				at := random.IntN(n)
				grown.Remove(of[at])
				large.Remove(in[at])
				of, in = slices.Delete(of, at, at+1), slices.Delete(in, at, at+1)
				continue
			}
			owner := fmt.Sprint("owner ", min(random.IntN(6), random.IntN(6)))
			of, in = append(of, grown.Add(step, owner)), append(in, large.Add(step, owner))
		}
		for len(of) > 0 {
			g, l := grown.Leaves("owner 1"), large.Leaves("owner 1")
			if g.Value != l.Value || len(grown.above) != len(large.above) {
				t.Fatalf("with %d left goes %d of %s, in the one that was large %d of %s", len(of), g.Value, g.Owner(), l.Value, l.Owner())
			}
			at := slices.Index(of, g)
			grown.Remove(g)
			large.Remove(l)
			of, in = slices.Delete(of, at, at+1), slices.Delete(in, at, at+1)
		}
	}
}

// Of a party each has his turn, and the first who has a place takes it; it is of so many at most.
func TestParty(t *testing.T) {
	var p Party[int]
	if p.Next() != 0 {
		t.Error("nobody has a turn")
	}
	for owner := range 2 * mostOfParty {
		p.Join(1 + owner/2)
	}
	var turns []int
	for range mostOfParty + 1 {
		turns = append(turns, p.Next())
	}
	if turns[0] != 1 || turns[mostOfParty-1] != mostOfParty || turns[mostOfParty] != 1 || len(p.all) != mostOfParty {
		t.Errorf("the turns are %v", turns)
	}
	p.Join(mostOfParty + 1)
	if len(p.all) != mostOfParty {
		t.Error("there is no end of it")
	}
	var places Places[int]
	bounds := Bounds{Most: 4, Reserve: 4}
	for range 2 {
		if owner, taken := p.Take(&places, bounds); owner != 1 || !taken {
			t.Fatalf("%d, %v", owner, taken)
		}
	}
	if owner, taken := p.Take(&places, bounds); owner != 2 || !taken {
		t.Errorf("%d, %v: the first one has no place left", owner, taken)
	}
	if owner, taken := p.Take(&places, bounds); owner != 3 || !taken {
		t.Errorf("%d, %v: one place is left for who has none", owner, taken)
	}
	if _, taken := p.Take(&places, bounds); taken {
		t.Error("a place more than there may be")
	}
}
