package outlet

import (
	"net/netip"
	"slices"

	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// MayStay implements [session.Mover]: the sending IP must be of the pool, and usable or probed by this very session. It must give way to
// the sender's own in a pool that is sticky by sender, and to any other where this MX has refused it. Where nothing is held
// against the IPs it does not allocate: it is asked for every mail.
func (o *Outlet) MayStay(req session.DialRequest, sendingIP netip.Addr) (stays bool) {
	at := o.placeOf(&req)
	q := o.queryAt(&at, &req)
	if o.learnBehind(&q, &at, sendingIP) {
		at = o.placeOf(&req)
	}
	choice, err := o.router.Choose(q)
	if err != nil {
		return false
	}
	if choice.Pool == "" {
		return true
	}
	if !choice.Has(sendingIP) {
		return false
	}
	how, who := o.handlings[choice.Number], o.candidate(&choice, &req)
	probing := false
	if permit := o.peek(how, sendingIP, at); permit.Answer != standing.Yes {
		if probing = o.mayProbe(at.key(sendingIP), permit, &req); !probing {
			return false
		}
		defer func() { stays = stays && o.begins(at.key(sendingIP), permit, who, &req) }()
	}
	if req.Recipient != "" {
		o.sites.to(at.name(), q.RecipientDomain)
	}
	if choice.IsOnly() { // whatever could speak for another one
		o.foretell(choice, q, sendingIP)
		return true
	}
	if pin := o.pinned(choice, how, &req, at); pin.IsValid() {
		o.foretell(choice, q, pin)
		return pin == sendingIP
	}
	better := func(ip route.SendingIP) bool {
		return ip.Address != sendingIP && !slices.Contains(req.Avoid, ip.Address) && o.worthMoving(how, ip.Address, at, who) &&
			!o.turns(&choice, how, &req, ip.Address)
	}
	if slices.Contains(req.Avoid, sendingIP) || o.turns(&choice, how, &req, sendingIP) {
		return !slices.ContainsFunc(choice.IPs(), better)
	}
	elsewhere := choice.Prefers(sendingIP) && better(choice.IP)
	if elsewhere || choice.IP.Address == sendingIP {
		o.foretell(choice, q, choice.IP.Address)
	}
	return probing || !elsewhere
}

// worthMoving says whether a sending IP is worth a new connection: Dial must then give it. One whose suspension has run out is, too,
// as long as nobody probes it and it is this one's turn: where the senders decide, it may be the first choice of no other connection.
func (o *Outlet) worthMoving(how Handling, ip netip.Addr, at place, who candidate) bool {
	if o.isShut(how, ip, at.mx) {
		return false
	}
	permit := o.peek(how, ip, at)
	if permit.Answer == standing.Probe && !o.probes.free(at.key(ip), who, true) {
		return false
	}
	return permit.Answer != standing.No && inShare(permit, who.session, ip)
}
