package outlet

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/who/share"
	"kanmon/internal/who/witness"
)

// Probes know whose turn it is to try a sending IP whose suspension has run out, one session at a time for each key. A
// session that connects has the IP reserved for a short time and nothing more: it becomes the probe with its mail, at
// MAIL. So one that says nothing holds up nobody for long, and neither do tenants whose probes tell nothing: each has
// had its turn then, and others go first.
type probes struct {
	mu    sync.Mutex
	taken map[standing.Key]taken                 // by the last session that tries it and is not over
	turns *share.Map[standing.Key, probingTurns] // whose they were, as long as no mail was taken
}

// A taken key is one that a session tries.
type taken struct {
	session event.ID
	mail    bool      // the session has begun one, and is the probe; else it has only connected
	until   time.Time // of the reservation
}

// A candidate is a session that wants to probe.
type candidate struct {
	session event.ID
	tenant  string     // "": not known yet
	source  netip.Addr // witness.Source of it
	alone   bool       // there is nobody else whose turn it could be
}

// probingTurns are the last ones, oldest first, one of each owner.
type probingTurns []probingTurn

type probingTurn struct {
	tenant  string
	source  netip.Addr
	session event.ID
	at      time.Time     // when it began, or ended
	wait    time.Duration // from there until the owner may try again: twice as long as the time before
}

const (
	probeIdle    = 30 * time.Second // from the connection to MAIL, and from there to the first recipient
	probeMail    = 10 * time.Minute // from there until the MX has said what tells
	probingAgain = 15 * time.Minute // until somebody may try again who has tried, and told nothing
	probingLater = 4 * time.Hour    // the same where that has happened again and again
	mostTurns    = 4096
	mostOwners   = 16 // whose turns at one key are remembered
)

// free reports whether a session may try the key now: it is its turn, and nobody else has just connected for that. Mail goes before those
// who have only connected.
func (p *probes) free(key standing.Key, who candidate, hasMail bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isFree(key, who, hasMail, time.Now())
}

func (p *probes) isFree(key standing.Key, who candidate, hasMail bool, now time.Time) bool {
	if by, known := p.taken[key]; known {
		if by.session == who.session {
			return true
		}
		if !by.mail && now.Before(by.until) && !hasMail {
			return false
		}
	}
	if who.alone {
		return true
	}
	turns, _ := p.turns.Get(key)
	return !slices.ContainsFunc(turns, func(t probingTurn) bool { return t.of(who) && now.Sub(t.at) < t.wait })
}

// of reports whether it was the turn of whoever this is.
func (t probingTurn) of(who candidate) bool {
	return who.tenant != "" && t.tenant == who.tenant || t.source == who.source
}

// reserve keeps the key for a session that connects, until its mail begins; false if it is not free, or nobody may
// probe it any more: another session may have become its probe since this one asked, and keeps it.
func (p *probes) reserve(key standing.Key, who candidate, mayBeProbed func() bool) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isFree(key, who, false, now) || !mayBeProbed() {
		return false
	}
	p.begin(key, who, false, now)
	return true
}

// claim notes that a session with mail is the probe of the key.
func (p *probes) claim(key standing.Key, who candidate) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin(key, who, true, now)
}

// begin notes whose turn it is.
func (p *probes) begin(key standing.Key, who candidate, mail bool, now time.Time) {
	if p.taken == nil {
		p.taken = make(map[standing.Key]taken)
		p.turns = share.NewMap[standing.Key, probingTurns](mostTurns).Until(func(t probingTurns) bool { return time.Since(t[len(t)-1].at) >= 2*probingLater })
	}
	turns, _ := p.turns.Get(key)
	turn := probingTurn{who.tenant, who.source, who.session, now, probingAgain}
	turns = slices.DeleteFunc(turns, func(t probingTurn) bool {
		over := now.Sub(t.at) >= 2*t.wait
		if t.of(who) && t.session == who.session {
			turn.wait = t.wait
		} else if t.of(who) && !over {
			turn.wait = min(2*t.wait, probingLater)
		}
		return over || t.of(who)
	})
	if len(turns) == mostOwners {
		turns = slices.Delete(turns, 0, 1) // who has waited longest
	}
	turns = append(turns, turn)
	p.turns.Put(key, turns, witness.Tenant(who.tenant, who.source))
	if by := p.taken[key]; by.session == who.session {
		mail = mail || by.mail
	}
	p.taken[key] = taken{who.session, mail, now.Add(probeIdle)}
}

// told notes that an MX has taken a message: whose turn it was has used it.
func (p *probes) told(key standing.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns.Delete(key)
}

// has reports whether a session is the last one that tries the key.
func (p *probes) has(key standing.Key, s event.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	by, known := p.taken[key]
	return known && by.session == s
}

// ended notes that a session does not try the key any more.
func (p *probes) ended(key standing.Key, s event.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by, known := p.taken[key]; !known || by.session != s {
		return
	}
	delete(p.taken, key)
	turns, _ := p.turns.Get(key)
	for i := range turns {
		if turns[i].session == s { // what it has held up counts for the others, too
			turns[i].at = time.Now()
		}
	}
}
