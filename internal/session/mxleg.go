package session

import (
	"net"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// An mxLeg is the MX's side, with all that is known of it. Nothing of it is another's memory, so that it can be set
// aside, replaced, and taken back, as one value.
type mxLeg struct {
	leg
	exchange
	manners                  // for its end
	info        event.Leg    // what goes on record of it
	caps        capabilities // what this MX has said to EHLO
	stage       stage        // how far it has been opened
	ehloSaid    bool         // on this connection
	ehloRefused bool         // this MX is from before ESMTP, or does not want us
	transaction bool         // one is open at this MX, or may be: that of the mail at hand, or one before it that was not reset
	way         tlsWay       // how TLS is tried on this connection, if it is
	shut        shut         // why no mail may go to this MX
	probed      bool         // whether it is still there: keep-alive is on
	toMail      *smtp.Reply  // with shut: what every MAIL gets
	closed      func()       // tells the dialler; nil for none
}

// close closes the connection as it is.
func (l *mxLeg) close() {
	if !l.open() {
		return
	}
	l.leg.close()
	if l.closed != nil {
		l.closed()
	}
}

// An exchange is the last question to the MX and its answer. Points in time are durations since the session began.
type exchange struct {
	reply smtp.Reply    // the one being read, or that was read last
	sent  time.Duration // when the command that the reply answers was written
	first time.Duration // how long behind that the first octet of the reply came; 0: none has come
	took  time.Duration // and its last one
	came  time.Duration // when octets of the MX were read last
	lain  time.Duration // when those came that the next reads find; 0: as they find them
}

// An MX that vanished without a word is found after 60 + 4×30 s: sooner than the 15 minutes that a session may wait
// for the reply to its dot, and cheap with ten thousand sessions waiting.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 30 * time.Second, Count: 4}

// keepAlive has an MX found that vanishes. Whoever does not wait long for it needs none: that takes four calls of the kernel.
func (l *mxLeg) keepAlive() {
	if l.probed || !l.open() {
		return
	}
	l.probed = true
	if conn, isTCP := l.base.(*net.TCPConn); isTCP {
		_ = conn.SetKeepAliveConfig(keepAlive) // fails only if the MX has gone, and then everything else will
	}
}

// shut is why no mail may go to an MX.
type shut uint8

const (
	shutNot    shut = iota // mail may go
	shutNoTLS              // there is no TLS where it must be
	shutNoIP               // no sending IP can be used: with the next mail that may be over
	shutByGate             // the gate has not let the session in
)

// shut lets every MAIL be answered with a reply of kanmon's own.
func (s *session) shut(why shut, with *smtp.Reply) { s.mx.shut, s.mx.toMail = why, with }
