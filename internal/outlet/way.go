package outlet

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync/atomic"

	"kanmon/internal/event"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
)

// A way is a session's way out.
type way struct {
	o       *Outlet
	session event.ID
	source  netip.Addr // the MSA
	address netip.Addr // the MX
	at      uint16     // its port
	port    uint16     // of the listener that took the session
	mails   uint8      // that it has asked about, as far as two
	told    bool       // that the times have it leave from another sending IP than its own
	legs    int16      // connections to the MX that the session has
	probe   *probe     // of a sending IP that it tries; nil: of none
	usual   *usual     // what holds for the next mail as well; nil: nothing
	lane    *lane      // what is counted of its connections, the newest first; nil: nothing is
}

// Enter implements [session.Ways].
func (o *Outlet) Enter(origin session.Origin) session.Way { return o.enter(&origin) }

func (o *Outlet) enter(origin *session.Origin) *way {
	return &way{
		o: o, session: origin.Session, source: origin.Source.Addr(), address: origin.Destination.Addr(), at: origin.Destination.Port(), port: origin.Port,
	}
}

// mx is the MX's address.
func (w *way) mx() netip.Addr { return w.address }

func (w *way) destination() netip.AddrPort { return netip.AddrPortFrom(w.address, w.at) }

// key is Outlet.key at the session's MX.
func (w *way) key(ip netip.Addr) standing.Key { return w.o.key(ip, w.mx()) }

// Dial implements [session.Way].
func (w *way) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	w.o.sites.from(w.source)
	q := w.query(&req)
	choice, err := w.o.router.Begin(q)
	if err != nil {
		return session.Outbound{}, fmt.Errorf("dial %s: %w", w.destination(), err)
	}
	choice = w.o.foresee(choice, q)
	why := w.o.known.of(&event.Way{Tenant: choice.Tenant, Pool: choice.Pool, Route: choice.Route, Provider: w.o.providers.At(w.mx())})
	req.Leaving.Why(why)
	out, err := w.dialChosen(ctx, choice, &req)
	if err == nil {
		out.Notes = append(w.leftFrom(&choice, &req, out.SendingIP), out.Notes...)
	}
	if instead, notes := w.sparedFor(&choice, &req, out.SendingIP); instead.IsValid() {
		with := *why // the session knows the other one already
		with.Instead, w.told = instead, true
		why, out.Notes = w.o.known.of(&with), append(out.Notes, notes...)
	}
	out.Way = why
	return out, err
}

// knownWays have sessions that leave alike share what their records say of it. Which ways are known is left to chance where there are many.
type knownWays [256]atomic.Pointer[event.Way]

var waysSeed = maphash.MakeSeed()

// of gives what equals a way, and lasts.
func (k *knownWays) of(way *event.Way) *event.Way {
	at := &k[maphash.Comparable(waysSeed, *way)%uint64(len(k))]
	known := at.Load()
	if known == nil || *known != *way {
		fresh := *way
		known = &fresh
		at.Store(known)
	}
	return known
}

// Close implements [session.Way].
func (w *way) Close() {
	w.endWarming()
	for w.probe != nil {
		w.endProbe(w.probe)
	}
	for w.lane != nil {
		w.leaveLane(w.lane)
	}
}
