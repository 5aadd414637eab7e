package session

import (
	"errors"
	"fmt"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// The mail at hand. Whether it may go on is state, decided at MAIL, kept here, and asked at every step that follows (I16): an answer to
// one verb binds nobody who pipelines the next. The legal paths:
//
//	none, refused, left ── MAIL, admitted here and forwarded ──▶ asked ── 2xx ──▶ open ── 354 ──▶ coming
//	coming ── the end of the message ──▶ whole ── its dot ──▶ dotted ── a reply that is passed on ──▶ none
//	dotted ── a refusal that another sending IP is tried for ──▶ whole
//	none, refused, left ── MAIL, not forwarded, for whatever reason ──▶ refused
//	asked ── 4xx, 5xx ──▶ refused
//	asked, open ── there is no way to its first recipient ──▶ stranded (asked: 4xx, 5xx to MAIL ──▶ refused)
//	open ── 4xx, 5xx to DATA ──▶ left ── DATA once more, 354 ──▶ coming
//	any but the next three ── RSET accepted, EHLO, HELO, STARTTLS, the MX gone ──▶ none
//	coming, whole, dotted ── anything else ──▶ the session's end: there is no other way out of a message
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
	mailComing                    // the MX wants the message, and its end has not been read
	mailWhole                     // its end has been read; the MX has not got the dot, or has refused it
	mailDotted                    // the MX has the dot, and has not answered: only it knows what becomes of the mail
)

// A mail is the mail at hand, from its MAIL to its end.
type mail struct {
	state    mailState
	utf8     bool  // MAIL carried SMTPUTF8
	large    bool  // MAIL announced more octets than are kept for a rescue
	mustName bool  // the gate is to be asked about a message that names no account
	noBy     uint8 // with mailStranded: the rule that says so, as trace.rule; 0: none does

	senderKnown, recipientKnown bool // else what stands there is of a mail before it

	keptAs keptAs

	sender    string             // in the form of package mailbox
	recipient string             // the first, likewise
	no        *smtp.Reply        // with mailStranded: what its recipients get
	header    *smtp.HeaderFilter // that the gate wants its message to pass; nil: it does not, or the header has passed
	envelope  envelope
	kept      keptBody
	content   *inspected // how its content is judged; nil: nobody has asked, or nobody judges it
	body      smtp.Body
	asked     int32         // RCPTs that were forwarded, or came behind a refusal
	octets    int64         // of its message
	dotAt     time.Duration // when its dot was read, since the session began; 0: it was not
}

// overflows reports whether one more RCPT would be too much of an envelope that must be kept whole: beside what the MX has accepted, and what it
// has yet to answer of the group at hand.
func (s *session) overflows(rcpt []byte) bool {
	v := &s.mail.envelope
	return v.whole && len(v.lines)+len(s.talk.group)+len(rcpt)+len("\r\n") > maxEnvelope
}

// admitted reports whether what follows MAIL may pass.
func (m *mail) admitted() bool { return m.state >= mailAsked }

// underWay reports whether a drain must wait for the mail, and a second MAIL is one too many.
func (m *mail) underWay() bool {
	return m.state != mailNone && m.state != mailRefused && m.state != mailLeft
}

// anew makes a mail none. Memory that the next one can use stays.
func (m *mail) anew() {
	m.envelope.clear()
	m.envelope.accepted, m.envelope.whole = 0, false
	m.endContent()
	*m = mail{sender: m.sender, recipient: m.recipient, envelope: m.envelope, kept: m.kept, keptAs: m.keptAs}
}

// park gives back, before a long wait, what only the next message would use.
func (m *mail) park() {
	if len(m.kept.pieces) == 0 {
		m.kept.pieces = nil
	}
	if len(m.envelope.lines) == 0 {
		m.envelope.lines = nil
	}
}

// beginMail makes a MAIL the mail at hand: nothing holds of what was decided about the one before, and nothing is admitted yet.
func (s *session) beginMail(cmd smtp.Command) {
	s.log.beginsMail(cmd)
	s.mail.anew()
	s.trust.anew()
	s.again.attempts = 0
	keepMailbox(&s.mail.sender, cmd)
	s.mail.senderKnown = true
	if s.gate != nil {
		s.gate.owner, s.gate.pool, s.gate.suspicion = nil, "", nil // of this sender's mail the gate has yet to say
	}
}

// endMail is the end of the mail at hand, for whatever reason.
func (s *session) endMail() {
	s.forgetBody()
	s.mail.anew()
	s.mx.transaction = false
	if s.gate != nil {
		s.gate.pool, s.gate.suspicion = "", nil
	}
	s.tellOver()
}

// resetMail is the end of a mail that the MSA has given up.
func (s *session) resetMail() {
	s.endMail()
	s.log.endTransaction(event.OutcomeReset, event.ByMSA, "")
}

// notAdmitted returns what an RCPT or DATA gets here; nil if the mail at hand has been admitted, and it may pass. It is the only
// way of these commands to the MX.
func (s *session) notAdmitted(verb smtp.Verb) *smtp.Reply {
	switch {
	case s.mail.state == mailStranded && verb == smtp.VerbRCPT:
		return s.mail.no
	case verb == smtp.VerbDATA && (s.mail.state == mailStranded || s.mail.admitted() && s.mail.asked == 0): // no recipient can be open at the MX
		return &replyNeedRcpt
	case !s.mail.admitted():
		return &replyNeedMail
	default:
		return nil
	}
}

// strayMail is called where a line that is, or may be, a MAIL is not forwarded. What follows it is not for a mail whose DATA the MX has
// refused, though that MX may still have it open. Behind one that is under way it changes nothing, as a second MAIL does.
func (s *session) strayMail() {
	if !s.mail.underWay() {
		s.mail.state = mailRefused
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
		if class == 2 && s.mail.admitted() {
			s.mail.envelope.accepted++
			s.accepted(sl)
		}
	case smtp.VerbDATA:
		return s.followData(class)
	case smtp.VerbRSET:
		if class == 2 {
			s.resetMail()
		}
	}
	return nil
}

func (s *session) followMail(sl *slot, class int) {
	if class == 2 {
		s.talk.idle = 0
		s.accepted(sl)
	}
	switch {
	case class != 2:
		s.mail.state = mailRefused
	case s.mail.state == mailAsked: // and not stranded since
		s.mail.state = mailOpen
	}
}

// followData is follow for DATA, the last of its group. An MX that wants a message although it has refused the mail's MAIL gets none:
// the mail was admitted as one that begins with that.
func (s *session) followData(class int) error {
	switch {
	case class == 3 && !s.mail.admitted():
		return &failure{trouble: mxGarbled, phase: event.PhaseData, cause: errBehindRefusal}
	case class == 3:
		s.mail.state = mailComing
	case s.mail.admitted():
		s.mail.endContent()
		s.mail.state = mailLeft
		s.mail.envelope.spoil()
	}
	return nil
}

// errBehindRefusal is the cause where an MX says 354 behind its own refusal of MAIL.
var errBehindRefusal = errors.New("it wants a message whose MAIL it has refused")

// heardReply is the reply at hand with what is known of it.
func (s *session) heardReply(judged *Judgement) heard {
	return heard{reply: &s.mx.reply, judged: judged, first: s.mx.first, took: s.mx.took}
}
