package session

import (
	"errors"
	"fmt"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// stage is how far the MX leg has been opened.
type stage uint8

const (
	stageNone    stage = iota // no connection
	stageDialled              // connected, banner not read
	stageBanner               // banner read
	stageHello                // EHLO answered, TLS to come
	stageTLS                  // inside TLS, EHLO to come again
	stageReady                // commands may pass
)

// openMX opens the MX leg as far as the goal, from wherever it is; if it must, from another sending IP than the first.
func (s *session) openMX(goal stage) error {
	before := s.log.spendsIn(event.SpentOpening)
	err := s.rescueOpening(goal, s.openAsFar(goal))
	s.log.back(before)
	return err
}

// openAsFar is openMX through one sending IP: if need be with HELO on another connection.
func (s *session) openAsFar(goal stage) error {
	err := s.openStages(goal)
	if s.wantsHELO(err) {
		return s.openWithHELO(goal, err)
	}
	var f *failure
	if errors.As(err, &f) && f.trouble == mxLost && f.reply != nil {
		return s.standsBy(f.reply)
	}
	return err
}

// openStages takes the MX leg from stage to stage. The same function serves the first connection, the plain one after a failed
// handshake, and those of a rescue.
func (s *session) openStages(goal stage) error {
	for s.mx.stage < goal {
		var err error
		switch s.mx.stage {
		case stageNone:
			err = s.dial()
		case stageDialled:
			err = s.readBanner()
		case stageBanner:
			err = s.sayHello(event.PhaseEHLO)
		case stageHello:
			err = s.startTLS()
		case stageTLS:
			err = s.afterFinished(s.sayHello(event.PhaseEHLOTLS))
		}
		s.mx.opens(s.now(), err)
		var tlsErr *tlsFailure
		if errors.As(err, &tlsErr) && s.mayConnectAnew() {
			err = s.tlsFailed(tlsErr)
		}
		if err != nil {
			s.abandonTLS()
			return err
		}
	}
	return nil
}

// A refused is the MX's no to a step of opening its leg, or to a command that was said to it again. The words are in the reply at hand.
type refused struct {
	phase event.Phase // of what was refused
	line  []byte      // the command that was said again; nil: what was refused is what the leg is opened for
	code  int         // of a banner where the MSA has been given one already; 0: the reply is for the MSA
}

func (r *refused) Error() string {
	if r.code != 0 {
		return fmt.Sprintf("second connection refused: %d", r.code)
	}
	return "refused by the MX"
}

// refusal returns the MX's no that an error is, or has for its cause; nil: it is something else.
func refusal(err error) *refused {
	var no *refused
	_ = errors.As(err, &no)
	return no
}

func (s *session) readBanner() error {
	s.mx.sent = s.now()
	if err := s.readReply(event.PhaseBanner); err != nil {
		return err
	}
	s.mx.info.Phases[event.PhaseBanner] = event.MicrosOf(s.mx.took)
	s.mx.stage = stageBanner
	s.log.opened(event.PhaseBanner, &s.mx.reply, s.mx.first, s.mx.took)
	if s.mx.reply.Class() >= 4 {
		s.mx.info.Failed = event.OpeningRefused
	}
	if s.talk.hello == smtp.VerbUnknown {
		return nil // the first connection: the caller passes the banner on, whatever it is
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	if !s.mx.reply.Positive() {
		return &failure{trouble: mxUnreachable, phase: event.PhaseBanner, cause: &refused{phase: event.PhaseBanner, code: s.mx.reply.Code}}
	}
	return nil
}

// sayHello introduces kanmon to the MX: always with EHLO, so that TLS is used for an MSA that only says HELO, too.
func (s *session) sayHello(phase event.Phase) error {
	if s.mx.pending() {
		return s.unasked(phase)
	}
	verb := "EHLO"
	if s.again.helo == heloNeeded || s.mx.ehloRefused && s.talk.hello == smtp.VerbHELO {
		verb = "HELO"
	}
	var refusal *smtp.Reply // of EHLO
	for {
		if err := s.helloOnce(verb, phase); err != nil {
			return refusedBefore(err, refusal)
		}
		switch {
		case s.mx.reply.Code == 421:
			return s.saidGoodbye(phase)
		case s.mx.reply.Class() == 3:
			return &failure{trouble: mxGarbled, phase: phase, cause: fmt.Errorf("reply %d to %s", s.mx.reply.Code, verb)}
		case s.mx.reply.Class() == 2:
			s.afterHello(verb, phase)
			return nil
		case s.mx.reply.Class() == 5 && verb == "EHLO" && s.talk.hello == smtp.VerbHELO && phase == event.PhaseEHLO:
			said := s.mx.reply.Clone()
			verb, refusal = "HELO", &said // RFC 5321 §3.2: an MX from before ESMTP
			s.budget.hidesBehindHello(s.now())
		default:
			s.mx.ehloRefused = verb == "EHLO" && s.mx.reply.Class() == 5
			return &refused{phase: phase}
		}
	}
}

// afterFinished takes a connection that was lost at the first EHLO inside TLS for a failure of TLS. With TLS 1.3 the client is done
// before the server has judged it: its alert, or its hang-up, comes at the first read (RFC 8446 §4.4.2.4, §6).
func (s *session) afterFinished(err error) error {
	var f *failure
	if errors.As(err, &f) && f.trouble == mxLost {
		return &tlsFailure{phase: event.PhaseEHLOTLS, cause: f.cause, begun: s.at(s.mx.sent)}
	}
	return err
}

func (s *session) helloOnce(verb string, phase event.Phase) error {
	name := s.mx.info.HeloMX
	if name == "" || s.observing() {
		name = s.info.HeloMSA // observe mode: untouched
		s.mx.info.HeloMX = name
	}
	begun := time.Now()
	mark := event.MarkMadeForMX
	if phase == event.PhaseEHLO && name == s.info.HeloMSA && verb == s.talk.hello.String() {
		mark = event.MarkToMX
	}
	line := append(append(append(s.mx.buffer(), verb...), ' '), name...)
	s.log.line(mark, line)
	s.mx.out = append(line, '\r', '\n')
	s.mx.ehloSaid = s.mx.ehloSaid || verb == "EHLO"
	s.mx.sent = s.now()
	s.mx.reply.Reset() // where this cannot be written, a refusal of EHLO before it is no answer to it
	if err := s.flushMX(); err != nil {
		return s.mxFailure(phase, err)
	}
	if err := s.readReply(phase); err != nil {
		return err
	}
	if s.mx.stage == stageTLS {
		s.tlsWorked()
	}
	s.mx.info.Phases[phase] += event.MicrosOf(time.Since(begun)) // HELO may follow EHLO
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	s.log.opened(phase, &s.mx.reply, s.mx.first, s.mx.took)
	return nil
}

// observing reports whether the MSA's own name goes to the MX.
func (s *session) observing() bool { return !s.mx.info.SendingIP.IsValid() }

// afterHello decides what comes next: what was learned before TLS counts for nothing but for this decision (RFC 3207 §4.2).
func (s *session) afterHello(verb string, phase event.Phase) {
	var odd oddWords
	parseEHLO(&s.mx.reply, &s.mx.caps, &odd)
	s.noteKeywords(&odd)
	if verb == "HELO" {
		s.mx.caps = capabilities{first: s.mx.caps.first} // an MX from before ESMTP offers nothing, whatever it says
	}
	s.mx.stage = stageReady
	if phase == event.PhaseEHLOTLS {
		return
	}
	s.budget.hidesBehindHello(s.now())
	if mx := s.info.Destination.Addr(); s.mx.caps.offers(kwStartTLS) && !s.e.Live.knowsTLS(mx) {
		s.e.Live.offersTLS.put(mx, struct{}{}, s.sharer().text())
	}
	if s.mx.caps.offers(kwStartTLS) && s.dest.TLS != TLSOff && s.mx.info.MX.State != event.TLSOn && s.tryTLS() {
		s.mx.stage = stageHello
		return
	}
	if s.dest.TLS.must() && s.mx.info.MX.State != event.TLSOn {
		s.shut(shutNoTLS, &replyNoTLS)
	}
}

// answerHello opens the MX leg for the MSA's first EHLO or HELO, and answers from the EHLO after TLS (I9).
func (s *session) answerHello() error {
	switch {
	case s.mx.stage == stageReady:
		return s.helloAgain()
	case !s.mx.open() && (s.mx.shut != shutNot || s.again.helo != heloNeeded):
		s.helloWithoutMX()
		return nil
	}
	if err := s.tellSoFar(event.PhaseEHLO, s.now()); err != nil {
		return err
	}
	if !s.mx.open() {
		s.budget.hides() // the connection before this one answered an EHLO
	}
	err := s.openMX(stageReady)
	no := refusal(err)
	switch {
	case no != nil && no.code == 0:
		s.toMSA(&s.mx.reply, event.ByMX)
		if !s.mx.open() {
			s.mx.reply.Reset() // it is no answer to what comes next
		}
		return nil
	case errors.Is(err, errNoMail):
		s.helloWithoutMX()
		return nil
	case err != nil:
		return err
	}
	s.helloAnswered()
	return nil
}
