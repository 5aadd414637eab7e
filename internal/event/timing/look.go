package timing

// A View is how a sending IP stands at a provider now, told or not.
type View struct {
	// Finding is what stands against it, with the times of now; its Scope is 0 where nothing does. If it has not been told, it is what is
	// suspected: the scope is what it would be told as, or why it would not, Unpaired or Small.
	Finding Finding
	Told    bool

	History bool // enough of its own mail is known to be compared with
	Others  int  // other sending IPs that sent to the provider within a day
	Mails   int  // that are known of it there
}

// Look answers how a sending IP stands at a provider; false where nothing is known of it there.
func (d *Detector) Look(ip, provider string) (View, bool) {
	k := d.keys[pair{ip, provider}]
	if k == nil {
		return View{}, false
	}
	v := View{History: k.learnt[Rcpt] >= needHistory || k.learnt[Banner] >= needHistory, Mails: int(k.mails)}
	for _, o := range k.place.keys {
		if o != k && d.now-o.seen < farTime {
			v.Others++
		}
	}
	f := &v.Finding
	*f = Finding{At: d.timeOf(d.now), IP: ip, Provider: provider}
	g, w := &k.finding, &k.source.wide
	scope := ThisIPEverywhere
	if d.ours.on {
		w, scope = &d.ours, Everything
	}
	switch {
	case g.scope != 0:
		v.Told = true
		d.fill(k, f, g.scope, g.phase)
		f.Since, f.Mails = d.timeOf(g.since), int(k.mails-g.mails)+1
	case w.on:
		v.Told = true
		d.fill(k, f, scope, w.phase)
		f.Since = d.timeOf(w.since)
	default:
		d.suspected(k, f)
	}
	return v, true
}

// fill adds a scope and phase, the evidence and the times.
func (d *Detector) fill(k *key, f *Finding, s Scope, phase Phase) {
	f.Scope, f.Phase = s, phase
	if phase < Dripped {
		f.Evidence = max(0, float64(k.proof[phase].weight()))
	}
	k.figures(f)
}

// suspected adds what there is evidence of, or what is slow by the key's own history and has nobody beside it.
func (d *Detector) suspected(k *key, f *Finding) {
	if phase, e := k.strongest(); e.claim != nil && e.weight() >= suspicious {
		d.fill(k, f, d.scopeNow(k, phase), phase)
		f.Since, f.Mails = d.timeOf(e.begun), int(k.mails-e.mails)+1
		return
	}
	if k.place.compares(k.number, d.now) {
		return
	}
	for phase := range Phases {
		if c := k.recently(phase); k.learnt[phase] >= needHistory && !k.small(phase, &c) {
			d.fill(k, f, Unpaired, phase)
			return
		}
	}
}
