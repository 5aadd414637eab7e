package outlet

import (
	"net/netip"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// MayStay implements [session.Way]: the sending IP must be of the pool, and usable or probed by this very session. It
// must give way to the sender's own in a pool that is sticky by sender, and to any other where this MX has refused it;
// and there must be room for the mail. Where nothing is held against the IPs it does not allocate: it is asked for
// every mail.
func (w *way) MayStay(req session.DialRequest, sendingIP netip.Addr) session.Stay {
	if req.Recipient == "" {
		w.mails = min(w.mails+1, 2)
	}
	if w.probe != nil {
		w.endLeft(nil) // it has gone on from here, or come back
	}
	var spared []event.Note
	if !w.holds(&req, sendingIP) {
		if stays, would := w.maySendFrom(&req, sendingIP); !stays {
			return session.Stay{Moves: true, Rather: would}
		}
		spared = w.staysSpared(&req, sendingIP)
	}
	moves, notes := w.warmsUp(&req, sendingIP)
	if moves {
		return session.Stay{Moves: true, Rather: true}
	}
	stay := w.roomFor(&req, sendingIP)
	stay.Notes = append(append(spared, notes...), stay.Notes...)
	return stay
}

// maySendFrom reports whether the sending IP is right for a mail, found anew. One that is not may still do: nothing is against it but that the
// sender has another one.
func (w *way) maySendFrom(req *session.DialRequest, sendingIP netip.Addr) (stays, would bool) {
	changes := w.o.changes()
	at := w.placeOf(req.Recipient)
	q := w.queryAt(&at, req)
	if w.o.learnBehind(&q, &at, sendingIP) {
		at = w.placeOf(req.Recipient)
	}
	choice, err := w.o.router.Begin(q)
	if err != nil {
		return false, false
	}
	if choice.Pool == "" {
		w.remember(req, sendingIP, changes, &at, &q, &choice)
		return true, false
	}
	if !choice.Has(sendingIP) {
		return false, false
	}
	how, who := w.o.handlings[choice.Number], w.candidate(&choice)
	probing := false
	if permit := w.o.peek(how, sendingIP, at); permit.Answer != standing.Yes {
		if probing = w.mayProbe(at.key(sendingIP), permit, req); !probing {
			return false, false
		}
		defer func() { stays = stays && w.begins(at.key(sendingIP), permit, who, req) }()
	}
	if req.Recipient != "" {
		w.o.sites.to(at.name(), q.RecipientDomain)
	}
	if choice.IsOnly() { // whatever could speak for another one
		w.o.foretell(choice, q, sendingIP)
		w.remember(req, sendingIP, changes, &at, &q, &choice)
		return true, false
	}
	if pin := w.pinned(choice, how, req, at); pin.IsValid() {
		w.o.foretell(choice, q, pin)
		return pin == sendingIP, false
	}
	better := func(ip route.SendingIP) bool {
		return ip.Address != sendingIP && !slices.Contains(req.Avoid, ip.Address) && w.o.worthMoving(how, ip.Address, at, who) &&
			!w.turns(&choice, how, ip.Address)
	}
	if slices.Contains(req.Avoid, sendingIP) || w.turns(&choice, how, sendingIP) {
		return !slices.ContainsFunc(choice.IPs(), better), false
	}
	elsewhere := choice.Prefers(sendingIP) && (better(choice.IP) || w.isInPlace(how, choice.IP.Address, sendingIP, &at))
	if elsewhere || choice.IP.Address == sendingIP {
		w.o.foretell(choice, q, choice.IP.Address)
	}
	if choice.IP.Address == sendingIP {
		w.remember(req, sendingIP, changes, &at, &q, &choice)
	}
	switch {
	case probing || !elsewhere:
		return true, false
	case req.Stuck:
		w.hasNotMoved(req, &choice)
		return true, false
	default:
		return w.o.stuck.has(w.mx().Unmap()), true
	}
}

// hasNotMoved remembers an MX that has kept a mail from moving by what it did.
func (w *way) hasNotMoved(req *session.DialRequest, choice *route.Choice) {
	if req.ByMX {
		w.o.stuck.add(w.mx().Unmap(), tenantOf(choice, w.source))
	}
}

// worthMoving reports whether a sending IP is worth a new connection: Dial must then give it. One whose suspension has run out is, too,
// as long as nobody probes it and it is this one's turn: where the senders decide, it may be the first choice of no other connection.
func (o *Outlet) worthMoving(how Handling, ip netip.Addr, at place, who candidate) bool {
	if o.isShut(how, ip, at.mx) || !o.hasRoom(ip, &at, witness.Tenant(who.tenant, who.source)) || o.hasWarmed(ip, &at) {
		return false
	}
	permit := o.peek(how, ip, at)
	if permit.Answer == standing.Probe && !o.probes.free(at.key(ip), who, true) {
		return false
	}
	return permit.Answer != standing.No && inShare(permit, who.session, ip)
}
