package session_test

import (
	"context"
	"net/netip"

	"kanmon/internal/session"
)

// A testEngine is an engine whose sessions leave as its other fields say. What is nil has nothing against any sending IP.
type testEngine struct {
	session.Engine
	Dialer dialer
	Mover  mover
	Room   roomer // in place of Mover
	Judge  judge
}

type dialer interface {
	Dial(context.Context, session.DialRequest) (session.Outbound, error)
}

type mover interface {
	MayStay(session.DialRequest, netip.Addr) bool
}

type roomer interface {
	MayStay(session.DialRequest, netip.Addr) session.Stay
	MayAdd(netip.Addr) session.Stay
}

type judge interface {
	Judge(session.MXRefusal) session.Judgement
	Accepted(netip.Addr)
}

// leaves makes its sessions leave so.
func (e *testEngine) leaves(dial dialer) {
	e.Dialer, e.Ways = dial, e
}

// Enter implements [session.Ways].
func (e *testEngine) Enter(session.Origin) session.Way { return testWay{e} }

type testWay struct{ e *testEngine }

func (w testWay) Dial(ctx context.Context, req session.DialRequest) (session.Outbound, error) {
	return w.e.Dialer.Dial(ctx, req)
}

func (w testWay) MayStay(req session.DialRequest, ip netip.Addr) session.Stay {
	switch {
	case w.e.Room != nil:
		return w.e.Room.MayStay(req, ip)
	case w.e.Mover != nil:
		return session.Stay{Moves: !w.e.Mover.MayStay(req, ip)}
	default:
		return session.Stay{}
	}
}

func (w testWay) MayAdd(ip netip.Addr) session.Stay {
	if w.e.Room == nil {
		return session.Stay{}
	}
	return w.e.Room.MayAdd(ip)
}

func (w testWay) Judge(r session.MXRefusal) (none session.Judgement) {
	if w.e.Judge == nil {
		return none
	}
	return w.e.Judge.Judge(r)
}

func (w testWay) Accepted(ip netip.Addr) {
	if w.e.Judge != nil {
		w.e.Judge.Accepted(ip)
	}
}

func (testWay) Close() {}

// dialFunc is a function that dials for all sessions, where kanmon only observes or a testEngine has the rest.
type dialFunc func(context.Context, session.DialRequest) (session.Outbound, error)

func (f dialFunc) Dial(ctx context.Context, r session.DialRequest) (session.Outbound, error) {
	return f(ctx, r)
}

// Enter implements [session.Ways].
func (f dialFunc) Enter(session.Origin) session.Way { return testWay{&testEngine{Dialer: f}} }
