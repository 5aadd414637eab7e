package session

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"kanmon/internal/event"
)

// An MSA that has sent a whole message may close its sending side at once, and read on: devices and shell scripts do. RFC 1122
// §4.2.2.13 allows it, and an MX that is spoken to directly delivers. But FIN is also what is seen of an MSA that has given up waiting,
// and will send again. The time tells them apart.

// halfClosed is how long behind the dot a FIN may come and stand for "this was all" instead of "I have gone".
const halfClosed = 2 * time.Second

// msaGone reports whether the MSA has hung up and left nothing to be read. One that leaves a command behind its FIN has only closed its
// sending side: it still waits for the reply; so has one whose FIN came within [halfClosed] behind its dot.
func (s *session) msaGone() bool { return s.msaGoneBehind(0) }

// msaGoneBehind is msaGone where n octets are buffered that the MSA sent before. It may read: slices of Buffered are invalid then.
func (s *session) msaGoneBehind(n int) bool {
	switch s.msa.ending(n) {
	case endNone:
		s.talk.openAt = s.now()
		return false
	case endBehind:
		return false
	case endRST:
		return true
	}
	if s.mail.dotAt == 0 {
		return true
	}
	// Where it is not known when the FIN came, it is taken as an MX would take it: as no reason not to deliver.
	return s.talk.openAt >= s.dotArrived()+halfClosed
}

// lookAtBoth reports whether the MX has said something that it was not asked for, and whether the MSA has hung up. Over
// TCP that is one question to the kernel: it stands before each dot.
func (s *session) lookAtBoth() (said, hungUp bool) {
	said, hungUp, ok := s.askAboutBoth()
	if !ok {
		said, hungUp = s.mx.pending(), s.msa.hungUp()
	}
	if !hungUp {
		s.talk.openAt = max(s.talk.openAt, s.mail.dotAt)
	}
	return said, hungUp
}

func (s *session) askAboutBoth() (said, hungUp, ok bool) {
	mx, isTCP := s.mx.probe.(*tcpProbe)
	if !isTCP || s.msaDescriptor <= 0 || !s.mx.in.Empty() {
		return false, false, false
	}
	events, ofMSA, ok := mx.getWith(s.msaDescriptor)
	return ok && events&hasSaid != 0 && s.mx.pending(), ofMSA&hasHungUp != 0, ok
}

// lookIn is how long to wait before the MSA is looked at again: d, or until a FIN stands no more for a half-close.
func (s *session) lookIn(d time.Duration) time.Duration {
	if left := s.mail.dotAt + halfClosed - s.now(); s.mail.dotAt > 0 && left > 0 {
		return min(d, left)
	}
	return d
}

// looksBy says by when the MSA is to be looked at in a wait for an MX, so that a FIN that comes later than a half-close is known for one:
// before the message is said again to another MX also when that time has passed and the MSA has not been seen since.
func (s *session) looksBy(phase event.Phase, now time.Duration) (by time.Duration, due bool) {
	by = s.mail.dotAt + halfClosed
	if s.mail.dotAt == 0 || s.talk.openAt >= by {
		return 0, false
	}
	return by, phase != event.PhaseDot || by > now
}

// dotArrived is when the dot came in: in plain text, where it may have waited in the socket, the kernel knows.
func (s *session) dotArrived() time.Duration {
	at := s.mail.dotAt
	if !s.msa.isTLS() { // else the last octets may be the close_notify
		at = min(at, s.now()-s.msa.probe.Quiet())
	}
	return at
}

// waitedLong reports whether the MSA has waited for the reply at hand for so long that a FIN of its before that is no
// half-close, and a look at it costs nothing to speak of.
func (s *session) waitedLong() bool { return s.mx.came-s.budget.begun > halfClosed }

// unheard reports whether an MSA that has closed its sending side did not get what was written last: then it has closed altogether, and
// its host answers with RST, or there is no host any more. One that reads on has it acknowledged.
func (s *session) unheard() bool {
	if !s.msa.hungUp() {
		return false
	}
	before := s.log.spendsIn(event.SpentOnMSA)
	defer func() { s.log.back(before) }()
	end := s.now() + lastAck
	for wait := 5 * time.Millisecond; ; wait = min(3*wait, lastAck/40) {
		unheard := s.msa.probe.Unheard() // before it is asked for a RST, which leaves none
		switch {
		case s.msa.probe.Broken():
			return true
		case unheard == 0:
			return false
		case s.now() >= end, s.e.Live.cutting():
			return true
		}
		time.Sleep(wait)
	}
}

// leftBefore is for an MSA that hung up where its next command, or its message, was waited for. Where its host answers
// what was written last with RST, it had closed before it could hear that: it was told nothing, and left in the phase
// of that command.
func (s *session) leftBefore(f *failure) {
	if f.trouble != msaLost || f.phase != event.PhaseIdle && f.phase != event.PhaseBody || !errors.Is(f.cause, io.EOF) {
		return
	}
	first, end := int(s.talk.given.before), int(s.talk.given.now)
	if first == end || end > len(s.talk.slots) || !s.unheard() {
		return
	}
	f.phase = phaseOf(s.talk.slots[first].verb)
	s.log.untold(s.talk.slots[first:end])
}

// lastAck is how long the acknowledgement, or a RST, is waited for, for the record only. A host that has nothing to say
// may keep it back for half a second (RFC 1122 §4.2.3.2). Where an MSA closes as soon as it has read, Linux forgets one
// that it keeps back, and gives it when the kernel here says the reply again, 200 ms and a round trip later: most often
// it comes so. Only who has hung up is waited for.
const lastAck = 2 * time.Second

// errMSAGone ends a write of the last octets of a message.
var errMSAGone = errors.New("the MSA has hung up")

// piece says of octets of a message whether more of them are to be read.
type piece uint8

const (
	onePiece  piece = iota // of several
	lastPiece              // the rest of them: an MSA that goes meanwhile ends the write
)

// writeText writes a piece of a message to the MX.
func (s *session) writeText(p []byte, which piece) (err error) {
	if len(p) <= maxWithDot && s.mx.probe != nil && s.mx.probe.Room() {
		err = s.mx.write(p, s.e.timeout(event.PhaseBody)) // as nearly always, there is no wait to look at anybody in
	} else {
		err = s.writeSteadily(p, which)
	}
	if err != nil {
		s.mx.mute = true
	}
	return err
}

func (s *session) writeSteadily(p []byte, which piece) error {
	w := steady{Conn: s.mx.base, s: s, which: which, end: time.Now().Add(s.patience(event.PhaseBody, s.now()))}
	var n int
	var err error
	if conn, isTLS := s.mx.conn.(*tls.Conn); isTLS {
		under := conn.NetConn().(*steady)
		w.Conn = under.Conn
		*under = w
		n, err = conn.Write(p)
		under.s = nil
	} else {
		n, err = w.Write(p)
	}
	s.mx.written += int64(n)
	return err
}

// A steady is the connection to an MX under its TLS. While a message is written, which may take the MX minutes, it looks each second
// whether the MSA has hung up: a deadline that passes in between is not the end of a record.
type steady struct {
	net.Conn
	s     *session // nil: an ordinary connection
	which piece    // of a message is written
	end   time.Time
}

// Write implements [net.Conn].
func (c *steady) Write(p []byte) (written int, err error) {
	if c.s == nil {
		return c.Conn.Write(p)
	}
	for {
		c.s.mx.armWrite(c.end)
		n, full, err := push(c.Conn, c.s.mx.probe, p[written:])
		written += n
		c.s.overdueWindow(c.s.log.windowFull(full))
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return written, err
		case !time.Now().Before(c.end), c.s.e.Live.cutting():
			return written, err
		case c.s.mustEnd():
			return written, c.s.ends(event.PhaseBody)
		case c.s.goneWhileWriting(c.which):
			return written, errMSAGone
		}
	}
}

// armWrite sets the deadline of a slice of a write.
func (l *leg) armWrite(end time.Time) {
	const slice = time.Second
	now := time.Now()
	if left, most := l.armedW.left(now), end.Sub(now); left < slice/2 || left > min(slice, most) {
		l.armWriteAt(now.Add(min(slice, most)), l.base)
	}
}

// goneWhileWriting is msaGone in the middle of a write. Where that is not of the last octets, more of the message is to be read: all that
// can be known is whether there was a FIN already.
func (s *session) goneWhileWriting(which piece) bool {
	if which == lastPiece {
		return s.msaGone()
	}
	if !s.msa.hungUp() {
		s.talk.openAt = s.now()
	}
	return false
}
