package timing

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// What stands outlives the process, too, where somebody keeps it: else a restart would send as many mails into a tarpit again as it took to find it, and
// tell of it anew. It ends as it would have ended without one: by ordinary mail, or a day without any.

// A Stood is a finding that an import has brought.
type Stood struct {
	Finding Finding // with the change Cleared where it was too old to stand on
	Also    string  // what the one who keeps it had to say of it
}

// stands is what is kept of a key beside what is usual. It is part of a memo, which who knows nothing of it reads all the same.
type stands struct {
	Scope   string       `json:"scope,omitempty"` // "": nothing stands against the key itself
	Phase   string       `json:"phase,omitempty"`
	Since   int64        `json:"since,omitempty"` // Unix seconds, as all times here
	From    uint32       `json:"from,omitempty"`  // the key's mails, when it began
	LnR     []float32    `json:"ln_r,omitempty"`  // the evidence of the phase
	Begun   int64        `json:"begun,omitempty"`
	Claimed uint32       `json:"claimed,omitempty"`
	Parts   [][5]float32 `json:"parts,omitempty"`  // by the tenants of the memo; the last is of all others
	Lately  []byte       `json:"lately,omitempty"` // the last mails, by lot, the oldest first
	Drip    float32      `json:"drip,omitempty"`
	DripsOf [4]uint64    `json:"drips_of,omitzero"` // tenants
	Refused uint16       `json:"refused,omitempty"`
	Also    string       `json:"also,omitempty"`
	Ended   *ended       `json:"ended,omitempty"`
	Wide    *broad       `json:"wide,omitempty"` // of the IP
	Ours    *broad       `json:"ours,omitempty"` // of all
}

// An ended finding continues if it comes back soon.
type ended struct {
	Scope string `json:"scope"`
	Phase string `json:"phase"`
	At    int64  `json:"at"`
}

// A broad finding is wider than a provider.
type broad struct {
	Phase string `json:"phase"`
	Since int64  `json:"since"`
}

// ExportStanding is Export with what stands, and what whoever keeps it has to say of that.
func (d *Detector) ExportStanding(since time.Time, also func(ip, provider string) string) (rows []Row) {
	late := since.Sub(d.began).Seconds()
	for _, k := range d.order {
		if k.hasHistory() && (k.place.heard(late) || k.finding.cleared >= late) || k.place.stands() {
			var text json.RawMessage
			if s := d.standing(k, also); s != nil {
				text, _ = json.Marshal(s) // its numbers are ones
			}
			rows = d.row(rows, k, text)
		}
	}
	return rows
}

// stands reports whether anything stands against an IP there. Then the others are kept, too, whatever is known of them: it is acted on if there are enough.
func (p *place) stands() bool {
	return slices.ContainsFunc(p.keys, func(k *key) bool { return k.finding.scope != 0 })
}

// standing gives what stands; nil: nothing.
func (d *Detector) standing(k *key, also func(ip, provider string) string) *stands {
	s, g := stands{Wide: d.broad(&k.source.wide), Ours: d.broad(&d.ours)}, &k.finding
	if g.wasOf != 0 && d.now-g.cleared < Again.Seconds() {
		s.Ended = &ended{g.wasOf.String(), g.was.String(), d.second(g.cleared)}
	}
	if g.scope == 0 {
		if s.Wide == nil && s.Ours == nil && s.Ended == nil {
			return nil
		}
		return &s
	}
	s.Scope, s.Phase, s.Since, s.From = g.scope.String(), g.phase.String(), d.second(g.since), g.mails
	s.Drip, s.Refused, s.Also = k.drip, k.refused, also(k.ip, k.place.name)
	if k.drips != nil {
		s.DripsOf = k.drips.tenants
	}
	if g.phase < Dripped {
		e := &k.proof[g.phase]
		if s.LnR = slices.Clone(e.lnR[:]); e.claim != nil {
			s.Begun, s.Claimed, s.Parts = d.second(e.begun), e.mails, k.partsByTenant(e)
		}
	}
	for lot := range k.recent {
		for l, i := &k.recent[lot], uint8(0); i < l.n; i++ {
			b := &l.of[(l.next+latelyMost-l.n+i)%latelyMost]
			s.Lately = append(s.Lately, byte(lot), b.gap, b.tag, b.host) //nolint:gosec // there are three lots
			for _, r := range b.r {
				s.Lately = append(s.Lately, byte(r)) //nolint:gosec // as it is
			}
		}
	}
	return &s
}

// briefOctets is what a brief takes: its lot, three of its own, its phases.
const briefOctets = 4 + len(brief{}.r)

// partsByTenant gives the evidence in the order in which a memo has the tenants: those without mail are left out there.
func (k *key) partsByTenant(e *proof) [][5]float32 {
	parts := make([][5]float32, bettors)
	for b := range parts {
		n := 0
		for i := range k.tenants {
			if k.tenants[i].n > 0 {
				parts[b][n] = e.parts[b][i]
				n++
			} else {
				parts[b][len(k.tenants)] += e.parts[b][i]
			}
		}
		parts[b][len(k.tenants)] += e.parts[b][len(k.tenants)]
	}
	return parts
}

func (d *Detector) broad(b *breadth) *broad {
	if !b.on {
		return nil
	}
	return &broad{b.phase.String(), d.second(b.since)}
}

// ImportStanding is Import with what stood. What had no mail for a day has ended meanwhile.
func (d *Detector) ImportStanding(now time.Time, rows []Row) (stood []Stood, senseless int) {
	met, first := map[*source]bool{}, true
	senseless = d.imports(now, rows, func(k *key, m *memo) bool {
		latest, newest := first, !met[k.source]
		first, met[k.source] = false, true
		if m.Stands == nil {
			return true
		}
		var s stands
		if json.Unmarshal(m.Stands, &s) != nil || !s.sane(len(m.Hosts)) {
			return false
		}
		if latest && s.Ours != nil { // the newest row knows what stood last, and of each IP its newest one
			stood = append(stood, d.widen(k, &d.ours, s.Ours, Everything, ""))
		}
		if newest && s.Wide != nil {
			stood = append(stood, d.widen(k, &k.source.wide, s.Wide, ThisIPEverywhere, k.ip))
		}
		stood = d.stand(stood, k, &s)
		return true
	})
	for i := range stood { // now all is known that times are compared with
		f := &stood[i].Finding
		if v, known := d.Look(f.IP, f.Provider); known && f.Change != Cleared {
			change := f.Change
			*f = v.Finding
			f.Change = change
		}
	}
	return stood, senseless
}

// isOld reports whether a key has had no mail for so long that nothing stands against it any more.
func (d *Detector) isOld(k *key) bool { return d.now-k.seen >= Forgets.Seconds() }

// widen restores a finding that is wider than a provider.
func (d *Detector) widen(k *key, b *breadth, was *broad, scope Scope, ip string) Stood {
	phase, _ := phaseOf(was.Phase)
	since := time.Unix(was.Since, 0)
	f := Finding{Change: Begun, Scope: scope, Phase: phase, At: d.timeOf(d.now), Since: since, IP: ip}
	if d.isOld(k) {
		f.Change = Cleared
	} else {
		*b = breadth{on: true, phase: phase, since: d.ago(since)}
	}
	return Stood{Finding: f}
}

// stand restores what stood against a key.
func (d *Detector) stand(stood []Stood, k *key, s *stands) []Stood {
	g := &k.finding
	if s.Ended != nil {
		g.wasOf, _ = scopeOf(s.Ended.Scope)
		g.was, _ = phaseOf(s.Ended.Phase)
		g.cleared = d.ago(time.Unix(s.Ended.At, 0))
	}
	if s.Scope == "" {
		return stood
	}
	g.scope, _ = scopeOf(s.Scope)
	g.phase, _ = phaseOf(s.Phase)
	g.since, g.mails = d.ago(time.Unix(s.Since, 0)), min(s.From, k.mails)
	f := Finding{Change: Begun, Scope: g.scope, Phase: g.phase, At: d.timeOf(d.now), Since: d.timeOf(g.since), IP: k.ip, Provider: k.place.name}
	if d.isOld(k) {
		f.Change, *g = Cleared, finding{was: g.phase, wasOf: g.scope}
		return append(stood, Stood{f, s.Also})
	}
	k.drip, k.refused = s.Drip, s.Refused
	if s.Drip > 0 {
		k.drips = &dripping{begun: g.since, mails: g.mails, tenants: s.DripsOf}
	}
	if g.phase < Dripped {
		e := &k.proof[g.phase]
		copy(e.lnR[:], s.LnR)
		e.claim = d.claims.take()
		*e.claim = claim{begun: d.ago(time.Unix(s.Begun, 0)), mails: min(s.Claimed, k.mails)}
		copy(e.parts[:], s.Parts)
	}
	for i := 0; i+briefOctets <= len(s.Lately); i += briefOctets {
		of := s.Lately[i : i+briefOctets]
		b := brief{gap: of[1], tag: of[2], host: of[3]}
		for f := range b.r {
			b.r[f] = int8(of[4+f]) //nolint:gosec // as it was
		}
		k.recent[of[0]].add(&b)
	}
	return append(stood, Stood{f, s.Also})
}

// sane reports whether that can have been: else it is no finding.
func (s *stands) sane(hosts int) bool {
	for _, b := range [...]*broad{s.Wide, s.Ours} {
		if b == nil {
			continue
		}
		if phase, known := phaseOf(b.Phase); !known || phase >= Phases {
			return false
		}
	}
	if s.Ended != nil && !couldStand(s.Ended.Scope, s.Ended.Phase) {
		return false
	}
	if s.Scope == "" {
		return true
	}
	if !couldStand(s.Scope, s.Phase) || !within(s.Drip, 0, mostDrip) || len(s.Lately)%briefOctets != 0 || len(s.Lately) > briefOctets*lots*latelyMost {
		return false
	}
	for i := 0; i < len(s.Lately); i += briefOctets {
		if s.Lately[i] >= lots || int(s.Lately[i+3]) >= max(hosts, 1) {
			return false
		}
	}
	if phase, _ := phaseOf(s.Phase); phase >= Dripped {
		return true
	}
	if len(s.LnR) != bettors || len(s.Parts) > bettors || slices.ContainsFunc(s.LnR, func(x float32) bool { return !within(x, 0, heldAt) }) {
		return false
	}
	for _, of := range s.Parts {
		if slices.ContainsFunc(of[:], func(x float32) bool { return !within(x, -heldAt, heldAt*float32(len(of))) }) {
			return false
		}
	}
	return true
}

func within(x, least, most float32) bool { return !math.IsNaN(float64(x)) && x >= least && x <= most }

// couldStand reports whether a finding of one IP at one provider can be so.
func couldStand(scope, phase string) bool {
	s, isScope := scopeOf(scope)
	_, isPhase := phaseOf(phase)
	return isScope && isPhase && (s == ThisIPHere || s == OneHost || s == OneTenant)
}

func scopeOf(text string) (Scope, bool) {
	i := slices.Index(scopeWords[1:], text)
	return Scope(i + 1), i >= 0 //nolint:gosec // there are few
}

func phaseOf(text string) (Phase, bool) {
	i := slices.Index(phaseNames[:], text)
	return Phase(max(i, 0)), i >= 0 //nolint:gosec // there are few
}
