package share

import (
	"fmt"
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

// An owner with any number of keys drives out his own; what was used lately stays.
func TestMapIsShared(t *testing.T) {
	m := NewMap[string, int](100)
	for i := range 10 {
		m.Put(fmt.Sprint("quiet", i), i, "quiet")
	}
	for i := range 10_000 {
		m.Put(fmt.Sprint("greedy", i), i, "greedy")
		m.Get("greedy0")
	}
	for i := range 10 {
		if v, found := m.Get(fmt.Sprint("quiet", i)); !found || v != i {
			t.Errorf("%d of the quiet owner is lost", i)
		}
	}
	if _, found := m.Get("greedy0"); !found {
		t.Error("what is used all the time is lost")
	}
	if _, found := m.Get("greedy1"); found || m.Len() != 55 {
		t.Errorf("%d entries; the longest unused one is there: %t", m.Len(), found)
	}
}

// With as many owners as there is room for, the entry that was not used for longest goes.
func TestMapIsFull(t *testing.T) {
	m := NewMap[int, int](3)
	for i := range 3 {
		m.Put(i, i, "") // nobody's have no part
	}
	m.Get(0)
	if gone, forgot := m.Put(3, 3, "3"); !forgot || gone != 1 {
		t.Errorf("%d has gone, %t; want 1", gone, forgot)
	}
	m.Put(0, 7, "another")
	if v, _ := m.Get(0); v != 7 || m.entries[0].of.name != "" {
		t.Errorf("put again: %d of %q", v, m.entries[0].of.name)
	}
	m.Delete(0)
	m.Delete(0)
	if _, found := m.Get(0); found || m.Len() != 2 || m.order.Len() != 2 || len(m.owners) != 2 /* nobody and 3 */ {
		t.Errorf("%d entries, %d in order, %d owners", m.Len(), m.order.Len(), len(m.owners))
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
