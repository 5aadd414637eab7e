package outlet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/session"
	"kanmon/internal/who/witness"
)

// Is there room for this mail, or this connection, at this sending IP now? That is asked before each dial (enterLane),
// at each MAIL (roomFor) and at each RCPT (MayAdd), once it is known that the mail may leave from there. Where there is
// none, in this order: a mail that was told to come back from an IP waits for it; a pool of one has no other; another
// IP of the pool that has room takes it; it waits; it gets a 4xx that says when to come back.

// Shaping says what is done about what providers take.
type Shaping struct {
	Mode     shape.Mode
	Takes    []*shape.Takes
	Internal []netip.Prefix // MXs that are none of this
	ByTime   bool           // what the times of mail say tightens it
}

// shaping is Shaping as it is asked.
type shaping struct {
	observe  bool
	byTime   bool
	takes    map[string]*shape.Takes // by provider
	internal []netip.Prefix
	rooms    *shape.Memory
}

func (s *Shaping) begin(rooms *shape.Memory) *shaping {
	if s.Mode == shape.Off || len(s.Takes) == 0 {
		return nil
	}
	of := &shaping{observe: s.Mode == shape.Observe, byTime: s.ByTime, takes: map[string]*shape.Takes{}, internal: s.Internal, rooms: rooms}
	for _, t := range s.Takes {
		of.takes[t.Provider()] = t
	}
	return of
}

// of gives what the provider of an MX takes; nil: nothing is known of it, or it is nobody's business.
func (s *shaping) of(mx netip.Addr, provider string) *shape.Takes {
	if s == nil || provider == "" {
		return nil
	}
	takes := s.takes[provider]
	if takes == nil || slices.ContainsFunc(s.internal, func(n netip.Prefix) bool { return n.Contains(mx.Unmap()) }) {
		return nil
	}
	return takes
}

// A lane is what is counted of a connection, or of the one that is to take its place.
type lane struct {
	*shape.Lane
	ip     netip.Addr
	told   bool // of a recipient too many, of the mail at hand
	over   bool // it has been closed, and another one from the same sending IP is to follow
	renews bool // it has carried what one may carry
	late   bool // it was there before it was known whose the MX is: nobody tells when it is closed
	more   int8 // connections that are made to take its place; while there are two, one of them is over in a moment
	beside *lane
}

// laneAt returns the connection from a sending IP that the session has; nil: nothing is counted of it.
func (w *way) laneAt(ip netip.Addr) *lane {
	l := w.lane
	for l != nil && (l.ip != ip || l.over) {
		l = l.beside
	}
	return l
}

// renewing gives the sending IP that another connection is to be made from in place of one that is over; the zero Addr: none.
func (w *way) renewing() (ip netip.Addr) {
	for l := w.lane; l != nil; l = l.beside {
		if l.over {
			return l.ip
		}
	}
	return ip
}

// enterLane takes what a dial from a sending IP needs. The error is a [session.NoRoom].
func (w *way) enterLane(choice *route.Choice, ip netip.Addr, req *session.DialRequest) (l *lane, notes []event.Note, err error) {
	if req.From.IsValid() {
		if l = w.laneAt(req.From); l != nil {
			l.more++
		}
		return l, nil, nil
	}
	shaping := w.o.shaping
	takes := shaping.of(w.mx(), w.o.providerOf(shaping, w.mx()))
	mail := req.SenderKnown && !req.Further
	var said int // recipients of the mail at hand that will be said again
	if w.lane != nil {
		said = w.lane.OfMail()
	}
	before := w.lane
	for before != nil && !before.over {
		before = before.beside
	}
	if before != nil && (takes == nil || before.ip != ip) {
		before.renews = false
		w.leaveLane(before)
		before = nil
	}
	w.leaveLate(func(at netip.Addr) bool { return at == ip })
	if takes == nil {
		return nil, nil, nil
	}
	var full shape.Full
	if before != nil {
		full = before.Again(mail)
		if before.over, before.renews, before.late = false, false, false; full.Is() {
			w.leaveLane(before)
		}
		l = before
	} else {
		of, no := shaping.rooms.Connect(takes, ip, tenantOf(choice, w.source), mail, shaping.observe)
		if full = no; of != nil {
			l = &lane{Lane: of, ip: ip, beside: w.lane}
			w.lane = l
		}
	}
	switch {
	case full.Is() && !shaping.observe:
		return nil, nil, w.noRoom(choice, takes, &full)
	case full.Is():
		notes = []event.Note{w.would(choice, takes, &full, ip, req)}
	}
	if req.SenderKnown && req.Recipient != "" {
		l.Said(said)
	}
	return l, notes, nil
}

// providerOf names the provider of an MX where anybody wants to know.
func (o *Outlet) providerOf(s *shaping, mx netip.Addr) string {
	if s == nil {
		return ""
	}
	return o.providers.At(mx)
}

// leaveLane is told that a connection is over; nil: nothing was counted of it. Where another one is to take its place, that has its place.
func (w *way) leaveLane(l *lane) {
	if l == nil {
		return
	}
	if l.more > 0 {
		l.more--
		return
	}
	if l.renews && !l.over {
		l.over = true
		return
	}
	at := &w.lane
	for *at != nil && *at != l {
		at = &(*at).beside
	}
	if *at == nil {
		return
	}
	*at = l.beside
	l.Close()
}

// roomFor says whether there is room for a mail at the sending IP that it may leave from, and takes that. A mail counts at MAIL.
func (w *way) roomFor(req *session.DialRequest, ip netip.Addr) (stay session.Stay) {
	s := w.o.shaping
	if s == nil || req.Recipient != "" || !ip.IsValid() {
		return stay
	}
	w.leaveLate(func(at netip.Addr) bool { return at != ip })
	l := w.laneAt(ip)
	if l == nil {
		if l = w.adopt(ip, witness.Tenant(req.Owner.Name(), w.source)); l == nil {
			return stay
		}
	}
	l.told = false
	full := l.Mail(s.observe)
	if !full.Is() {
		return stay
	}
	choice, err := w.o.router.Begin(w.query(req))
	if err != nil {
		return stay
	}
	takes := s.of(w.mx(), w.o.providers.At(w.mx()))
	switch {
	case takes == nil: // a reload, or what DNS says, has changed that
	case s.observe:
		stay.Notes = []event.Note{w.would(&choice, takes, &full, ip, req)}
	case !full.Count.IsRate():
		l.renews, l.over = true, l.late
		stay.Moves, stay.Anew = true, true
		stay.Notes = []event.Note{noteOf(&choice, takes, &full, "reconnected")}
	case w.elsewhere(&choice, takes, ip, req):
		stay.Moves = true // Dial says why
	default:
		stay.Full = w.noRoom(&choice, takes, &full)
	}
	return stay
}

// adopt counts a connection whose MX was not known to be the provider's when it was made. It is there: nobody asks whether it may be.
func (w *way) adopt(ip netip.Addr, tenant string) *lane {
	s := w.o.shaping
	takes := s.of(w.mx(), w.o.providers.At(w.mx()))
	if takes == nil {
		return nil
	}
	of, _ := s.rooms.Connect(takes, ip, tenant, false, true)
	w.lane = &lane{Lane: of, ip: ip, late: true, beside: w.lane}
	return w.lane
}

// leaveLate gives up what is counted of connections that were adopted and are over: the session has gone on from
// another sending IP, or connects anew from the same one.
func (w *way) leaveLate(over func(ip netip.Addr) bool) {
	for l := w.lane; l != nil; l = l.beside {
		if l.late && !l.over && over(l.ip) {
			w.leaveLane(l)
		}
	}
}

// MayAdd implements [session.Way].
func (w *way) MayAdd(ip netip.Addr) (stay session.Stay) {
	if w.lane == nil {
		return stay
	}
	s, l := w.o.shaping, w.laneAt(ip)
	if s == nil || l == nil {
		return stay
	}
	full := l.Recipient(s.observe)
	if !full.Is() {
		return stay
	}
	takes := s.of(w.mx(), w.o.providers.At(w.mx()))
	switch {
	case takes == nil:
	case s.observe && l.told:
	case s.observe:
		l.told = true
		stay.Notes = []event.Note{noteOf(&route.Choice{}, takes, &full, wouldDefer)}
	default:
		stay.Full = w.noRoom(&route.Choice{}, takes, &full)
		stay.Full.Ends = !full.Count.IsRate()
	}
	return stay
}

// isPinned reports whether a mail was told to come back from the sending IP: it waits for that.
func (w *way) isPinned(choice route.Choice, req *session.DialRequest, ip netip.Addr) bool {
	return w.pinned(choice, w.o.handlings[choice.Number], req, w.placeOf(req.Recipient)) == ip
}

// elsewhere reports whether another sending IP may take a mail that there is no room for at this one.
func (w *way) elsewhere(choice *route.Choice, takes *shape.Takes, ip netip.Addr, req *session.DialRequest) bool {
	if choice.Pool == "" || choice.IsOnly() || w.isPinned(*choice, req, ip) {
		return false
	}
	how, at, who := w.o.handlings[choice.Number], w.placeOf(req.Recipient), w.candidate(choice)
	return slices.ContainsFunc(choice.IPs(), func(other route.SendingIP) bool {
		if other.Address == ip || slices.Contains(req.Avoid, other.Address) || w.turns(choice, how, other.Address) {
			return false
		}
		full := w.o.shaping.rooms.Room(takes, other.Address, tenantOf(choice, w.source), true)
		return !full.Is() && w.o.worthMoving(how, other.Address, at, who)
	})
}

// hasRoom reports whether a sending IP has room for one more mail of a tenant, on a connection of its own.
func (o *Outlet) hasRoom(ip netip.Addr, at *place, tenant string) bool {
	s := o.shaping
	if s == nil || s.observe {
		return true
	}
	takes := s.of(at.mx, at.provider)
	if takes == nil {
		return true
	}
	full := s.rooms.Room(takes, ip, tenant, true)
	return !full.Is()
}

// noRoom makes the answer of what there is no room for.
func (w *way) noRoom(choice *route.Choice, takes *shape.Takes, full *shape.Full) *session.NoRoom {
	return &session.NoRoom{Provider: takes.Provider(), Wait: full.Wait, Guess: full.Guess, Note: noteOf(choice, takes, full, "")}
}

// What would be done, and is not.
const (
	wouldReconnect = "would_reconnect"
	wouldMove      = "would_move"
	wouldDelay     = "would_delay"
	wouldDefer     = "would_defer"
)

// longestWait is how long a mail waits for room at most.
const longestWait = 30 * time.Second

// would says what would be done about a mail that there is no room for.
func (w *way) would(choice *route.Choice, takes *shape.Takes, full *shape.Full, ip netip.Addr, req *session.DialRequest) event.Note {
	did := wouldDefer
	switch {
	case !full.Count.IsRate() && full.Count != shape.Connections:
		did = wouldReconnect
	case w.elsewhere(choice, takes, ip, req):
		did = wouldMove
	case full.Wait <= longestWait:
		did = wouldDelay
	}
	return noteOf(choice, takes, full, did)
}

func noteOf(choice *route.Choice, takes *shape.Takes, full *shape.Full, did string) event.Note {
	return event.Note{Did: did, Tenant: choice.Tenant, Rule: fmt.Sprintf("shaping of %s: %s", takes.Provider(), full.Count), Why: full.String()}
}

// noRoom gives what an error of a dial says of room; nil: nothing.
func noRoom(err error) *session.NoRoom {
	var full *session.NoRoom
	_ = errors.As(err, &full)
	return full
}

// soonest gives what there will be room at first.
func soonest(a, b *session.NoRoom) *session.NoRoom {
	if a == nil || b.Wait < a.Wait {
		return b
	}
	return a
}

// movedFor notes that another sending IP had no room.
func movedFor(out session.Outbound, full *session.NoRoom) session.Outbound {
	if full != nil && out.Conn != nil {
		note := full.Note
		note.Did = "moved"
		out.Notes = append(out.Notes, note)
	}
	return out
}
