package outlet

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
)

// What the times of mail say of a sending IP is no standing: it suspends nothing. It is a share of the sessions that would begin there, beside the
// standing's, and so holds where that does: for connections, and for whoever would be moved. It does not hold for mail that a greylister waits for,
// in a pool of one IP, and where the pool has no other that may be used.

// Times tell against which sending IP the times of mail speak. They are asked with each mail.
type Times interface {
	// Speaks reports whether they speak against any: else nothing more is asked.
	Speaks() bool
	// Share gives the part of its sessions that an IP keeps at a provider.
	Share(slow.Key) float64
}

// nobodys are the times that nobody measures.
type nobodys struct{}

func (nobodys) Speaks() bool           { return false }
func (nobodys) Share(slow.Key) float64 { return 1 }

// byTime is the part of its sessions that a sending IP keeps where a mail goes, by the times of the mail before. One that warms up keeps what its
// plan gives it.
func (o *Outlet) byTime(how Handling, ip netip.Addr, at *place) float64 {
	if !o.times.Speaks() || !how.Heeds() || o.isWarming(ip, at) {
		return 1
	}
	return o.times.Share(slow.Key{IP: ip, Provider: at.name()})
}

// isWarming reports whether a plan says what a sending IP takes where a mail goes.
func (o *Outlet) isWarming(ip netip.Addr, at *place) bool {
	return o.warm.Room(ip, at.class()) != warm.Free
}

// A portion is which of all sessions a sending IP may take.
type portion uint8

const (
	inPortion portion = iota
	beyond            // as its standing says
	spared            // as the times alone say
)

// portionOf says whether the session is of the part of all sessions that the sending IP may take.
func (w *way) portionOf(permit standing.Permit, how Handling, ip netip.Addr, at *place) portion {
	if !inShare(permit, w.session, ip) {
		return beyond
	}
	if part := w.o.byTime(how, ip, at); part < 1 {
		if permit.Share *= part; !inShare(permit, w.session, ip) {
			return spared
		}
	}
	return inPortion
}

// inShare reports whether a session is of the part of all sessions that the sending IP may take. The draw is the session's own and always
// the same: what Dial passes over, MayStay does not send the session back to.
func inShare(permit standing.Permit, s event.ID, ip netip.Addr) bool {
	if permit.Share >= 1 {
		return true
	}
	all := ip.As16() // of IPv6, addresses of different networks often end in the same
	high, low := binary.BigEndian.Uint64(all[:8]), binary.BigEndian.Uint64(all[8:])
	return rand.New(rand.NewPCG(uint64(s), low^bits.RotateLeft64(high, 32))).Float64() < permit.Share
}

// isInPlace reports whether a mail is at a sending IP that warms up only because the times have its own one passed over: it is no control, and its plan
// says what it takes.
func (w *way) isInPlace(how Handling, own, sendingIP netip.Addr, at *place) bool {
	if !w.o.times.Speaks() || own == sendingIP || !w.o.isWarming(sendingIP, at) || w.o.isShut(how, own, at.mx) {
		return false
	}
	permit := w.o.stands(how, own, *at)
	return permit.Answer == standing.Yes && w.portionOf(permit, how, own, at) == spared
}

// sparedFor tells of the sending IP that a session would have, and that only the times have it pass over: what is sent in its place is what it is
// compared with.
func (w *way) sparedFor(choice *route.Choice, req *session.DialRequest, sendingIP netip.Addr) (ip netip.Addr, notes []event.Note) {
	if !w.o.times.Speaks() || !sendingIP.IsValid() {
		return ip, nil
	}
	how, at := w.o.handlings[choice.Number], w.placeOf(req.Recipient)
	if w.pinned(*choice, how, req, at) == sendingIP {
		return ip, nil
	}
	for _, other := range choice.IPs() {
		if other.Address == sendingIP {
			break
		}
		if slices.Contains(req.Avoid, other.Address) || w.o.isShut(how, other.Address, at.mx) {
			continue
		}
		if permit := w.o.stands(how, other.Address, at); permit.Answer == standing.Yes && w.portionOf(permit, how, other.Address, &at) == spared {
			note := event.Note{Did: "moved", Tenant: choice.Tenant, Rule: "timing of " + other.Address.String(), Why: fmt.Sprintf(
				"%s answers it slowly, or may do so: it keeps %.3g %% of its new sessions there", at.name(), 100*w.o.byTime(how, other.Address, &at))}
			return other.Address, []event.Note{note}
		}
	}
	return ip, nil
}

// staysSpared tells, once in a session, of a mail that would have another sending IP, and stays where it is only because the times speak against that.
func (w *way) staysSpared(req *session.DialRequest, sendingIP netip.Addr) []event.Note {
	if w.told || !w.o.times.Speaks() {
		return nil
	}
	choice, err := w.o.router.Begin(w.query(req))
	if err != nil || !choice.Prefers(sendingIP) {
		return nil
	}
	instead, notes := w.sparedFor(&choice, req, sendingIP)
	w.told = instead.IsValid()
	return notes
}

// TimesSpeak is told of a finding by timing that begins, goes on, or still stands: it is a finding of the day for an IP that warms up, and tightens
// what another one may have, where anything follows from it.
func (s *State) TimesSpeak(f *slow.Found, words string) {
	if is, everywhere := f.OfIP(); is {
		s.warm.Found(f.Key.IP, classOf(f.Key.Provider), voiceAt(f.Key.Provider, ""), everywhere, words)
	}
	s.slowsDown(f)
}
