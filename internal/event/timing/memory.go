package timing

// A pool keeps what few keys have at a time for the next that needs it: no mail allocates.
type pool[T any] struct{ free []*T }

func (p *pool[T]) take() *T {
	n := len(p.free)
	if n == 0 {
		return new(T)
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	return x
}

func (p *pool[T]) put(x *T) { p.free = append(p.free, x) }

// keyOf finds or makes a key. In a full memory one makes room.
func (d *Detector) keyOf(ip, provider string) *key {
	if k := d.keys[pair{ip, provider}]; k != nil {
		return k
	}
	if len(d.keys) >= d.room {
		d.evict()
	}
	p := d.places[provider]
	if p == nil {
		p = newPlace(provider)
		d.places[provider] = p
	}
	s := d.sources[ip]
	if s == nil {
		s = &source{ip: ip}
		d.sources[ip] = s
	}
	p.number++
	s.keys++
	k := &key{ip: ip, place: p, source: s, number: p.number, seen: d.now}
	if p.keys = append(p.keys, k); len(p.keys) == 2 {
		p.begin()
	}
	d.keys[pair{ip, provider}] = k
	d.order = append(d.order, k)
	return k
}

// evict drops, of sixteen keys, the one whose loss costs least.
func (d *Detector) evict() {
	worst, at := -1.0, 0
	for range 16 {
		d.hand = (d.hand + 1) % len(d.order)
		k := d.order[d.hand]
		idle := d.now - k.seen + 1
		if k.learnt[Rcpt] >= needHistory {
			idle /= 8
		}
		if k.finding.scope != 0 {
			idle /= 8
		}
		if idle > worst {
			worst, at = idle, d.hand
		}
	}
	d.forget(at)
}

func (d *Detector) forget(at int) {
	k := d.order[at]
	last := len(d.order) - 1
	d.order[at] = d.order[last]
	d.order[last] = nil
	d.order = d.order[:last]
	delete(d.keys, pair{k.ip, k.place.name})
	p := k.place
	for i, other := range p.keys {
		if other == k {
			p.keys = append(p.keys[:i], p.keys[i+1:]...)
			break
		}
	}
	if k.holding > 0 {
		k.holding = 1
		d.drop(k)
	}
	for f := range k.proof {
		d.unclaim(&k.proof[f])
	}
	if len(p.keys) == 0 {
		delete(d.places, p.name)
	}
	if k.source.keys--; k.source.keys == 0 {
		delete(d.sources, k.ip)
	}
}

// sweep looks at one key more: a finding without mail ends, and mail is not held back for ever.
func (d *Detector) sweep() {
	d.hand = (d.hand + 1) % len(d.order)
	k := d.order[d.hand]
	if d.now-k.seen < Forgets.Seconds() {
		return
	}
	for f := range k.proof {
		k.proof[f].cap(0)
	}
	k.drip = 0
	d.endings(k)
}
