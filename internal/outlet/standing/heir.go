package standing

import "cmp"

// Learn takes over what another process says, which has had the store before this one and goes on with what it has until its sessions end. What
// nobody has changed here since it was read stands as that one says: it is ahead. Else the more careful of both holds; two who have
// suspended for the same reply have done so once.
func (b *Book) Learn(all []Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	for i := range all {
		s := all[i]
		if s.Key = s.normal(); !s.valid() {
			continue
		}
		e := b.entry(s.Key)
		switch {
		case e == nil && s.blank():
			continue
		case e == nil:
			e = b.entryFor(s.Key, now)
		case !e.inherited && !s.outranks(&e.Standing):
			e.Strikes, e.Length = max(e.Strikes, s.Strikes), max(e.Length, min(s.Length, b.policy(s.Provider).Longest))
			b.markDirty(e.Key)
			continue
		case !e.inherited:
			s.Strikes, s.Length = max(e.Strikes, s.Strikes), max(e.Length, s.Length)
		}
		b.adopt(e, &s, now)
		b.changes.Add(1)
		b.note(e, now)
		e.inherited = true // and so is what becomes of it
	}
}

// outranks reports whether a standing is more careful than another one of its key.
func (s *Standing) outranks(o *Standing) bool {
	switch mine, theirs := s.restrains(), o.restrains(); {
	case mine != theirs:
		return mine > theirs
	case s.byHand():
		return s.Since.After(o.Since)
	case s.State == Slowed:
		return s.Share < o.Share
	default:
		return cmp.Compare(s.Until.UnixNano(), o.Until.UnixNano()) > 0
	}
}

// restrains says how far a standing holds mail back. What a person has stopped or suspended goes before what evidence has.
func (s *Standing) restrains() int {
	const hand = 10
	switch {
	case s.State == Active:
		return 0
	case s.byHand():
		return hand
	case s.State == Probing:
		return int(Suspended)
	}
	return int(s.State)
}

// Flush writes what has changed, for whoever reads the store next.
func (b *Book) Flush() error {
	if b.store == nil {
		return nil
	}
	_, err := b.saveAll()
	return err
}
