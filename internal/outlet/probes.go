package outlet

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/share"
	"kanmon/internal/who/witness"
)

// Probes are the sessions that try a sending IP whose suspension has run out, one at a time for each key. A session that connects has the
// IP reserved for a short time and nothing more: it becomes the probe with its mail, at MAIL. So one that says nothing holds up nobody for
// long, and neither do tenants whose probes tell nothing: each has had its turn then, and others go first.
type probes struct {
	mu    sync.Mutex
	open  map[standing.Key]*probe                // the last one of each key that has a connection
	turns *share.Map[standing.Key, probingTurns] // whose they were, as long as no mail was taken
}

type probe struct {
	number      uint64 // of the permit; 0: no mail has begun, and it is only reserved
	session     event.ID
	connections int
	until       time.Time   // of the reservation
	giveUp      *time.Timer // of the probe
	endsAtRCPT  bool        // giveUp waits for the first recipient
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
	mostOwners   = 16              // whose turns at one key are remembered
	probeRedial  = 5 * time.Second // how long a session may take to connect again: in plain text, after TLS has failed
)

// free says whether a session may try the key now: it is its turn, and nobody else has just connected for that. Mail goes before those
// who have only connected.
func (p *probes) free(key standing.Key, who candidate, hasMail bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isFree(key, who, hasMail, time.Now())
}

func (p *probes) isFree(key standing.Key, who candidate, hasMail bool, now time.Time) bool {
	if open := p.open[key]; open != nil {
		if open.session == who.session {
			return true
		}
		if open.number == 0 && now.Before(open.until) && !hasMail {
			return false
		}
	}
	if who.alone {
		return true
	}
	turns, _ := p.turns.Get(key)
	return !slices.ContainsFunc(turns, func(t probingTurn) bool { return t.of(who) && now.Sub(t.at) < t.wait })
}

// of says whether it was the turn of whoever this is.
func (t probingTurn) of(who candidate) bool {
	return who.tenant != "" && t.tenant == who.tenant || t.source == who.source
}

// reserve keeps the key for a session that connects, until its mail begins; false if it is not free, or nobody may probe it any more: another
// session may have become its probe since this one asked, and keeps it.
func (p *probes) reserve(key standing.Key, who candidate, mayBeProbed func() bool) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isFree(key, who, false, now) || !mayBeProbed() {
		return false
	}
	p.begin(key, who, now)
	return true
}

// claim makes a session with mail the probe of the key.
func (p *probes) claim(key standing.Key, who candidate, number uint64, giveUp func()) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.begin(key, who, now)
	open.number, open.endsAtRCPT, open.giveUp = number, true, time.AfterFunc(probeIdle, giveUp)
}

// begin notes whose turn it is. Connections that the session has from the IP stay its own.
func (p *probes) begin(key standing.Key, who candidate, now time.Time) *probe {
	if p.open == nil {
		p.open = make(map[standing.Key]*probe)
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
	open := p.open[key]
	if open == nil || open.session != who.session {
		open.stop()
		open = &probe{session: who.session}
		p.open[key] = open
	}
	open.until = now.Add(probeIdle)
	return open
}

// goesOn notes that the probe's mail has a recipient.
func (p *probes) goesOn(key standing.Key, s event.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := p.open[key]; open != nil && open.session == s && open.endsAtRCPT {
		open.endsAtRCPT = false
		open.giveUp.Reset(probeMail)
	}
}

// taken notes that an MX has taken a message: whose turn it was has used it.
func (p *probes) taken(key standing.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns.Delete(key)
}

// connects counts a connection of a session that tries the key.
func (p *probes) connects(key standing.Key, s event.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := p.open[key]; open != nil && open.session == s {
		open.connections++
	}
}

// has says whether a session tries the key, or has connected to do so.
func (p *probes) has(key standing.Key, s event.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open[key]
	return open != nil && open.session == s
}

// of gives the number of the probe that this session is; 0 if it is none. The probe may be over: the standing knows.
func (p *probes) of(key standing.Key, s event.ID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open := p.open[key]; open != nil && open.session == s {
		return open.number
	}
	return 0
}

// ended gives the number of the probe whose last connection that was; 0 if it was not, or the session was none.
func (p *probes) ended(key standing.Key, s event.ID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open[key]
	if open == nil || open.session != s {
		return 0
	}
	if open.connections--; open.connections > 0 {
		return 0
	}
	open.stop()
	delete(p.open, key)
	turns, _ := p.turns.Get(key)
	for i := range turns {
		if turns[i].session == s { // what it has held up counts for the others, too
			turns[i].at = time.Now()
		}
	}
	return open.number
}

func (p *probe) stop() {
	if p != nil && p.giveUp != nil {
		p.giveUp.Stop()
	}
}

func (o *Outlet) candidate(choice *route.Choice, req *session.DialRequest) candidate {
	return candidate{req.Session, choice.Tenant, witness.Source(req.Source), o.sites.oneTenant(o.tenants)}
}

// tries lets a session try the key, whose suspension has run out: as its probe where it has mail, else it only connects.
func (o *Outlet) tries(key standing.Key, who candidate, hasMail bool) bool {
	if !hasMail {
		return o.probes.reserve(key, who, func() bool { return o.book.Peek(key).Answer == standing.Probe })
	}
	return o.probes.free(key, who, true) && o.probe(key, who)
}

// probe makes a session the probe of the key, unless another one is.
func (o *Outlet) probe(key standing.Key, who candidate) bool {
	permit := o.book.May(key)
	if permit.Answer == standing.Probe {
		o.probes.claim(key, who, permit.Probe, func() { o.book.Abandon(key, permit.Probe) })
	}
	return permit.Answer != standing.No
}

// mayProbe says whether a session may stay with an IP that only a probe may use: it is that, or has connected to be.
func (o *Outlet) mayProbe(key standing.Key, permit standing.Permit, req *session.DialRequest) bool {
	if permit.Answer == standing.Probe {
		return req.SenderKnown && o.probes.has(key, req.Session)
	}
	return o.probeOf(key, req.Session) != 0
}

// begins makes the session the probe with its mail, or notes that this has come to its recipient.
func (o *Outlet) begins(key standing.Key, permit standing.Permit, who candidate, req *session.DialRequest) bool {
	if permit.Answer == standing.Probe && !o.probe(key, who) {
		return false
	}
	if req.Recipient != "" {
		o.probes.goesOn(key, req.Session)
	}
	return true
}

// probeOf gives the number of the probe of the key that this session is, as long as that is under way; 0 otherwise.
func (o *Outlet) probeOf(key standing.Key, s event.ID) uint64 {
	if probe := o.probes.of(key, s); probe != 0 && o.book.Probing(key, probe) {
		return probe
	}
	return 0
}

// endProbe gives a probe up that has told nothing; one that has is not changed by it.
func (o *Outlet) endProbe(key standing.Key, s event.ID) {
	if number := o.probes.ended(key, s); number != 0 {
		o.book.Abandon(key, number)
	}
}
