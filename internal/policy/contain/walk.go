package contain

// What looks at all accounts does it in batches: between two of them the sessions have the Detector.

// walkBatch is how many accounts are looked at with the Detector locked: half a millisecond at most.
const walkBatch = 256

// A walk counts what it has seen since sessions last had the Detector.
type walk struct {
	d    *Detector
	seen int
}

// step lets sessions go on where enough has been seen. Behind it anything may have changed.
func (w *walk) step() {
	if w.seen++; w.seen%walkBatch != 0 {
		return
	}
	w.d.mu.Unlock()
	w.d.mu.Lock()
	w.d.time.turn()
}

// standing does something with each tenant, and each account that is contained or that a person has spoken of.
func (d *Detector) standing(do func(*entry)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	w := walk{d: d}
	var some []*entry
	for _, t := range d.tenants {
		some = append(some[:0], &t.entry)
		for e := t.held.first; e != nil; e = e.next {
			some = append(some, e)
		}
		for e := range t.ordered {
			some = append(some, e)
		}
		for _, e := range some {
			if !e.gone && !t.gone {
				do(e)
			}
			w.step()
		}
	}
	clear(some)
}

// each does something with each account of a tenant; "" is all of them.
func (d *Detector) each(name string, do func(*entry)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.time.turn()
	w, of := walk{d: d}, d.tenants
	if name != "" {
		of = map[string]*tenant{}
		if t := d.tenant(name); t != nil {
			of[name] = t
		}
	}
	for _, t := range of {
		w.step()
		for _, a := range t.accounts {
			if !a.gone && !t.gone {
				do(a)
			}
			w.step()
		}
	}
}
