package slow

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event/timing"
)

// A Key is a sending IP at a provider. A finding that is wider has no provider, or neither.
type Key struct {
	IP       netip.Addr
	Provider string
}

// An eyed key is one that there is a finding of, or a suspicion.
type eyed struct {
	finding timing.Finding // the zero Finding: only suspected
	took    [lastMails]time.Duration
	mails   int       // of these, in all
	waits   time.Time // a mail was waiting when it was last heard of, and may wait until then
	splits  bool      // it is to be compared with mail that has left from another IP
	did     Deed
}

const (
	lastMails = 5
	mostEyed  = 1024             // from so many on nobody is shown what is only suspected, and has no consequence
	waitsLong = 30 * time.Second // that a mail may wait for an MX in all, where act is Move
)

// A Found is a finding, or a suspicion, and what is done about it.
type Found struct {
	timing.Finding
	Key   Key
	Did   Deed
	Acted bool          // it is told because what is done has changed
	Still bool          // it is told because it still stands: on another day, or since something follows from it
	Told  bool          // it is a finding; else only suspected: its scope is what it would be told as, or why it would not
	Waits time.Duration // that the last mails have had in all, in the middle; 0: not known
	Why   string        // why no more is done; "": it is
}

// OfIP reports whether it is about the sending IP: at this one provider or, with everywhere, at all of them.
func (f *Found) OfIP() (is, everywhere bool) {
	return f.Scope == timing.ThisIPHere || f.Scope == timing.ThisIPEverywhere, f.Scope == timing.ThisIPEverywhere
}

// Speaks reports whether time speaks against any sending IP, so that [Watch.Share] is worth asking.
func (w *Watch) Speaks() bool { return w.shares.Load() != nil }

// Share gives which part of its sessions an IP keeps at a provider.
func (w *Watch) Share(k Key) float64 {
	if all := w.shares.Load(); all != nil {
		if share, known := (*all)[k]; known {
			return share
		}
	}
	return 1
}

// found takes what the detector has found.
func (w *Watch) found(f *timing.Finding) {
	k := keyOf(f)
	w.history.due.Store(true)
	if f.Change == timing.Cleared {
		w.end(k, f)
		return
	}
	e := w.eyed[k]
	if e == nil {
		e = &eyed{}
		w.eyed[k] = e
	}
	e.finding = *f
	w.told = append(w.told, Found{Finding: *f, Key: k, Did: e.did, Told: true})
}

// keyOf says whom a finding is about.
func keyOf(f *timing.Finding) (k Key) {
	if k.Provider = f.Provider; f.IP != "" {
		k.IP = netip.MustParseAddr(f.IP) // its own text
	}
	return k
}

// end takes a finding away, as the detector tells it or, where that has forgotten the key, as it was.
func (w *Watch) end(k Key, as *timing.Finding) {
	e := w.eyed[k]
	if e == nil || e.finding.Scope == 0 {
		return
	}
	last := e.finding
	if as != nil {
		last = *as
	}
	last.Change, last.At = timing.Cleared, w.clock()
	w.told = append(w.told, Found{Finding: last, Key: k, Told: true})
	w.history.due.Store(true)
	delete(w.eyed, k)
}

// endAll takes everything away.
func (w *Watch) endAll() {
	w.withoutFindings()
	for _, k := range slices.SortedFunc(maps.Keys(w.eyed), byName) {
		w.end(k, nil)
	}
	w.forget()
	w.publish(nil)
}

// eye takes what a mail says of a key beyond what the detector has found. It reports whether that may change what follows.
func (w *Watch) eye(k Key, s *sample) (changed bool) {
	e := w.eyed[k]
	view, _ := w.detector.Look(w.nameOf(k.IP), k.Provider)
	if e == nil {
		if view.Finding.Scope == 0 || view.Told { // what was told is eyed by that
			return false
		}
		if len(w.eyed) >= mostEyed && !view.Splits() { // it would only be shown
			return false
		}
		e = &eyed{}
		w.eyed[k] = e
		changed = true
	}
	now := w.clock()
	long := e.waitsLong(now)
	switch {
	case s.waits:
		if took := s.waited(); took >= waitsLong {
			e.waits = now.Add(took) // it is told again when its length has doubled
		}
	case !s.refused:
		e.took[e.mails%lastMails] = s.waited()
		e.mails++
	}
	return changed || view.Finding.Scope == 0 || view.Splits() != e.splits || long != e.waitsLong(now)
}

// typical is how long the last mails have waited for the MX, in the middle.
func (e *eyed) typical() time.Duration {
	if e.mails == 0 {
		return 0
	}
	last := e.took
	of := last[:min(e.mails, lastMails)]
	slices.Sort(of)
	return of[len(of)/2]
}

// waitsLong reports whether mail waits for long there.
func (e *eyed) waitsLong(now time.Time) bool {
	return now.Before(e.waits) || e.typical() > waitsLong || e.mails == 0 && e.finding.Here > waitsLong.Seconds()
}

// judge says what follows of all that is found, and publishes it.
func (w *Watch) judge() {
	shares := map[Key]float64{}
	for _, k := range slices.SortedFunc(maps.Keys(w.eyed), byName) {
		e := w.eyed[k]
		if k.isOne() {
			view, known := w.detector.Look(w.nameOf(k.IP), k.Provider)
			switch {
			case e.finding.Scope != 0 && (!known || !view.Told):
				w.end(k, nil) // forgotten, for want of room
				continue
			case e.finding.Scope == 0 && (view.Finding.Scope == 0 || view.Told):
				delete(w.eyed, k)
				continue
			}
			e.splits = view.Splits()
		}
		did, _ := w.deed(k, e)
		if share := did.share(); share < 1 {
			shares[k] = share
		}
		if did != e.did {
			e.did = did
			w.tellDeed(k, e)
		}
	}
	w.publish(shares)
}

// isOne reports whether it is one IP at one provider.
func (k *Key) isOne() bool { return k.IP.IsValid() && k.Provider != "" }

// tellDeed has it told what is done about a finding: with the finding, where that is still to be told.
func (w *Watch) tellDeed(k Key, e *eyed) {
	for i := range w.told {
		if f := &w.told[i]; f.Key == k && f.Change != timing.Cleared {
			f.Did = e.did
			return
		}
	}
	if e.finding.Scope != 0 {
		w.told = append(w.told, Found{Finding: e.finding, Key: k, Did: e.did, Acted: true, Told: true})
	}
}

// deed says what is done about a key, and why not more.
func (w *Watch) deed(k Key, e *eyed) (did Deed, why string) {
	set := w.settings.Load()
	ip := w.nameOf(k.IP)
	switch {
	case set == nil || set.Act == Tell:
		return Told, `act = "tell"`
	case !k.isOne():
		return Told, "it is wider than one provider"
	case e.finding.Scope == timing.ThisIPHere && w.detector.MayAct(ip, k.Provider):
		if set.Act == Move && e.waitsLong(w.clock()) {
			return Moved, ""
		}
		return Slowed, ""
	case e.finding.Scope == timing.ThisIPHere:
		view, _ := w.detector.Look(ip, k.Provider)
		return Told, whyNot(view.Others)
	case e.splits:
		return Split, ""
	case e.finding.Scope == 0:
		return Told, "it is not sure yet"
	}
	return Told, "it is not about this IP alone"
}

// whyNot says why nothing is done about a finding, by how many other IPs send there.
func whyNot(others int) string {
	switch others {
	case 0:
		return "no other sending IP sends there"
	case 1:
		return "two sending IPs send there: nobody can say which is the odd one"
	default:
		return "half of the sending IPs there, or more, have one: that is the receiver's way"
	}
}

// publish has whoever chooses see what follows from now on.
func (w *Watch) publish(shares map[Key]float64) {
	was := map[Key]float64{}
	if all := w.shares.Load(); all != nil {
		was = *all
	}
	if maps.Equal(was, shares) {
		return
	}
	if len(shares) == 0 {
		w.shares.Store(nil)
	} else {
		w.shares.Store(&shares)
	}
}

// Found gives what stands, and what is only suspected, with the times of now.
func (w *Watch) Found() (all []Found) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(w.eyed), byName) {
		e := w.eyed[k]
		f := Found{Finding: e.finding, Key: k, Told: e.finding.Scope != 0, Waits: e.typical()}
		if view, known := w.detector.Look(w.nameOf(k.IP), k.Provider); known && (!f.Told || view.Told && view.Finding.Scope == f.Scope) {
			f.Finding = view.Finding
		}
		f.Did, f.Why = w.deed(k, e)
		all = append(all, f)
	}
	return all
}

func byName(a, b Key) int { return cmp.Or(a.IP.Compare(b.IP), cmp.Compare(a.Provider, b.Provider)) }
