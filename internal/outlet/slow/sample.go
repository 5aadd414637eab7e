package slow

import (
	"bytes"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/who/witness"
)

// A sample is what facts tell the detector, in as little as fits a queue: texts are made of it behind the session's back.
type sample struct {
	ip, mx, source netip.Addr
	instead        netip.Addr // the IP that this would have left from
	provider       string     // "": nobody knows whose MX it is
	tenant         string
	id             uint64
	size           int64
	took           [timing.Phases]event.Micros
	inAll          event.Micros // that the mail has waited for the MX; replies to pipelined commands are waited for together
	dripped        uint16

	opened, refused, badRecipient, stalled, waits bool
}

// absent is the time of a phase that there was not.
const absent = ^event.Micros(0)

var nothing = [timing.Phases]event.Micros{absent, absent, absent, absent, absent, absent, absent, absent}

// begin takes what is known of all that is told of a leg; it is false where that says nothing of a sending IP of ours.
func (s *sample) begin(of *event.Session, leg *event.Leg, tenant string) bool {
	s.ip = leg.SendingIP
	if !s.ip.IsValid() {
		s.ip = leg.Local.Addr() // nobody has chosen one
	}
	if !s.ip.IsValid() || leg.MX.State == event.TLSPassthrough {
		return false
	}
	s.mx, s.source, s.tenant, s.took = of.Destination.Addr(), of.Source.Addr(), tenant, nothing
	if leg.Way != nil {
		s.provider, s.instead = leg.Way.Provider, leg.Way.Instead
	}
	return true
}

// ofMail takes a mail that has ended; it is false where the MX had no part in it.
func (s *sample) ofMail(f *event.Facts) bool {
	t, leg := f.Transaction, &f.Session.Leg
	if t.Leg == 0 || t.Leg != leg.Number || !s.begin(f.Session, leg, f.Tenant) {
		return false
	}
	s.id, s.size = mailID(f.Session.ID, t.Number), t.BodyBytes
	s.badRecipient, s.stalled = t.RcptsRefused > 0, t.Stalled > 0
	from := event.PhaseDial
	if leg.Mails <= 1 { // the times of opening the connection are this mail's
		from = leg.From
		s.opening(leg)
	}
	if from <= event.PhaseMail {
		s.reply(f, timing.Mail, &t.Mail)
	}
	if from <= event.PhaseRcpt {
		s.recipient(f, from == event.PhaseRcpt)
	}
	if from <= event.PhaseData {
		s.reply(f, timing.Data, &t.Data)
	}
	if t.BodyBytes > 0 {
		s.took[timing.Write] = event.MicrosOf(t.Window)
	}
	s.reply(f, timing.Dot, &t.Dot)
	s.inAll = s.sum()
	if f.Spent != nil && (leg.Mails > 1 || leg.From == event.PhaseDial) { // else a part of it was spent on another connection
		s.inAll = event.MicrosOf(f.Spent.ForMX())
		if leg.Mails <= 1 {
			s.inAll += event.MicrosOf(leg.Opening())
		}
	}
	return s.took != nothing
}

// recipient takes the reply to the first recipient; with last to the last one, where others may have been said on another connection.
func (s *sample) recipient(f *event.Facts, last bool) {
	all := f.Transaction.Recipients
	for i := range all {
		at := i
		if last {
			at = len(all) - 1 - i
		}
		if r := &all[at].Reply; said(r) {
			s.reply(f, timing.Rcpt, r)
			return
		}
	}
}

// ofLeg takes a connection on which no mail has ended, or that was never there.
func (s *sample) ofLeg(f *event.Facts, leg *event.Leg) bool {
	tenant := f.Tenant
	if leg.Way != nil && leg.Way.Tenant != "" {
		tenant = leg.Way.Tenant
	}
	if leg.Number == 0 || leg.Mails > 0 || !s.begin(f.Session, leg, tenant) {
		return false
	}
	s.id, s.stalled = mailID(f.Session.ID, 1), leg.Stalled > 0
	switch leg.Failed {
	case event.DialNot, event.DialBarred: // nobody has answered, or somebody on the way
		return false
	case event.DialRefused:
		s.refused, s.opened = true, true
		return true
	case event.DialUnanswered:
		s.took[timing.Dial] = leg.Phases[event.PhaseDial]
		s.inAll = s.sum()
		return true
	case event.OpeningLost:
		if leg.Phases[event.PhaseBanner] == 0 { // as good as refused
			s.refused, s.opened = true, true
			return true
		}
	}
	s.opening(leg)
	s.inAll = s.sum()
	for i := range f.End.Opening {
		if o := &f.End.Opening[i]; o.Leg == leg.Number && o.Phase < event.PhaseIdle {
			s.drips(f, phases[o.Phase], &o.Reply)
		}
	}
	return s.took != nothing
}

// ofWait takes something that has not come yet. It is no new connection: that is told when it is there.
func (s *sample) ofWait(f *event.Facts, w *event.Wait) bool {
	timed := w.Phase < event.PhaseIdle || w.Phase >= event.PhaseMail && w.Phase <= event.PhaseDot
	if !timed || !s.begin(f.Session, &f.Session.Leg, w.Tenant) {
		return false
	}
	s.id, s.size, s.waits, s.inAll = mailID(w.Session, max(1, w.Transaction)), w.Size, true, event.MicrosOf(w.InAll)
	s.badRecipient, s.stalled = w.RcptsRefused > 0, 2*w.Stalled > w.Waited
	if w.Phase >= event.PhaseBody {
		s.took[timing.Write] = event.MicrosOf(w.Window)
	}
	s.took[phases[w.Phase]] = event.MicrosOf(w.Waited - w.Stalled) // so long at least
	return true
}

// opening takes the times of opening a leg.
func (s *sample) opening(leg *event.Leg) {
	s.opened, s.stalled = true, s.stalled || leg.Stalled > 0
	for p, d := range leg.Phases {
		if d <= 0 {
			continue
		}
		to := &s.took[phases[p]]
		if *to == absent {
			*to = 0
		}
		*to += d
	}
}

// phases are those of the detector, by those of a session.
var phases = [event.PhaseCount]timing.Phase{
	event.PhaseDial: timing.Dial, event.PhaseBanner: timing.Banner,
	event.PhaseEHLO: timing.Hello, event.PhaseStartTLS: timing.Hello, event.PhaseHandshake: timing.Hello, event.PhaseEHLOTLS: timing.Hello,
	event.PhaseMail: timing.Mail, event.PhaseRcpt: timing.Rcpt, event.PhaseData: timing.Data, event.PhaseBody: timing.Write, event.PhaseDot: timing.Dot,
}

// said reports whether a reply is the MX's.
func said(r *event.Reply) bool { return r.Code != 0 && !r.Local }

func (s *sample) reply(f *event.Facts, phase timing.Phase, r *event.Reply) {
	if said(r) {
		s.took[phase] = r.Took
		s.drips(f, phase, r)
	}
}

// drips notes a reply of one line that came in pieces.
func (s *sample) drips(f *event.Facts, phase timing.Phase, r *event.Reply) {
	if r.Pieces >= timing.DripPieces && r.Took >= r.First+event.MicrosOf(timing.DripTime) && !bytes.Contains(f.Text(r.Text), newline) {
		s.dripped |= 1 << phase
	}
}

var newline = []byte("\n")

// mailID names a mail, the same while it waits and when it has ended.
func mailID(session event.ID, number int) uint64 {
	const apart = 0x9e3779b97f4a7c15
	return max(1, uint64(session)^uint64(number)*apart) //nolint:gosec // mixed, not counted with
}

// key is whose mail it is where.
func (s *sample) key() Key {
	name := s.provider
	if name == "" {
		name = witness.Stranger(s.mx)
	}
	return Key{s.ip.Unmap(), name}
}

// sum is of all phases.
func (s *sample) sum() (sum event.Micros) {
	for _, took := range s.took {
		if took != absent {
			sum += took
		}
	}
	return sum
}

// waited is how long the mail has waited for the MX in all.
func (s *sample) waited() time.Duration { return s.inAll.Duration() }
