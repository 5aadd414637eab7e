package outlet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// dialFrom connects from a sending IP, and remembers whether it was let in. Where there is another one to turn to, the dial does not
// have all the time that there is: the MSA waits no longer for both than it would directly (I12).
func (w *way) dialFrom(ctx context.Context, choice route.Choice, ip route.SendingIP, req *session.DialRequest) (session.Outbound, error) {
	mx, begun := w.mx().Unmap(), time.Now()
	again := w.o.paths.try(ip.Address)
	again = w.o.dials.retry(mx, ip.Address) || again
	dialCtx := ctx
	if end, bounded := ctx.Deadline(); bounded && w.hasSpare(choice, ip.Address, req) {
		patience := end.Sub(begun) / 2
		if again {
			patience = min(patience, retryPatience)
		}
		var cancel context.CancelFunc
		dialCtx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	req.Leaving.From(ip.Address)
	out, err := w.o.dialer.DialFrom(dialCtx, ip.Address, w.destination())
	out.Name = ip.Name
	switch {
	case err == nil:
		w.o.hasAnswered(mx, ip.Address)
	case errors.Is(ctx.Err(), context.Canceled): // the MSA has gone
	case req.Further, req.Beside: // an MX that takes no second connection so soon says nothing of the IP
	case w.o.paths.isDead(ip.Address): // the MX has not heard of it
	case session.UnansweredDial(err) && time.Since(begun) >= leastPatience, session.RefusedDial(err):
		w.o.dials.failing(mx, ip.Address, tenantOf(&choice, w.source), !session.RefusedDial(err))
	}
	return out, err
}

// hasAnswered remembers that an MX has let a sending IP in.
func (o *Outlet) hasAnswered(mx, ip netip.Addr) {
	o.paths.connected(ip)
	provider := o.providers.At(mx)
	for _, m := range o.dials.connected(mx, ip) {
		m.Named = provider != ""
		ips, since := o.paths.missed(&m, ip, cmp.Or(provider, witness.Network(mx).String()), o.tenants < 2)
		if len(ips) > 0 {
			o.dials.forget(ips, since)
		}
	}
}

// dialUnseen connects from where the MX would be called without kanmon: an MSA on this host has chosen one of its addresses, and else the
// kernel does.
func (w *way) dialUnseen(ctx context.Context) (session.Outbound, error) {
	var from netip.Addr
	if w.o.ownAddress != nil && w.o.ownAddress(w.source) {
		from = w.source
	}
	out, err := w.o.dialer.DialFrom(ctx, from, w.destination())
	out.SendingIP = netip.Addr{} // it is the MSA's choice, and none of the gateway's
	return out, err
}

// hasSpare reports whether a session whose dial fails will turn to another sending IP.
func (w *way) hasSpare(choice route.Choice, sendingIP netip.Addr, req *session.DialRequest) bool {
	how, at, who := w.o.handlings[choice.Number], w.placeOf(req.Recipient), w.candidate(&choice)
	return how.Rescue == RescueOn && slices.ContainsFunc(choice.IPs(), func(ip route.SendingIP) bool {
		return ip.Address != sendingIP && !slices.Contains(req.Avoid, ip.Address) && w.o.worthMoving(how, ip.Address, at, who)
	})
}

// isShut reports whether an MX has lately not let a sending IP connect, no source port was free for it, or nothing gets out from it. Others come
// first then, whether they are known to be let in or not.
func (o *Outlet) isShut(how Handling, ip, mx netip.Addr) bool {
	return o.paths.passesOver(ip) || o.ports.lacks(mx.Unmap(), ip) || how.Heeds() && o.dials.passesOver(mx.Unmap(), ip)
}

// judgeSilence judges what an MX has done without a word. The standing hears nothing of it here: an MX that is down refuses all.
func (o *Outlet) judgeSilence(p *plea, j *session.Judgement) {
	var worthIt bool
	j.Class = event.SilentReset // what it means is not said; the standing judges by others'
	switch {
	case p.Phase == event.PhaseDial:
		j.Class = event.SilentDial
		j.Rule, worthIt = "connection refused or not answered", o.dials.worthAnother(p.mx().Unmap())
	case p.Beside: // it may be that there are two
		j.Rule, worthIt = "connection reset", true
	default:
		j.Rule, worthIt = "connection reset", o.resets.add(p.mx(), p.SendingIP, p.tenant)
	}
	if worthIt {
		o.silenced(p, j)
	}
}

// observeSilence tells the standing what an MX has done to a sending IP without a word, and not to others.
func (o *Outlet) observeSilence(sendingIP netip.Addr, tenant string, mx netip.Addr, rule string) {
	o.book.Observe(standing.Evidence{
		IP: sendingIP, Provider: o.Provider(mx), Tenant: tenant, Destination: bracketed(mx), Witness: witness.Destination("", mx),
		Class: classify.IPReputation, Scope: classify.ScopeIP, Suspend: classify.May, Rule: rule,
	})
}

// dialAgain connects once more from the sending IP of a connection that the session has, in place of that one: nothing is counted of the mail
// again.
func (w *way) dialAgain(ctx context.Context, choice route.Choice, req *session.DialRequest) (session.Outbound, error) {
	ips := choice.IPs()
	at := slices.IndexFunc(ips, func(ip route.SendingIP) bool { return ip.Address == req.From })
	if at < 0 || w.o.stands(w.o.handlings[choice.Number], req.From, w.placeOf(req.Recipient)).Answer == standing.No {
		return session.Outbound{}, fmt.Errorf("dial %s from pool %s: %w", w.destination(), choice.Pool, session.ErrNoOtherIP)
	}
	return w.dialAs(ctx, choice, ips[at], req, w.probeAt(w.key(req.From)) != nil, netip.Addr{})
}

// unusable reports whether a sending IP cannot be dialled from at all, and has those know who must: the MX has no part in it.
func (o *Outlet) unusable(err error, ip, mx netip.Addr) bool {
	switch {
	case errors.Is(err, session.ErrNotOnHost):
	case errors.Is(err, session.ErrPortsExhausted):
		o.ports.exhausted(mx.Unmap(), ip)
	default:
		return false
	}
	o.absences.look()
	return true
}
