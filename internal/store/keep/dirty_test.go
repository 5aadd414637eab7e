package keep

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A disk has rows. Meanwhile, if there is one, is what happens while it writes; fails says that the next batch comes to nothing.
type disk struct {
	rows      map[string]string
	fails     bool
	meanwhile func()
}

func (d *disk) Load() ([]Row, int, error) { return nil, 0, nil }
func (d *disk) String() string            { return "disk" }

func (d *disk) Save(changed []Row) error {
	if d.meanwhile != nil {
		d.meanwhile()
	}
	if d.fails {
		return errors.New("disk I/O error")
	}
	for _, r := range changed {
		if delete(d.rows, r.Key); !r.Gone {
			d.rows[r.Key] = r.Value
		}
	}
	return nil
}

// on has a memory written to a disk when the test says so, and not otherwise.
func (r *rig) on(t *testing.T, d *disk) *Memory[string, int] {
	t.Helper()
	d.rows = map[string]string{}
	m := r.open(t)
	m.o.Store = d
	return m
}

// However much is put while the disk is dead, what waits for it is bounded; and so where it has rows of all that went.
//
// audit-B: a budget for everything that is shared
func TestADeadDiskCostsNoMemory(t *testing.T) {
	const most = 100
	d := &disk{}
	m := newRig(most).on(t, d)
	put := func(kind string, n int) {
		for i := range n {
			m.Put(fmt.Sprintf("%d/%s%d", i%7, kind, i), i)
		}
	}
	put("before", most)
	if _, err := m.saveAll(); err != nil {
		t.Fatal(err)
	}
	d.fails = true
	for range 20 {
		put("new", 10_000)
		if _, err := m.saveAll(); err == nil {
			t.Fatal("written to a dead disk")
		}
		if n := len(m.dirty); n > 2*most { // the entries, and those that had rows
			t.Fatalf("%d keys wait, want at most %d", n, 2*most)
		}
	}
	d.fails = false
	if _, err := m.saveAll(); err != nil || len(m.dirty) != 0 || len(d.rows) != m.Len() {
		t.Errorf("once it lives again: %v, %d wait, %d rows of %d entries", err, len(m.dirty), len(d.rows), m.Len())
	}
}

// Whatever comes and goes between the writes, during them and behind those that fail: in the end the disk has what the memory has.
func TestTheDiskHasWhatTheMemoryHas(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		d := &disk{}
		r := newRig(20)
		m := r.on(t, d)
		step := func() {
			for range random.IntN(30) {
				k := fmt.Sprintf("%d/%d", random.IntN(4), random.IntN(15))
				if random.IntN(4) == 0 {
					m.Drop(k)
				} else {
					m.Put(k, random.IntN(1000))
				}
				r.now = r.now.Add(r.options.Life / rewrites * 2)
			}
		}
		d.meanwhile = step
		for range 20 {
			step()
			d.fails = random.IntN(2) == 0
			batch, taken := m.takeDirty()
			m.saved(batch, taken, d.Save(batch) == nil)
			if n := len(m.dirty); n > 60 {
				t.Fatalf("seed %d: %d keys wait", seed, n)
			}
		}
		d.fails, d.meanwhile = false, nil
		if _, err := m.saveAll(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for k, e := range m.entries.All() {
			want[k] = fmt.Sprint(e.value)
		}
		if !maps.Equal(d.rows, want) {
			t.Fatalf("seed %d: rows of %v, entries %v", seed, slices.Sorted(maps.Keys(d.rows)), slices.Sorted(maps.Keys(want)))
		}
	}
}
