package limit

import (
	"strings"
	"sync"
	"time"
)

// A key finds a counter: a subject's, or a member's share in one.
type key struct {
	limit          name
	of, to, member string
}

const maxText = 320 // a mail address: RFC 5321 §4.5.3.1.1 and .2

func (w *Want) key() key {
	return key{w.Limit.id, cut(w.Subject.Of), cut(w.Subject.To), ""}
}

func (w *Want) shareKey() key {
	return key{w.Limit.shareID, cut(w.Subject.Of), cut(w.Subject.To), cut(w.Member)}
}

func cut(text string) string { return text[:min(len(text), maxText)] }

// An entry is a counter. A rate has its theoretical arrival time (GCRA): the time on the timeline at which all is free.
type entry struct {
	shard *shard
	limit *Limit
	free  int64 // of a rate
	taken int64 // units so far: what a charge that is out has behind it
	asked int64 // of a member: the last window it asked in
	pins  int32 // tickets that have it: it must not be forgotten
	held  int32 // sessions
	share int32 // of a member: sessions that it took from the reserve
	dirty bool  // what is owed has changed, otherwise than by time
	kept  bool  // somebody may have written what is owed
	pool  *pool // of a fair limit's subject
}

func (e *entry) debt(now int64) int64 { return max(0, e.free-now) }

// used is in units.
func (e *entry) used(now int64) int64 {
	if e.limit.rule.Measure == Sessions {
		return int64(e.held)
	}
	return e.limit.units(e.debt(now))
}

// forgive takes debt away. Charges that are out may be part of it: what is gone is not given back again.
func (e *entry) forgive(now, most int64) { e.free, e.dirty = min(e.free, now+most), true }

// idle reports that nothing is lost with it.
func (e *entry) idle(now int64) bool {
	return e.pins == 0 && e.free <= now && e.asked < now/int64(shareWindow)-1 && (e.pool == nil || e.pool.count(now) == 0)
}

// light is the part of the burst that would be given away with it; 1 and more: it is not to be forgotten. Who has asked in a
// pool is worth less than any debt.
func (e *entry) light(now int64) float64 {
	switch {
	case e.pins > 0:
		return 1
	case e.limit.full == 0: // sessions, and nobody has one
		return 0
	}
	return float64(e.debt(now)) / float64(e.limit.full)
}

// A shard is the counters of some subjects: all counters of a subject are in the same one.
type shard struct {
	mu        sync.Mutex
	most      int
	entries   map[key]*entry
	strangers map[name]*entry // by limit
	forgotten int64
	shared    int64
	lost      []Debt // that were forgotten, and somebody may have written: they are not owed any more
}

const (
	sweepNew  = 4  // entries that are looked at when one is added
	sweepFull = 16 // when there is no room
	mostLost  = 0.5
)

// find finds or makes the counter and pins it. Without a place for it there is none.
func (s *shard) find(k key, l *Limit, now int64) *entry {
	e := s.entries[k]
	if e == nil && s.room(now) {
		k.of, k.to, k.member = strings.Clone(k.of), strings.Clone(k.to), strings.Clone(k.member) // not the buffers they are from
		e = &entry{shard: s}
		s.entries[k] = e
	}
	if e != nil {
		e.follow(l, now)
		e.pins++
	}
	return e
}

// follow makes the counter that of a rule of the newest configuration. What was taken stays taken: it is units that are owed, and
// where they come back faster now, the debt is shorter. So charges that are out are units as well.
func (e *entry) follow(l *Limit, now int64) {
	old := e.limit
	e.limit = l
	if old == nil || old.rule.Measure == Sessions || old.rule.Amount == l.rule.Amount && old.rule.Per == l.rule.Per {
		return
	}
	ratio := float64(l.rule.Per) * float64(old.rule.Amount) / (float64(old.rule.Per) * float64(l.rule.Amount))
	most := l.full // nobody waits for longer than if all of the new burst had been taken just now
	if l.rule.Measure == Octets {
		most = l.farthest()
	}
	e.free, e.dirty = now+int64(min(float64(e.debt(now))*ratio, float64(most))), true
}

// stranger finds the one counter of all subjects that there is no place for. It is of the same rule: neither is the limit
// off for them, nor is it shut.
func (s *shard) stranger(l *Limit, now int64) *entry {
	s.shared++
	e := s.strangers[l.id]
	if e == nil {
		e = &entry{shard: s}
		if s.strangers == nil {
			s.strangers = map[name]*entry{}
		}
		s.strangers[l.id] = e
	}
	e.follow(l, now)
	e.pins++
	return e
}

// room reports whether an entry may be added, and forgets some that need not be kept: a few picked at random each time, so that
// those that are free are gone after about as many new ones. When all places are taken, the one of those it looked at that
// loses the least must go; it is not one that has used up half its burst.
func (s *shard) room(now int64) bool {
	full := len(s.entries) >= s.most
	look := sweepNew
	if full {
		look = sweepFull
	}
	var least key
	lightest := mostLost
	for k, e := range s.entries { // begins anywhere
		if e.idle(now) {
			if e.dirty { // its row owes what was given back; one that time has freed is over by itself
				s.lose(k, e)
			}
			delete(s.entries, k)
		} else if light := e.light(now); light < lightest {
			least, lightest = k, light
		}
		if look--; look == 0 {
			break
		}
	}
	if len(s.entries) < s.most {
		return true
	}
	if lightest < mostLost {
		s.lose(least, s.entries[least])
		delete(s.entries, least)
		s.forgotten++
	}
	return len(s.entries) < s.most
}

// lose notes that what somebody may have written of an entry is not owed any more.
func (s *shard) lose(k key, e *entry) {
	if e.kept && len(s.lost) < s.most {
		s.lost = append(s.lost, e.owed(k, 0, time.Time{}))
	}
}

// A pool is what the members of a fair limit have in common.
type pool struct {
	window    int64 // the one that now is of
	now, last int   // members that asked in it, and in the one before
	holders   int   // members with sessions
	over      int32 // sessions that are not of the reserve
}

// shareWindow is how long a member counts after it has asked: this window and the next.
const shareWindow = 5 * time.Minute

// note counts the member as one that asks.
func (p *pool) note(member *entry, now int64) {
	p.turn(now)
	if member.asked != p.window {
		member.asked = p.window
		p.now++
	}
}

func (p *pool) turn(now int64) {
	w := now / int64(shareWindow)
	if w == p.window {
		return
	}
	p.last = 0
	if w == p.window+1 {
		p.last = p.now
	}
	p.window, p.now = w, 0
}

func (p *pool) count(now int64) int {
	p.turn(now)
	return max(p.now, p.last, p.holders)
}
