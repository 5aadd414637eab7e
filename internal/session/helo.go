package session

import (
	"errors"
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// An MX from before ESMTP, or a box in front of one, may drop the connection when it hears EHLO, or refuse and then drop it. Its
// clients connect anew and say HELO (RFC 5321 §3.2, §4.1.1.1). An MSA that says HELO never said the EHLO that kanmon says for
// it, so the MX would have been reached directly: kanmon does the same in its place. For an MSA that says EHLO it does so only where
// no TLS can be lost by it.

// heloNeed is what a session knows of its MX's ways with EHLO.
type heloNeed uint8

const (
	heloUnknown heloNeed = iota
	heloNeeded           // EHLO ended the connection: say HELO
	heloNext             // the MX has refused EHLO, and hung up before its MSA went on: HELO is for another connection
	heloInVain           // HELO did no better; once a session is enough
)

// wantsHELO reports whether the way that the MX leg failed to open is worth another connection, with HELO.
func (s *session) wantsHELO(err error) bool {
	var f *failure
	if s.again.helo != heloUnknown || s.dest.TLS.must() || !s.mx.ehloSaid || !s.mayConnectAnew() || !errors.As(err, &f) || f.phase != event.PhaseEHLO {
		return false
	}
	said := s.talk.hello == smtp.VerbHELO
	switch f.trouble {
	case mxSaid: // 421: an MSA that said EHLO itself gets to hear it
		return said
	case mxLost:
		return !s.mx.reply.Begun() && (said || !s.e.Live.knowsTLS(s.info.Destination.Addr()))
	default:
		return false
	}
}

// openWithHELO opens the MX leg anew, and says HELO. If that does no better, what the MX has said to EHLO stands.
func (s *session) openWithHELO(goal stage, why error) error {
	said := saidToEHLO(why)
	s.log.notef("%s: HELO on another connection", why)
	s.closeMX()
	s.again.helo = heloNeeded
	s.budget.hidesBehindHello(s.now())
	err := s.openStages(goal)
	var f *failure
	if err == nil || ends(err) {
		return err
	}
	s.again.helo = heloInVain
	switch {
	case !errors.As(err, &f) || f.trouble == mxSaid: // it has said something to HELO, too
		return err
	case said != nil:
		return s.standsBy(said)
	case refusal(err) != nil:
		return err
	default:
		return why
	}
}

// comesBack reports whether a command is the HELO of an MSA whose EHLO the MX had refused before it hung up (RFC 5321 §3.2 asks the
// MSA for it).
func (s *session) comesBack(cmd smtp.Command) bool {
	if s.again.helo != heloNext || cmd.Verb != smtp.VerbHELO || len(cmd.Args) == 0 {
		return false
	}
	s.again.helo = heloNeeded
	return true
}

// saidToEHLO returns what the MX said to EHLO before it closed the connection; nil: nothing.
func saidToEHLO(err error) *smtp.Reply {
	var f *failure
	if !errors.As(err, &f) || f.reply == nil {
		return nil
	}
	said := f.reply.Clone() // its memory is that of the next reply
	return &said
}

// standsBy makes a refusal of EHLO the end of the opening, though the connection has been lost since: the loss must not hide it.
func (s *session) standsBy(said *smtp.Reply) error {
	s.closeMX()
	s.mx.reply = *said
	if s.mx.reply.Code == 421 {
		return s.saidGoodbye(event.PhaseEHLO)
	}
	return &refused{phase: event.PhaseEHLO}
}

// refusedBefore adds to a lost connection what the MX had said to the EHLO before.
func refusedBefore(err error, refusal *smtp.Reply) error {
	var f *failure
	if refusal != nil && errors.As(err, &f) && f.trouble == mxLost {
		f.reply = refusal
	}
	return err
}

// knowsTLS reports whether an MX has offered TLS.
func (l *Live) knowsTLS(mx netip.Addr) bool {
	_, known := l.offersTLS.get(mx)
	return known
}
