package outlet

import (
	"time"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// A probe is what a session has of a sending IP whose suspension has run out, and that it tries. It is over with the
// session, and before that where the session has gone on from another sending IP; not while it only connects anew, in
// plain text after TLS has failed.
type probe struct {
	key         standing.Key
	number      uint64 // of the permit; 0: no mail has begun, and the key is only reserved
	connections int32
	newest      bool        // the last connection that the session has made is one of them
	endsAtRCPT  bool        // giveUp waits for the first recipient
	giveUp      *time.Timer // of the permit
	beside      *probe      // of another sending IP, from which a leg has been set aside
}

func (w *way) candidate(choice *route.Choice) candidate {
	return candidate{w.session, choice.Tenant, witness.Source(w.source), w.o.sites.oneTenant(w.o.tenants)}
}

// tries lets the session try the key, whose suspension has run out: as its probe where it has mail, else it only connects.
func (w *way) tries(key standing.Key, who candidate, hasMail bool) bool {
	if hasMail {
		return w.o.probes.free(key, who, true) && w.claim(key, who)
	}
	if !w.o.probes.reserve(key, who, func() bool { return w.o.book.Peek(key).Answer == standing.Probe }) {
		return false
	}
	w.probeOn(key)
	return true
}

// claim makes the session the probe of the key, unless another one is.
func (w *way) claim(key standing.Key, who candidate) bool {
	permit := w.o.book.May(key)
	if permit.Answer == standing.Probe {
		w.o.probes.claim(key, who)
		p, number, book := w.probeOn(key), permit.Probe, w.o.book
		p.stop()
		p.number, p.endsAtRCPT, p.giveUp = number, true, time.AfterFunc(probeIdle, func() { book.Abandon(key, number) })
	}
	return permit.Answer != standing.No
}

// mayProbe reports whether the session may stay with an IP that only a probe may use: it is that, or has connected to be.
func (w *way) mayProbe(key standing.Key, permit standing.Permit, req *session.DialRequest) bool {
	if permit.Answer == standing.Probe {
		return req.SenderKnown && w.probeAt(key) != nil && w.o.probes.has(key, w.session)
	}
	return w.probeOf(key) != 0
}

// begins makes the session the probe with its mail, or notes that this has come to its recipient.
func (w *way) begins(key standing.Key, permit standing.Permit, who candidate, req *session.DialRequest) bool {
	if permit.Answer == standing.Probe && !w.claim(key, who) {
		return false
	}
	if p := w.probeAt(key); p != nil && p.endsAtRCPT && req.Recipient != "" {
		p.endsAtRCPT = false
		p.giveUp.Reset(probeMail)
	}
	return true
}

// probeOf returns the number of the probe of the key that the session is, as long as that is under way; 0 otherwise.
func (w *way) probeOf(key standing.Key) uint64 {
	if p := w.probeAt(key); p != nil && p.number != 0 && w.o.book.Probing(key, p.number) {
		return p.number
	}
	return 0
}

// probeAt returns what the session has of a key that it tries; nil: nothing.
func (w *way) probeAt(key standing.Key) *probe {
	p := w.probe
	for p != nil && p.key != key {
		p = p.beside
	}
	return p
}

// probeOn is probeAt for a key that the session tries from now on.
func (w *way) probeOn(key standing.Key) *probe {
	p := w.probeAt(key)
	if p == nil {
		p = &probe{key: key, beside: w.probe}
		w.probe = p
	}
	return p
}

// connected counts a connection: as the probe's, or with nil of a sending IP that needs none.
func (w *way) connected(p *probe) {
	w.legs++
	for other := w.probe; other != nil; other = other.beside {
		other.newest = other == p
	}
	if p != nil {
		p.connections++
	}
	w.endLeft(nil)
}

// disconnected is the end of a connection. Behind the one that was made last another may follow from there, also beside
// a leg that has been set aside.
func (w *way) disconnected(p *probe) {
	w.legs--
	if p != nil {
		p.connections--
	}
	w.endLeft(p)
}

// failed is told of a dial that did not connect. The key is the others' then, unless the session has a connection from there.
func (w *way) failed(p *probe) {
	if p != nil && p.connections == 0 {
		w.endProbe(p)
	}
}

// endLeft ends the probes of the sending IPs that the session has left for another one; one may be that which it has
// just lost its newest connection of.
func (w *way) endLeft(lost *probe) {
	for p := w.probe; p != nil && w.legs > 0; p = p.beside {
		if p.connections == 0 && (p != lost || !p.newest) {
			w.endProbe(p)
		}
	}
}

// endProbe gives a probe up that has told nothing; one that has is not changed by it.
func (w *way) endProbe(p *probe) {
	at := &w.probe
	for *at != nil && *at != p {
		at = &(*at).beside
	}
	if *at == nil {
		return // it is over: the session has ended, or broken
	}
	*at = p.beside
	p.stop()
	w.o.probes.ended(p.key, w.session)
	if p.number != 0 {
		w.o.book.Abandon(p.key, p.number)
	}
}

func (p *probe) stop() {
	if p.giveUp != nil {
		p.giveUp.Stop()
	}
}
