package contain

import "container/heap"

// Which tenant has most of something is known at any time: nobody looks at all of them while mail waits.

// What tenants are ranked by.
const (
	byForgettable = iota // accounts that may make room
	byHeld               // accounts that evidence has contained
	rankings
)

// A ranking has the tenant with most in front (a binary heap).
type ranking struct {
	by  int
	all []*tenant
}

func (r *ranking) of(t *tenant) int {
	if r.by == byHeld {
		return t.held.n
	}
	return t.forgettable()
}

func (r *ranking) first() *tenant { return r.all[0] }

// Len, Less, Swap, Push and Pop are what package heap wants.
func (r *ranking) Len() int { return len(r.all) }

func (r *ranking) Less(i, j int) bool { return r.of(r.all[i]) > r.of(r.all[j]) }

func (r *ranking) Swap(i, j int) {
	r.all[i], r.all[j] = r.all[j], r.all[i]
	r.all[i].places[r.by], r.all[j].places[r.by] = i, j
}

// Push adds a tenant at the end.
func (r *ranking) Push(t any) {
	one := t.(*tenant)
	one.places[r.by] = len(r.all)
	r.all = append(r.all, one)
}

// Pop takes the tenant at the end.
func (r *ranking) Pop() any {
	last := len(r.all) - 1
	t := r.all[last]
	r.all[last] = nil
	r.all = r.all[:last]
	return t
}

// rank is called where a tenant's accounts have become more or fewer.
func (d *Detector) rank(t *tenant) {
	if t.gone {
		return
	}
	for i := range d.ranked {
		heap.Fix(&d.ranked[i], t.places[i])
	}
}

func (d *Detector) addTenant(t *tenant) {
	for i := range d.ranked {
		heap.Push(&d.ranked[i], t)
	}
	d.link(t)
}

func (d *Detector) removeTenant(t *tenant) {
	for i := range d.ranked {
		heap.Remove(&d.ranked[i], t.places[i])
	}
	if t.idler != nil {
		t.unlink()
	}
}

// heardOf makes a tenant the last to be forgotten.
func (d *Detector) heardOf(t *tenant) {
	if t.idler != nil && d.idlest.idler != t {
		t.unlink()
		d.link(t)
	}
}

// reconsider takes a tenant of which something stands out of the ring of those that may be forgotten, and puts it back behind that.
func (d *Detector) reconsider(t *tenant) {
	switch stays := t.mustStay(); {
	case t.gone:
	case stays && t.idler != nil:
		t.unlink()
	case !stays && t.idler == nil:
		d.link(t)
	}
}

// link puts a tenant at the end of the ring that Detector.idlest begins.
func (d *Detector) link(t *tenant) {
	t.idler, t.busier = d.idlest.idler, &d.idlest
	t.idler.busier, d.idlest.idler = t, t
}

func (t *tenant) unlink() {
	t.idler.busier, t.busier.idler = t.busier, t.idler
	t.idler, t.busier = nil, nil
}
