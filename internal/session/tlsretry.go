package session

import (
	"crypto/tls"
	"errors"
	"time"

	"kanmon/internal/event"
)

// tryTLS reports whether STARTTLS is to be said to an MX that offers it. The first connection of a leg asks what is known of the MX;
// those behind it have what came of the ones before.
func (s *session) tryTLS() bool {
	if s.mx.way&wayChosen == 0 {
		must := s.dest.TLS.must() || s.trust.isRedialling()
		way, why := s.e.Live.tls.choose(s.info.Destination.Addr().Unmap(), s.info.ID, time.Now(), must)
		s.mx.way |= way | wayChosen
		if way&wayPlain != 0 {
			s.mx.info.MX = event.TLS{State: event.TLSDowngraded, Err: why, Cause: s.e.Live.tls.lastCause(s.info.Destination.Addr().Unmap())}
			s.log.notef("plain text: %s", why)
		}
	}
	return s.mx.way&wayPlain == 0
}

// tlsWorked notes that the MX has answered inside TLS. Before that a handshake proves little: with TLS 1.3 the client is done before
// the server has judged it.
func (s *session) tlsWorked() {
	mx := s.info.Destination.Addr().Unmap()
	if s.e.Live.tls.worked(mx, s.mx.way, postQuantum(s.mx.info.MX.Curve), time.Now()) {
		if line, tell := s.e.Live.odd.notices.happened(noticeTLS, mx.String(), time.Now()); tell {
			s.e.logger().Info("TLS with an MX works again", "session", s.info.ID.String(), "destination", mx.String(), "left_out", line.left)
		}
	}
}

// postQuantum reports whether a key exchange is one of those that the hello offers beside the classical ones.
func postQuantum(curve uint16) bool {
	switch tls.CurveID(curve) {
	case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
		return true
	}
	return false
}

// abandonTLS is called where the leg does not come up for another reason, so that somebody else may find out about the MX.
func (s *session) abandonTLS() {
	if s.mx.way&wayChosen != 0 {
		s.e.Live.tls.abandon(s.info.Destination.Addr().Unmap(), s.info.ID)
	}
}

// tlsFailed decides what follows where TLS has failed on this connection: always a fresh one, since what came on this one cannot be
// trusted. It is tried there without what may have broken it: first the ticket, then the name that was shown, then the post-quantum
// key share. Then comes plain text, or no mail where TLS must be.
func (s *session) tlsFailed(why *tlsFailure) error {
	if s.mustEnd() { // its waits are being ended, which says nothing of the MX's TLS
		return s.ends(why.phase)
	}
	s.log.notef("%s", why)
	way := s.mx.way
	name := s.trust.shownName(way)
	s.forgetTicket(way, name) // also one that came before the MX changed its mind
	s.closeMX()
	s.rememberFailure(why)
	said := why.Error()
	if before := s.mx.info.MX.Err; before != "" {
		said = before + "; " + said
	}
	s.mx.info.MX = event.TLS{State: event.TLSDowngraded, Err: said, Cause: why.why()}
	s.mx.way = way&^(wayTicket|wayTicketFailed|wayNamed) | wayAgain
	if why.hung && !s.dest.TLS.must() {
		s.mx.way |= wayImpatient
	}
	switch {
	case way&wayTicket != 0:
		s.mx.way |= wayNoTicket | wayTicketFailed
	case name != "":
		s.mx.way |= wayNoName
		s.e.Trust.Unknown(s.info.Destination, name)
	case why.ofHello(way) && s.timeForTLS():
		s.mx.way |= wayNoTicket | wayClassical
	case s.dest.TLS.must():
		s.mx.info.MX.State = event.TLSNone
		s.shut(shutNoTLS, &replyNoTLS)
		return errNoMail
	case s.again.promised.tls: // without, the leg could not take over
		return errUnfit
	default:
		s.mx.way |= wayPlain
	}
	return nil
}

// forgetTicket drops what would resume TLS with the MX of the leg at hand, where such a name was shown to it; "": none was.
func (s *session) forgetTicket(way tlsWay, name string) {
	config := s.e.tlsToMX().config(way&^wayNoTicket, s.info.Destination, name)
	if cache := config.ClientSessionCache; cache != nil {
		cache.Put(ticketKey(config, s.mx.base), nil)
	}
}

// ofHello reports whether a handshake may have failed because of the post-quantum key share, or the length that it gives the hello. An
// MX that answers with something that is no TLS at all does so whatever it is sent.
func (f *tlsFailure) ofHello(way tlsWay) bool {
	var foreign tls.RecordHeaderError
	return f.phase == event.PhaseHandshake && way&wayClassical == 0 && !errors.As(f.cause, &foreign)
}

// timeForTLS reports whether there is time for one more connection with TLS, and for one without behind it.
func (s *session) timeForTLS() bool {
	p := &s.mx.info.Phases
	opening := p[event.PhaseDial] + p[event.PhaseBanner] + p[event.PhaseEHLO] + p[event.PhaseStartTLS]
	return s.budget.left(s.now()) > 2*(opening.Duration()+hungPatience)
}

// rememberFailure tells the memory, and the operator what follows from it for the mail of all.
func (s *session) rememberFailure(why *tlsFailure) {
	if why.short {
		return
	}
	mx := s.info.Destination.Addr().Unmap()
	until := s.e.Live.tls.failed(mx, s.mx.way, why, time.Now())
	if until.IsZero() {
		return
	}
	if line, tell := s.e.Live.odd.notices.happened(noticeTLS, mx.String(), time.Now()); tell {
		s.e.logger().Warn("TLS with an MX has failed again and again: plain text for a while", "session", s.info.ID.String(),
			"destination", mx.String(), "until", until.Round(time.Second), "phase", why.phase.String(), "error", why.cause, "left_out", line.left)
	}
}
