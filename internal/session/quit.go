package session

import (
	"bytes"
	"crypto/tls"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// manners is what a session must know of an MX leg in order to leave it with QUIT. RFC 5321 §4.1.1.10: a client must not close
// before it has said that; receivers ban addresses that do, and a sending IP is shared by many tenants.
type manners struct {
	owed int16     // replies to commands written that have not come
	last smtp.Verb // of the last command written
	text bool      // DATA, or a message, has no final reply yet: whatever is written may become text of the message (I4)
	mute bool      // nothing more is to be said: QUIT has been, 421 has come, half a line is out, or octets that nobody understands
}

// flush writes what has been gathered, and notes which replies the MX owes for it.
func (l *mxLeg) flush(timeout time.Duration, now time.Time) error {
	if len(l.out) > 0 {
		l.says(l.out)
	}
	err := l.flushAt(timeout, now)
	if err != nil {
		l.mute = true
	}
	return err
}

// says notes command lines that are about to be written.
func (l *mxLeg) says(lines []byte) {
	l.owed += int16(bytes.Count(lines, []byte("\n")))
	lines = bytes.TrimSuffix(lines, []byte("\r\n"))
	cmd, _ := smtp.ParseCommand(lines[bytes.LastIndexByte(lines, '\n')+1:])
	l.last = cmd.Verb
	l.text = l.text || cmd.Verb == smtp.VerbDATA
	l.mute = l.mute || cmd.Verb == smtp.VerbQUIT
}

// heard notes a reply that was read in a phase.
func (l *mxLeg) heard(phase event.Phase, reply *smtp.Reply) {
	l.owed = max(0, l.owed-1)
	switch {
	case reply.Code == 421: // the MX closes (RFC 5321 §3.8)
		l.mute = true
	case phase == event.PhaseStartTLS && reply.Positive(): // what follows is a handshake, until startTLS
		l.mute = true
	case phase == event.PhaseMail && reply.Positive():
		l.transaction = true
	case phase == event.PhaseData && reply.Class() >= 4, phase == event.PhaseDot && reply.Class() != 3:
		l.text = false
	}
}

// startTLS is leg.startTLS, and what comes behind the handshake are commands again.
func (l *mxLeg) startTLS(conn *tls.Conn, under *smtp.Under) {
	l.leg.startTLS(conn, under)
	l.mute = false
}

// mayQuit reports whether the leg is in good order: the MX has greeted, waits for a command, and takes one now. Where it owes replies,
// it takes QUIT behind MAIL, RCPT and RSET only, and only if it offers PIPELINING (RFC 2920 §3.1).
func (l *mxLeg) mayQuit() bool {
	if !l.open() || l.stage < stageBanner || l.mute || l.text || l.hungUp() {
		return false
	}
	return l.owed == 0 || !l.last.EndsGroup() && l.caps.offers(kwPipelining)
}

// leave says QUIT on a leg that is about to be closed, if that is in order. The reply is not waited for, and for room in the socket
// only as long as nobody notices.
func (s *session) leave(l *mxLeg) {
	if l.catchUp(); !l.mayQuit() {
		return
	}
	l.mute = true
	if l.pending() { // closing a socket with unread octets sends RST, which can destroy the QUIT
		l.arm(time.Now().Add(time.Millisecond))
		_ = l.in.Fill()
	}
	l.in.Discard(len(l.in.Buffered()))
	l.armWriteAt(time.Now().Add(quitPatience), l.conn)
	n, err := l.conn.Write([]byte("QUIT\r\n"))
	l.written += int64(n)
	if err == nil {
		s.log.line(event.MarkMadeForMX, []byte("QUIT"))
	}
}

// catchUp reads the replies that the MX owes, as far as they have come: behind a refusal those to the rest of its group, DATA at its end.
func (l *mxLeg) catchUp() {
	var reply smtp.Reply
	for l.owed > 0 && l.open() && !l.mute {
		ok, err := l.in.Reply(&reply)
		switch {
		case ok:
			phase := event.PhaseReset
			switch {
			case l.owed > 1:
			case l.last == smtp.VerbSTARTTLS:
				phase = event.PhaseStartTLS
			default:
				phase = phaseOf(l.last)
			}
			l.heard(phase, &reply)
			reply.Reset()
			continue
		case err != nil:
			l.mute = true
			return
		case !l.pending():
			return
		}
		l.arm(time.Now().Add(time.Millisecond))
		if l.in.Fill() != nil {
			return
		}
	}
}

// quitPatience is how long a socket may take to take a QUIT.
const quitPatience = 50 * time.Millisecond

// quitAnyway is called where QUIT could not be forwarded. An MSA that reads anything else than 221 here may take the
// mail before for failed; an MX's own 421 is passed on.
func (s *session) quitAnyway(err error) error {
	if ends(err) || isSaid(err) {
		return err
	}
	if isGarbled(err) && s.mx.owed == 0 {
		s.mx.mute = false // a line too many, behind replies that are all there
	}
	s.talk.slots[len(s.talk.slots)-1].local, s.talk.quit = &replyBye, true
	return nil
}

// answerQuit passes on the MX's 221, or its 421. Where none comes soon, kanmon says 221 (S9); so it does where something else comes:
// that may be a second reply to the dot, and an MSA could take the mail for failed.
func (s *session) answerQuit() {
	s.talk.quit = true
	switch err := s.readReply(event.PhaseQuit); {
	case err == nil && (s.mx.reply.Code == 221 || s.mx.reply.Code == 421):
		s.toMSA(&s.mx.reply, event.ByMX)
		return
	case err == nil:
		s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
		s.noteStray("a reply other than 221 to QUIT")
	case isGarbled(err):
		s.noteStray("what is no reply")
	}
	s.toMSA(&replyBye, event.ByKanmon)
}
