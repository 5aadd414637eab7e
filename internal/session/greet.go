package session

import (
	"fmt"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// letIn asks whether the MSA may come in, and greets it. passes says that it may, and that all is only to be passed through. This is not
// converse itself because what it needs would lie on the stack of each held session.
func (s *session) letIn() (passes bool, err error) {
	s.log.notef("connected from %s", s.info.Source)
	s.mayDelay(bannerDelay)
	no := s.ask(new(smtp.Command), Question{Step: event.StepConnect, Unseen: s.dest.Passthrough})
	switch {
	case s.talk.left:
		return false, &failure{trouble: msaLost, phase: event.PhaseDial}
	case no != nil:
		return false, s.greetWithoutMX("not let in", shutByGate, no)
	case s.dest.Passthrough:
		return true, nil
	default:
		return false, s.greet()
	}
}

// greet opens the MX leg as far as its banner and passes that on.
func (s *session) greet() error {
	if err := s.openMX(stageBanner); err != nil {
		if no := s.noSendingIP(err); no != nil {
			return s.greetWithoutMX(err.Error(), shutNoIP, no)
		}
		return s.ungreeted(err)
	}
	if n := s.msa.unread() + len(s.msa.in.Buffered()); n > maxEarly {
		return &failure{trouble: msaForeign, phase: event.PhaseBanner, cause: fmt.Errorf("%d octets before the banner", n)}
	}
	if s.mx.reply.Class() == 3 {
		return &failure{trouble: mxGarbled, phase: event.PhaseBanner, cause: fmt.Errorf("banner %d", s.mx.reply.Code)}
	}
	if s.talk.refused = !s.mx.reply.Positive(); s.talk.refused { // RFC 5321 §4.2 has 220 only; every MSA looks at the first digit
		if s.mx.reply.Code == 421 {
			return s.saidGoodbye(event.PhaseBanner)
		}
		s.toMSA(&s.mx.reply, event.ByMX)
		s.closeMX()
		return s.flushMSA(event.PhaseBanner)
	}
	s.toMSA(&s.mx.reply, event.ByMX)
	return s.flushMSA(event.PhaseBanner)
}

// greetWithoutMX serves an MSA whose mail cannot go: it learns so at MAIL, and in a 4xx (I13).
func (s *session) greetWithoutMX(cause string, why shut, reply *smtp.Reply) error {
	s.log.notef("no MX: %s", cause)
	s.shut(why, reply)
	greeting := replies.Greeting.Say(s.e.name()).Reply("")
	s.toMSA(&greeting, event.ByKanmon)
	return s.flushMSA(event.PhaseBanner)
}

// maxEarly is how many octets an MSA may have sent before it saw the banner. They are held, never forwarded early.
const maxEarly = 64 << 10
