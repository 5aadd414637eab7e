package timing

// Split answers whether a mail that would leave from an IP should leave from another one of the pool, as control: every second one of a
// key that is under suspicion and not yet judged, where there are enough other IPs. Whoever asks knows what a mail may not be moved
// past: a binding, a greylist pin, a warming IP. A mail that was moved is observed with SplitFrom.
func (d *Detector) Split(ip, provider string) bool {
	k := d.keys[pair{ip, provider}]
	if k == nil || k.finding.scope == ThisIPHere || len(k.place.keys) < actsFrom || !k.weighs(suspicious) {
		return false
	}
	k.splits++
	return k.splits%2 == 0
}

// Keep answers, of mail that is moved away from an IP because of a finding, whether this one stays: one in twenty does, or it would never
// be known that the restriction has ended.
func (d *Detector) Keep(ip, provider string) bool {
	k := d.keys[pair{ip, provider}]
	if k == nil || k.finding.scope != ThisIPHere {
		return true
	}
	k.keeps++
	return k.keeps%keptOf == 0
}

// MayAct answers whether a finding of an IP at a provider may be acted on: it is one of this IP here, there are at least three IPs, and
// less than half of them have one.
func (d *Detector) MayAct(ip, provider string) bool {
	k := d.keys[pair{ip, provider}]
	if k == nil || k.finding.scope != ThisIPHere {
		return false
	}
	n, of := 0, 0
	for _, o := range k.place.keys {
		if d.now-o.seen > farTime {
			continue
		}
		of++
		if o.finding.scope == ThisIPHere {
			n++
		}
	}
	return of >= actsFrom && 2*n < of
}

const (
	actsFrom    = 3  // IPs at a provider: with two nobody can say which is the odd one
	keptOf      = 20 // mails, of which one stays
	splitEnough = 3  // mails sent from another IP, to judge by them
)

// strongest gives the phase with most evidence.
func (k *key) strongest() (phase Phase, e *proof) {
	e = &k.proof[0]
	for f := range k.proof {
		if k.proof[f].weight() > e.weight() {
			phase, e = Phase(f), &k.proof[f]
		}
	}
	return phase, e
}

// control takes what a mail tells that would have left from another IP: if the mail of the tenant under suspicion is fast from here, it is
// not the tenant.
func (d *Detector) control(o *Observation, m *mail) {
	k := d.keys[pair{o.SplitFrom, o.Provider}]
	if k == nil {
		return
	}
	f, tenant := k.suspect()
	if tenant < 0 || k.tenants[tenant].hash != m.tenant || !present(m.r[f]) {
		return
	}
	if m.r[f] <= k.place.tail[f][1] {
		k.split[0]++
	} else {
		k.split[1]++
	}
	if k.split[0] > 200 || k.split[1] > 200 {
		k.split[0] /= 2
		k.split[1] /= 2
	}
}

// suspect gives the phase with most evidence, and the tenant that gives most of it; -1: there is none.
func (k *key) suspect() (f Phase, tenant int) {
	best := float32(suspicious)
	tenant = -1
	for g := range Phases {
		if w := k.proof[g].weight(); w >= best {
			best, f, tenant = w, g, 0
		}
	}
	if tenant < 0 {
		return 0, -1
	}
	parts := &k.proof[f].parts[0]
	for i := range k.tenants {
		if parts[i] > parts[tenant] {
			tenant = i
		}
	}
	return f, tenant
}

// splitSays reports whether split mail says that it is not the tenant.
func (k *key) splitSays() bool {
	return k.split[0] >= splitEnough && k.split[0] >= 3*k.split[1]
}
