package keep

import (
	"testing"
	"time"
)

// What another process has put later is learnt; what is older, gone there, makes no sense or is too long is not.
func TestTheLaterPutIsLearnt(t *testing.T) {
	r := newRig(10)
	d := &disk{}
	m := r.on(t, d)
	m.Put("a/kept", 1)
	m.Put("a/both", 1)
	m.Learn([]Row{
		{Key: "a/both", Value: "2", Put: r.now.Add(-time.Second)},
		{Key: "a/new", Value: "3", Put: r.now},
		{Key: "a/kept", Gone: true},
		{Key: "a/odd", Value: "?", Put: r.now},
		{Key: "a/old", Value: "4", Put: r.now.Add(-2 * time.Hour)},
		{Key: "a/late", Value: "5", Put: r.now.Add(time.Hour)},
	})
	for k, want := range map[string]int{"a/kept": 1, "a/both": 1, "a/new": 3, "a/odd": 0, "a/old": 0, "a/late": 5} {
		if v, _, _ := m.Get(k); v != want {
			t.Errorf("%s: %d, want %d", k, v, want)
		}
	}
	if err := m.Flush(); err != nil || len(d.rows) != 4 {
		t.Errorf("%v, rows %v", err, d.rows)
	}
}
