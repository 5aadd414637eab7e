package outlet

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
)

// A sending IP that warms up takes so many mails a day. A mail takes its place there when its first recipient is said,
// or where it is to be said again, and nothing was asked before but whether there is one. It keeps it if it is
// accepted, or refused for the IP; else it gives it back: where that is heard, or at the latest with the session's next
// mail, or its end.

// warming is what a session has of a sending IP that warms up.
type warming struct {
	warm.Ticket
	ip    netip.Addr
	class string
	told  bool // the mail has been refused for the IP, and that has been counted
	vague bool // it has been put off without a reason, and that has been counted
}

// warmings are those of all sessions: hardly any has one, so none has room for it of its own.
type warmings struct {
	count atomic.Int64
	mu    sync.Mutex
	of    map[*way]*warming
}

func (all *warmings) get(w *way) *warming {
	if all.count.Load() == 0 {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.of[w]
}

// set has a session have one; nil: none any more.
func (all *warmings) set(w *way, has *warming) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.of == nil {
		all.of = map[*way]*warming{}
	}
	if all.of[w] = has; has == nil {
		delete(all.of, w)
	}
	all.count.Store(int64(len(all.of)))
}

// class says which amount a mail to a place is of. What its recipient's domain says does not count: any host can be
// given mail for any domain.
func (p *place) class() string { return cmp.Or(p.provider, warm.Others) }

// hasWarmed reports whether a sending IP warms up, and has had what it may take there for the time being.
func (o *Outlet) hasWarmed(ip netip.Addr, at *place) bool {
	return o.warm.Room(ip, at.class()).Lacks()
}

// hasWarmed is the same for the mail at hand, which may have its place there.
func (w *way) hasWarmed(ip netip.Addr, at *place) bool {
	return w.o.hasWarmed(ip, at) && !w.hasPlace(ip, at.class())
}

func (w *way) hasPlace(ip netip.Addr, class string) bool {
	has := w.o.warming.get(w)
	return has != nil && has.ip == ip && has.class == class
}

// warmsUp says whether a mail must leave a sending IP because that warms up, and takes room for it there when its first
// recipient is known. Where there is none it goes elsewhere, but for a mail that was told to come back from this IP,
// and where nothing else is there: warm-up defers no mail.
func (w *way) warmsUp(req *session.DialRequest, ip netip.Addr) (moves bool, notes []event.Note) {
	if req.Recipient == "" {
		w.endWarming()
	}
	if !w.o.warm.Any() {
		return false, nil
	}
	known := w.o.warm.Knows(ip)
	if !known && (req.Recipient == "" || !w.o.warm.Tight()) {
		return false, nil
	}
	at := w.placeOf(req.Recipient)
	class := at.class()
	if !known {
		if choice, err := w.o.router.Begin(w.queryAt(&at, req)); err == nil {
			notes = w.movedOff(&choice, ip, class)
		}
		return false, notes
	}
	if req.Recipient == "" {
		return w.o.hasWarmed(ip, &at) && w.warmsElsewhere(req, ip, at), nil
	}
	room, ok := w.takeWarm(ip, class, false)
	if ok {
		return false, nil
	}
	if w.warmsElsewhere(req, ip, at) {
		return true, nil
	}
	w.takeWarm(ip, class, true)
	return false, []event.Note{w.o.warmNote(beyondAmount, ip, class, room)}
}

// warmsElsewhere reports whether another sending IP may take a mail that there is no room for at one that warms up.
func (w *way) warmsElsewhere(req *session.DialRequest, ip netip.Addr, at place) bool {
	if req.Stuck {
		return false
	}
	choice, err := w.o.router.Begin(w.queryAt(&at, req))
	if err != nil || choice.IsOnly() || !choice.Has(ip) {
		return false
	}
	how, who := w.o.handlings[choice.Number], w.candidate(&choice)
	if w.pinned(choice, how, req, at) == ip {
		return false
	}
	return slices.ContainsFunc(choice.IPs(), func(other route.SendingIP) bool {
		return other.Address != ip && !slices.Contains(req.Avoid, other.Address) && !w.turns(&choice, how, other.Address) &&
			w.o.worthMoving(how, other.Address, at, who)
	})
}

// What warm-up has decided.
const (
	beyondAmount = "beyond" // it leaves from an IP that has had its amount: it was told to come back from there, or nothing else can take it
	fromOther    = "moved"  // it leaves from another one than that which it would have
)

// warmNote is for the record.
func (o *Outlet) warmNote(did string, ip netip.Addr, class string, room warm.Room) event.Note {
	return event.Note{Did: did, Rule: "warm-up of " + ip.String(), Why: o.warm.Why(ip, class, room)}
}

// errAmountTaken says that others have taken the last room at a sending IP that warms up since it was chosen.
var errAmountTaken = errors.New("the sending IP warms up, and the amount of its day is taken")

// reserve takes room for the mail that a connection is made for, if its recipient is known, before that is dialled: of
// two at once only one may have the last place. Over is the sending IP that the mail leaves from although there is
// none.
func (w *way) reserve(ip netip.Addr, req *session.DialRequest, over netip.Addr) ([]event.Note, error) {
	if req.Recipient == "" || !w.o.warm.Knows(ip) {
		return nil, nil
	}
	at := w.placeOf(req.Recipient)
	class := at.class()
	room, ok := w.takeWarm(ip, class, ip == over)
	switch {
	case !ok:
		return nil, errAmountTaken
	case room.Lacks():
		return []event.Note{w.o.warmNote(beyondAmount, ip, class, room)}, nil
	}
	return nil, nil
}

// notFrom gives back what was reserved at a sending IP that could not be dialled from.
func (w *way) notFrom(ip netip.Addr) {
	if has := w.o.warming.get(w); has != nil && has.ip == ip {
		w.endWarming()
	}
}

// leftFrom is told where a connection was made from.
func (w *way) leftFrom(choice *route.Choice, req *session.DialRequest, ip netip.Addr) []event.Note {
	if !w.o.warm.Any() {
		return nil
	}
	if has := w.o.warming.get(w); has != nil && has.ip != ip {
		w.endWarming()
	}
	if req.Recipient == "" || w.o.warm.Knows(ip) || !w.o.warm.Tight() {
		return nil
	}
	at := w.placeOf(req.Recipient)
	return w.movedOff(choice, ip, at.class())
}

// movedOff tells of a mail that leaves from another sending IP than its own, which has had its amount.
func (w *way) movedOff(choice *route.Choice, ip netip.Addr, class string) []event.Note {
	own := choice.IP.Address
	if own == ip || !w.o.warm.Knows(own) {
		return nil
	}
	room := w.o.warm.Room(own, class)
	if !room.Lacks() {
		return nil
	}
	return []event.Note{w.o.warmNote(fromOther, own, class, room)}
}

// takeWarm takes room for the mail at hand, once.
func (w *way) takeWarm(ip netip.Addr, class string, over bool) (warm.Room, bool) {
	if w.hasPlace(ip, class) {
		return warm.Some, true
	}
	ticket, room, ok := w.o.warm.Take(ip, class, over)
	if ok {
		w.endWarming()
		w.o.warming.set(w, &warming{Ticket: ticket, ip: ip, class: class})
	}
	return room, ok
}

// endWarming gives back what a mail has taken that nobody has heard the end of.
func (w *way) endWarming() {
	if has := w.o.warming.get(w); has != nil {
		if !has.told {
			has.Back()
		}
		w.o.warming.set(w, nil)
	}
}

// acceptWarming hears that the MX has taken the mail.
func (w *way) acceptWarming(ip netip.Addr) {
	if has := w.o.warming.get(w); has != nil && has.ip == ip && !has.told {
		has.Accepted()
		w.o.warming.set(w, nil)
	}
}

// judgeWarming hears of a refusal, or of an MX that does not speak. It counts once for a mail, or a connection, where
// it is about the sending IP.
func (w *way) judgeWarming(p *plea) {
	ip, book := p.SendingIP, w.o.warm
	if p.own || !book.Knows(ip) {
		return
	}
	class, has := p.at.class(), w.o.warming.get(w)
	if has != nil && has.ip != ip {
		has = nil
	}
	v := &p.verdict
	by, spoken := p.speaker()
	tooMuch := classes[v.Class].stake == ofTooMuch && standing.AboutIP(v.Scope)
	about := p.Code == 0 && p.Phase != event.PhaseDial && !p.Beside || tooMuch || classes[v.Class].stake == ofOurIP && v.Suspend != classify.No
	switch {
	case !about:
		if spoken && p.isVague() && (has == nil || !has.vague) {
			book.PutOff(ip, class, by, v.Rule)
			if has != nil {
				has.vague = true
			}
		}
		if p.Phase > event.PhaseRcpt && has != nil {
			w.endWarming()
		}
	case !spoken:
		if has != nil {
			has.told = true // its place stays taken
		}
	case has == nil:
		book.Refused(ip, class, by)
	case !has.told:
		has.told = true
		has.Refused(by)
	}
	if about && spoken && p.Code != 0 {
		book.Throttled(ip, class, by, v.Rule)
	}
}

// isVague reports whether a mail was put off in words that name no cause: "try again later".
func (p *plea) isVague() bool {
	if p.Code/100 != 4 {
		return false
	}
	switch p.verdict.Class {
	case event.SystemError, event.PolicyUnspecified, event.Throttled:
		return true
	}
	return false
}
