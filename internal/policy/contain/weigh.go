package contain

import "math/bits"

// elsewhere reports whether one provider refuses, and others, who get at least half of the mail, do not: that is rather the
// provider's filter than the sender. Who sends more than ever has no such excuse.
func (e *entry) elsewhere(r *Reading, of *circle) bool {
	if r.Bad == 0 || r.Providers >= 2 || e.evidence == nil || e.loud {
		return false
	}
	refuser, _ := of.by.most()
	receiver, share := of.to.most()
	return !refuser.Same(receiver) || share < 0.5
}

// of returns who has refused in the signal's way; nil: nobody.
func (x *evidence) of(s Signal) *refusers {
	if x == nil {
		return nil
	}
	return &x.from[originsOf(s)]
}

// A circle is those who have answered, or some of them.
type circle struct {
	by, to           origins // who has refused, who has answered
	providers        int     // that have refused
	attested, divert float64 // see refusers.attested
}

// readBoth gives a signal in both windows. What providers with a name refuse is also read as a share of what they alone
// have answered: who has a receiver of his own can have as much accepted there as he likes. The worse of the two
// counts.
func (d *Detector) readBoth(e *entry, s Signal, w *windows, by *refusers, accounts int, yield func(Reading)) {
	all, named := circle{to: e.to}, circle{to: e.to.named(), attested: 1, divert: 1}
	if by != nil {
		all.by, named.by = by.origins, by.named()
		all.attested, all.divert = by.attested()
	}
	for _, c := range [...]*circle{&all, &named} {
		if c.providers = c.by.count(); s == Listing && by != nil {
			c.providers = min(c.providers, bits.OnesCount64(e.evidence.ips)) // one sending IP alone may be bad by itself
		}
	}
	for _, one := range [...]struct {
		name string
		*window
	}{{"hour", &w.hour}, {"day", &w.day}} {
		r := Reading{Signal: s, Window: one.name, Accounts: accounts}
		d.readOne(e, &r, &one.sum, &all)
		if only := one.sum.named(); only[answered]+only[judged]+only[refusedIP] > 0 {
			ofNamed := Reading{Signal: s, Window: one.name, Accounts: accounts, Named: true}
			if d.readOne(e, &ofNamed, &only, &named); ofNamed.worse(&r) {
				r = ofNamed
			}
		}
		yield(r)
	}
}

// readOne completes a reading of the numbers of a circle.
func (d *Detector) readOne(e *entry, r *Reading, n *counts, of *circle) {
	r.Providers, r.Attested = of.providers, of.attested
	if r.Bad, r.Cases = n.of(r.Signal); r.Cases > 0 {
		r.Share = float64(r.Bad) / float64(r.Cases)
	}
	r.Low = wilson(r.Bad, r.Cases, d.policy.Z)
	r.Elsewhere = e.elsewhere(r, of)
	d.weigh(e, r, of.divert)
}

// of returns a signal's bad outcomes, and of how many cases.
func (n *counts) of(s Signal) (bad, cases int) {
	switch s {
	case UnknownRecipients, Backscatter, SpreadUnknown:
		return int(n[unknown]), int(n[answered])
	case Content, SpreadContent:
		return int(n[content]), int(n[judged])
	case SenderRefused:
		return int(n[rejected]), int(n[answered])
	}
	return int(n[followed]), int(n[answered] + n[refusedIP])
}

// weigh finds the highest level that a reading is enough for. The part of it that counts for divert may be more than what is attested.
func (d *Detector) weigh(e *entry, r *Reading, divert float64) {
	p := d.policy
	attested, toDivert := r.part(r.Attested, p.Z), r.part(divert, p.Z)
	steps := d.steps(e, r.Signal)
	r.Threshold = d.threshold(e, r, steps, Slow)
	if r.Signal == Listing && r.Providers < 2 {
		return
	}
	for l := Slow; l <= Stop; l++ {
		step := *steps.at(l)
		if step.Share == 0 {
			continue
		}
		step.Share = d.threshold(e, r, steps, l)
		by := &attested
		switch l {
		case Slow:
			by = r
		case Divert:
			by = &toDivert
		}
		if p.enough(l, &step, by) {
			r.Level, r.Threshold = l, step.Share
		}
	}
	over := &p.OverwhelmingUnknown
	switch {
	case r.Window != "hour" || r.Signal != UnknownRecipients && r.Signal != Content || e.Account == NullSender:
		return
	case r.Signal == Content:
		over = &p.OverwhelmingContent
	}
	if over.Share > 0 && p.enough(Stop, over, &attested) {
		r.Level, r.Threshold, r.Overwhelming = Stop, over.Share, true
	}
}

// part returns a reading with a part of what is bad.
func (r *Reading) part(of, z float64) Reading {
	less := *r
	less.Bad = int(float64(r.Bad) * of)
	less.Low = wilson(less.Bad, r.Cases, z)
	return less
}

// steps are those of a signal for a subject. An account whose mail is held back sends too little for the usual ones.
func (d *Detector) steps(e *entry, s Signal) *Steps {
	p := d.policy
	usual, held := p.of(s), &p.HeldUnknown
	switch s {
	case UnknownRecipients:
	case Content:
		if held = &p.HeldContent; e.Account == NullSender {
			return &p.BounceContent
		}
	default:
		return usual
	}
	if p.Enforce.cap(e.level) < Slow || e.exempt != nil || e.owner.exempt != nil {
		return usual
	}
	return &Steps{Slow: usual.Slow, Divert: held.Divert, Stop: held.Stop}
}

// threshold is the share for a level. A usual share of bad outcomes excuses from Slow, within bounds; volume beyond all
// history makes Divert as easy to reach as half its share, but never easier than Slow.
func (d *Detector) threshold(e *entry, r *Reading, steps *Steps, l Level) float64 {
	share := steps.at(l).Share
	if r.Elsewhere {
		share *= d.policy.ElsewhereShare
	}
	i := 0
	switch r.Signal {
	case UnknownRecipients, SpreadUnknown:
	case Content, SpreadContent:
		i = 1
	default:
		return share
	}
	switch {
	case l == Slow:
		return max(share, min(d.policy.Usual*e.usual[i].share(), d.policy.UsualMost*share))
	case l == Divert && e.loud && e.Account != "":
		return max(steps.Slow.Share, share/2)
	}
	return share
}

func (p *Numbers) of(s Signal) *Steps {
	switch s {
	case UnknownRecipients:
		return &p.Unknown
	case Content:
		return &p.Content
	case SenderRefused:
		return &p.Sender
	case Listing:
		return &p.Listing
	case Backscatter:
		return &p.Backscatter
	case SpreadUnknown:
		return &p.SpreadUnknown
	}
	return &p.SpreadContent
}

// enough reports whether a reading is enough for a level's step.
func (p *Numbers) enough(l Level, step *Step, r *Reading) bool {
	bad := step.Bad
	if r.Providers < step.Providers {
		bad *= p.FewProviders
	}
	if l == Stop && step.Providers > 0 && r.Providers < 2 {
		return false // nobody is stopped on one provider's word
	}
	if r.Elsewhere && l > Slow {
		return false
	}
	return r.Cases >= p.Cases && r.Bad >= bad && r.Low >= step.Share && r.Accounts >= step.Accounts
}
