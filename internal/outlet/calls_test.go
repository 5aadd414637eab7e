package outlet

import (
	"context"
	"net/netip"
	"sync"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
)

// A rig is an outlet whose sessions say with each call who they are: a test makes them up, and they need not begin or end.
type rig struct {
	*Outlet

	mu   sync.Mutex
	ways map[caller]*way
}

type caller struct {
	session     event.ID
	source      netip.Addr
	destination netip.AddrPort
}

// A request is what a session asks for.
type request struct {
	Session     event.ID
	Source      netip.Addr
	Destination netip.AddrPort
	session.DialRequest
}

// A rejection is what a session was refused.
type rejection struct {
	Session     event.ID
	Source      netip.Addr
	Destination netip.AddrPort
	session.MXRefusal
}

func (o *rig) way(s event.ID, source netip.Addr, destination netip.AddrPort) *way {
	o.mu.Lock()
	defer o.mu.Unlock()
	who := caller{s, source, destination}
	w := o.ways[who]
	if w == nil {
		w = o.enter(originOf(request{Session: s, Source: source, Destination: destination}))
		o.ways[who] = w
	}
	return w
}

func (o *rig) wayOf(req request) *way { return o.way(req.Session, req.Source, req.Destination) }

// over ends a session.
func (o *rig) over(req request) { o.wayOf(req).Close() }

func (o *rig) Dial(ctx context.Context, req request) (session.Outbound, error) {
	return o.wayOf(req).Dial(ctx, req.DialRequest)
}

func (o *rig) MayStay(req request, ip netip.Addr) bool {
	return !o.wayOf(req).MayStay(req.DialRequest, ip).Moves
}

func (o *rig) Judge(r rejection) session.Judgement {
	return o.way(r.Session, r.Source, r.Destination).Judge(r.MXRefusal)
}

func (o *rig) Accepted(mx netip.AddrPort, ip netip.Addr) { o.way(0, msa, mx).Accepted(ip) }

func (o *rig) permitted(choice route.Choice, req request) (route.SendingIP, bool, error) {
	return o.wayOf(req).permitted(choice, &req.DialRequest)
}

func (o *rig) query(req request) route.Query { return o.wayOf(req).query(&req.DialRequest) }

func (o *rig) plead(r *rejection) *plea {
	return o.way(r.Session, r.Source, r.Destination).plead(&r.MXRefusal)
}

func originOf(req request) *session.Origin {
	return &session.Origin{Session: req.Session, Source: netip.AddrPortFrom(req.Source, 0), Destination: req.Destination}
}
