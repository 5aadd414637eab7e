package outlet

import (
	"net/netip"
	"time"

	"kanmon/internal/outlet/route"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/internal/who/whose"
)

// A usual answer of MayStay is that a mail stays with the sending IP that it would have anyway, nothing being held
// against that IP, and nothing to be learnt. It holds for the next mail of the same sender to the same domain as long
// as nothing has changed that it was made from: whatever may change says so (Outlet.changes), or is known to grow old
// at a time. All else is found anew each time: whatever goes by shares, probes, pins, other IPs that are better, what
// was refused in this session.
type usual struct {
	changes   uint64        // when the answer was made
	until     time.Duration // since started
	owner     *whose.Owner
	sender    string
	recipient string // its domain, with atRCPT
	sendingIP netip.Addr
	doubts    int    // as Router.Doubts has it
	errand    *noted // for the forecast; nil: it need not hear
	atMAIL    bool   // what it holds for
	atRCPT    bool
}

// A noted errand is what the forecast is told of each mail.
type noted struct{ tenant, provider string }

// usualFor bounds how long an answer holds: what is not asked for looks as if nobody used it, and goes first where there is no room.
const usualFor = time.Minute

var started = time.Now()

// changes is another number whenever a usual answer may be another one.
func (o *Outlet) changes() uint64 {
	return o.book.Changes() + o.providers.Changes() + o.learnt.addresses.Changes() + o.learnt.mxs.Changes() + o.pins.Changes() +
		o.absences.missing.Changes() + o.shares.Changes() + o.sites.days.Load()
}

// holds reports whether the answer is known already, and tells the forecast of the mail if it is.
func (w *way) holds(req *session.DialRequest, sendingIP netip.Addr) bool {
	u := w.usual
	if u == nil || u.sendingIP != sendingIP || u.owner != req.Owner || !plain(req) || u.sender != req.Sender || w.o.rescues.any() || u.doubts != w.o.router.Doubts(scoreOf(req.Suspicion)) {
		return false
	}
	if req.Recipient == "" && !u.atMAIL || req.Recipient != "" && (!u.atRCPT || u.recipient != mailbox.DomainOf(req.Recipient)) {
		return false
	}
	if u.changes != w.o.changes() || time.Since(started) >= u.until {
		return false
	}
	if u.errand != nil {
		w.o.forecast.Note(w.errand(u.errand), mailbox.DomainOf(req.Sender), sendingIP)
	}
	return true
}

func (w *way) errand(n *noted) route.Errand {
	return route.Errand{Tenant: n.tenant, Source: w.source, Port: w.port, MX: w.mx(), Provider: n.provider}
}

// plain reports whether nothing but sender and recipient tells a mail from others.
func plain(req *session.DialRequest) bool {
	return req.SenderKnown && req.Pool == "" && len(req.Avoid) == 0
}

// remember keeps an answer that is a usual one, from the session's second mail on: a session with one mail has no use for it.
func (w *way) remember(req *session.DialRequest, sendingIP netip.Addr, changes uint64, at *place, q *route.Query, choice *route.Choice) {
	if w.mails < 2 || !plain(req) || w.probe != nil || w.o.rescues.any() || !w.isUsual(req, sendingIP, at, q, choice) {
		return
	}
	now := time.Since(started)
	until := min(now+usualFor, w.o.providers.Until(at.mx, at.recipient).Sub(started))
	u := w.usual
	switch {
	case u == nil:
		u = &usual{}
		w.usual = u
	case now < u.until && u.changes == changes && u.owner == req.Owner && u.sender == req.Sender && u.sendingIP == sendingIP && u.doubts == w.o.router.Doubts(q.Suspicion):
		until = min(until, u.until)
	default:
		*u = usual{}
	}
	u.changes, u.until, u.owner, u.sender, u.sendingIP, u.doubts = changes, until, req.Owner, req.Sender, sendingIP, w.o.router.Doubts(q.Suspicion)
	if req.Recipient == "" {
		u.atMAIL = true
	} else {
		u.atRCPT, u.recipient = true, at.recipient
	}
	if w.o.isForetold(choice, q) && u.errand == nil {
		u.errand = &noted{choice.Tenant, q.Provider}
	}
}

// isUsual reports whether nothing stands against a sending IP that a mail has as its own, nothing is pinned, and the
// provider is known, or need not be.
func (w *way) isUsual(req *session.DialRequest, sendingIP netip.Addr, at *place, q *route.Query, choice *route.Choice) bool {
	if at.recipient != q.RecipientDomain || q.Provider != at.provider || q.Provider == "" && at.recipient != "" && w.o.router.NeedsProvider(*q) {
		return false
	}
	if choice.Pool == "" {
		return true
	}
	return (choice.IsOnly() || w.isUnpinned(choice, req, at)) && w.o.book.Blameless(sendingIP, []byte(at.name())) &&
		(at.domains == "" || w.o.book.Blameless(sendingIP, []byte(at.domains))) && !w.o.book.InParts(sendingIP)
}

// isUnpinned reports whether a mail was not told to come back from any sending IP.
func (w *way) isUnpinned(choice *route.Choice, req *session.DialRequest, at *place) bool {
	byDomain, byMX := keysFor(choice.Tenant, w.source, req.Sender, req.Recipient, at.mx)
	_, _, mx := w.o.pins.Get(byMX)
	_, _, domain := w.o.pins.Get(byDomain)
	return !mx && !domain
}
