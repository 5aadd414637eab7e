package session

import (
	"errors"
	"fmt"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// The mail at hand. Whether it may go on is state, decided at MAIL, kept here, and asked at every step that follows (I16): an answer to
// one verb binds nobody who pipelines the next. The legal paths:
//
//	none, refused, left ── MAIL, admitted here and forwarded ──▶ asked ── 2xx ──▶ open ── 354, message, reply to the dot ──▶ none
//	none, refused, left ── MAIL, not forwarded, for whatever reason ──▶ refused
//	asked ── 4xx, 5xx ──▶ refused
//	asked, open ── there is no way to its first recipient ──▶ stranded (asked: 4xx, 5xx to MAIL ──▶ refused)
//	open ── 4xx, 5xx to DATA ──▶ left ── DATA once more, 354 ──▶ open
//	any ── RSET accepted, EHLO, HELO, STARTTLS, the MX gone ──▶ none
//
// RCPT and DATA pass in asked, open and left, and nowhere else. A MAIL in asked, open or stranded is a second one, and changes nothing.
// The replies of the MX move the state, too, but never to where the gate has not let the mail: a 250 to a MAIL whose mail is stranded
// leaves it there.
type mailState uint8

const (
	mailNone     mailState = iota // there is none
	mailRefused                   // not admitted, or refused by the MX: what follows its MAIL is for nobody
	mailStranded                  // admitted, but it cannot leave for where its first recipient is
	mailAsked                     // admitted; its MAIL is on the way to the MX, which has not answered
	mailOpen                      // the MX took its MAIL
	mailLeft                      // the MX refused its DATA: over for us, but many an MX lets an MSA try again
)

// transaction is the mail at hand.
type transaction struct {
	state    mailState
	atMX     bool        // the MX has a transaction open, or may have: this mail's, or one before it that was not reset
	utf8     bool        // MAIL carried SMTPUTF8
	large    bool        // MAIL announced more octets than are kept for a rescue
	no       *smtp.Reply // with mailStranded: what its recipients get
	asked    int         // RCPTs that were forwarded, or came behind a refusal
	accepted int         // RCPTs the MX accepted
	octets   int64
}

// admitted reports whether what follows MAIL may pass.
func (t *transaction) admitted() bool { return t.state >= mailAsked }

// underWay reports whether a drain must wait for it, and a second MAIL is one too many.
func (t *transaction) underWay() bool {
	return t.state == mailStranded || t.state == mailAsked || t.state == mailOpen
}

// beginMail makes a MAIL the mail at hand: nothing holds of what was decided about the one before, and nothing is admitted yet.
func (s *session) beginMail(cmd smtp.Command) {
	s.log.beginsMail(cmd)
	keepMailbox(&s.sender, cmd)
	s.senderKnown, s.recipientKnown = true, false
	if s.gate != nil {
		s.gate.owner = nil // of this sender's mail the gate has yet to say
	}
	s.tx = transaction{atMX: s.tx.atMX}
}

// notAdmitted returns what an RCPT or DATA gets here; nil if the mail at hand has been admitted, and it may pass. It is the only
// way of these commands to the MX.
func (s *session) notAdmitted(verb smtp.Verb) *smtp.Reply {
	switch {
	case s.tx.state == mailStranded && verb == smtp.VerbRCPT:
		return s.tx.no
	case !s.tx.admitted():
		return &replyNeedMail
	case verb == smtp.VerbDATA && s.tx.asked == 0: // no recipient can be open at the MX
		return &replyNeedRcpt
	default:
		return nil
	}
}

// strayMail is called where a line that is, or may be, a MAIL is not forwarded. What follows it is not for a mail whose DATA the MX has
// refused, though that MX may still have it open. Behind one that is under way it changes nothing, as a second MAIL does.
func (s *session) strayMail() {
	if !s.tx.underWay() {
		s.tx.state = mailRefused
	}
}

// follow moves the transaction as the MX's reply says, not as the commands suggest.
func (s *session) follow(sl *slot, judged *Judgement) error {
	class, phase := s.mx.reply.Class(), phaseOf(sl.verb)
	if class == 3 != (sl.verb == smtp.VerbDATA && s.mx.reply.Code == 354) || class == 2 && sl.verb == smtp.VerbDATA {
		return &failure{trouble: mxGarbled, phase: phase, cause: fmt.Errorf("reply %d to %s", s.mx.reply.Code, sl.verb)}
	}
	h := s.heardReply(judged)
	h.softened = judged.softens(phase, &s.mx.reply) && !judged.Observe
	s.log.answered(sl, h)
	switch sl.verb {
	case smtp.VerbMAIL:
		s.followMail(sl, class)
	case smtp.VerbRCPT:
		if class == 2 && s.tx.admitted() {
			s.tx.accepted++
			s.accepted(sl)
		}
	case smtp.VerbDATA:
		return s.followData(class)
	case smtp.VerbRSET:
		if class == 2 {
			s.resetTransaction()
		}
	}
	return nil
}

func (s *session) followMail(sl *slot, class int) {
	if class == 2 {
		s.tx.atMX = true
		s.idle = 0
		s.accepted(sl)
	}
	switch {
	case class != 2:
		s.tx.state = mailRefused
	case s.tx.state == mailAsked: // and not stranded since
		s.tx.state = mailOpen
	}
}

// followData is follow for DATA, the last of its group. An MX that wants a message although it has refused the mail's MAIL gets none:
// the mail was admitted as one that begins with that.
func (s *session) followData(class int) error {
	switch {
	case class == 3 && !s.tx.admitted():
		return &failure{trouble: mxGarbled, phase: event.PhaseData, cause: errBehindRefusal}
	case class == 3:
		s.tx.state = mailOpen
	case s.tx.admitted():
		s.tx.state = mailLeft
		s.rescue.envelope.spoil()
	}
	return nil
}

// errBehindRefusal is the cause where an MX says 354 behind its own refusal of MAIL.
var errBehindRefusal = errors.New("it wants a message whose MAIL it has refused")

// forgetTransaction is the end of the mail at hand, for whatever reason.
func (s *session) forgetTransaction() {
	s.clearTransaction()
	s.tellOver()
}

func (s *session) clearTransaction() {
	s.tx, s.looks.dotAt = transaction{}, 0
	s.rescue.envelope.clear()
	s.forgetBody()
}

func (s *session) resetTransaction() {
	s.forgetTransaction()
	s.log.endTransaction(event.OutcomeReset, event.ByMSA, "")
}

// heardReply is the reply at hand with what is known of it.
func (s *session) heardReply(judged *Judgement) heard {
	return heard{reply: &s.mx.reply, judged: judged, first: s.mx.first, took: s.mx.took}
}
