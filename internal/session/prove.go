package session

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// Another connection to the MX: each that is to take the place of the one at hand is judged before it hears of the mail, and one is made
// where the one at hand shows too little and may only have been asked in the wrong way.

// An unproved says that a leg is not what the domain of a recipient asks for. That is no evidence against the sending IP.
type unproved struct {
	domain string
	no     *smtp.Reply
	v      Verdict
}

func (u *unproved) Error() string {
	why := u.v.Say.String()
	if u.v.Told != nil {
		why = fmt.Sprintf("%s: %s", u.v.Told.Why, u.v.Told.Detail)
	}
	return fmt.Sprintf("the other connection is not what %s asks for: %s", u.domain, why)
}

// notProved returns what the recipient is told because of which an error is; nil: it is something else.
func notProved(err error) *smtp.Reply {
	var u *unproved
	if errors.As(err, &u) {
		return u.no
	}
	return nil
}

// openProved opens another leg as far as it takes the mail at hand: it must be what all its recipients' domains ask for.
func (s *session) openProved() error {
	defer func() { s.trust.redialled() }()
	for {
		if err := s.openAsFar(stageReady); err != nil {
			return err
		}
		if err := s.stillFits(stageReady); err != nil {
			return err
		}
		if s.trust.isRedialling() && s.mx.info.SendingIP != s.trust.from {
			return errUnfit
		}
		err := s.mayTrust()
		var u *unproved
		if !errors.As(err, &u) || !s.wantsAnother(&u.v) || !s.mayRedial() || !s.mayConnectAnew() {
			return err
		}
		s.log.notef("%s: once more", u)
		way := s.redialsFor(&u.v)
		s.closeMX()
		s.freshLeg()
		s.mx.way = way
	}
}

// mayTrust says whether the leg at hand, to which nothing of the mail has been said, is what the domains of all recipients ask for that are to
// be named there: those that the MX before has accepted, those that are gathered for it, and the one at hand.
func (s *session) mayTrust() error {
	if s.e.Trust == nil {
		return nil
	}
	for lines := s.mail.envelope.lines; len(lines) > 0; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		if err := s.mayTrustLine(line); err != nil {
			return err
		}
	}
	for i := int(s.talk.next); i < len(s.talk.slots); i++ {
		if sl := &s.talk.slots[i]; sl.local == nil {
			if err := s.mayTrustLine(sl.line(s)); err != nil {
				return err
			}
		}
	}
	if p := s.trust.atHand(); p != nil {
		return s.mayTrustFor(p)
	}
	return nil
}

func (s *session) mayTrustLine(line []byte) error {
	cmd, _ := smtp.ParseCommand(line)
	if cmd.Verb != smtp.VerbRCPT {
		return nil
	}
	domain := domainIn(cmd)
	if at := s.trusts().find(domain); at >= 0 && s.trust.proofs[at].mail == s.trust.mail {
		return s.mayTrustFor(&s.trust.proofs[at])
	}
	beyond := proof{domain: string(domain)}
	beyond.need = s.need(beyond.domain)
	return s.mayTrustFor(&beyond)
}

func (s *session) mayTrustFor(p *proof) error {
	v, _ := s.judgeProof(p)
	if v.Anew != nil {
		v.Anew.Ready() // it is asked for, so that the next attempt has it; this one does not wait
	}
	if p.no != nil {
		return &unproved{p.domain, p.no, v}
	}
	return nil
}

// wantsAnother reports whether another connection may show more than the one at hand, by what a verdict says of that. One in plain text, because
// TLS with the MX has failed before, was not even asked for it.
func (s *session) wantsAnother(v *Verdict) bool {
	if conn, isTLS := s.mx.conn.(*tls.Conn); isTLS {
		return v.Fresh || v.ServerName != "" && v.ServerName != conn.ConnectionState().ServerName
	}
	return s.mx.way&(wayPlain|wayAgain) == wayPlain
}

// maxRedials bounds the connections of one session that are made because the one before showed too little.
const maxRedials = 8

// mayRedial reports whether such a connection may be made: once a mail.
func (s *session) mayRedial() bool {
	return !s.trust.hasRedialled && s.trust.redials < maxRedials && !s.stops()
}

// hasBegun reports whether the mail at hand has recipients, at the MX or gathered for it.
func (s *session) hasBegun() bool {
	return s.mail.envelope.accepted > 0 || slices.ContainsFunc(s.talk.slots, func(sl slot) bool { return sl.verb == smtp.VerbRCPT && sl.local == nil })
}

// redialsFor has the connection that is made next be from the sending IP of the one at hand, and show what a verdict wants. It gives the way
// of its handshake.
func (s *session) redialsFor(v *Verdict) (way tlsWay) {
	t := s.trust
	t.hasRedialled, t.redialling, t.from = true, true, s.mx.info.SendingIP
	t.redials++
	if v.ServerName != "" {
		t.want = v.ServerName
		s.e.Live.redials[0].Add(1)
	} else {
		s.e.Live.redials[1].Add(1)
	}
	conn, isTLS := s.mx.conn.(*tls.Conn)
	if !isTLS || !v.Fresh {
		return 0
	}
	s.forgetTicket(s.mx.way, conn.ConnectionState().ServerName)
	return wayNoTicket // another session may have brought the ticket back
}

// Redials counts the connections that were made in place of one which showed too little: to show the MX a name, and to have its certificate
// anew where a ticket had brought an old one.
func (l *Live) Redials() (names, tickets uint64) { return l.redials[0].Load(), l.redials[1].Load() }

// redialled is the end of that.
func (t *trusting) redialled() {
	if t != nil {
		t.redialling = false
	}
}

func (t *trusting) isRedialling() bool { return t != nil && t.redialling }

// redialPatience is how long a mail waits for such a connection.
const redialPatience = 30 * time.Second

// redial replaces the MX leg by another one from the same sending IP, which shows what a verdict wants. If that cannot be made, or is not what
// the recipient's domain asks for either, the one at hand stays.
func (s *session) redial(next smtp.Verb, p *proof, v *Verdict) {
	s.budget.hides()
	now := s.now()
	patience := min(redialPatience, s.budget.spare(now))
	if patience < leastAttempt {
		p.because(event.NoTime)
		return
	}
	before := s.log.spendsIn(event.SpentOpening)
	defer func() { s.log.back(before) }()
	gathered := s.mx.out
	s.mx.out = nil
	outer := s.budget.narrow(now + patience)
	defer s.budget.widen(outer)
	s.log.notef("%s asks for another connection: name %q", p.domain, v.ServerName)
	way, was := s.redialsFor(v), *p
	s.setAside()
	s.mx.way = way
	err := s.reopen(next)
	s.trust.redialled()
	if err != nil {
		s.noteAttempt(err)
		s.log.notef("no other connection: %s", err)
		if s.trust.want = ""; notProved(err) == nil {
			*p = was // what the other connection has proved is no proof of this one
		}
		s.takeBack() // a lost MSA, or a drain, is seen by the next wait
		s.mx.out = gathered
		return
	}
	s.log.notef("goes on in another connection from %s", s.mx.info.SendingIP)
	s.drop()
	if gathered != nil {
		s.mx.out = append(s.mx.buffer(), gathered...)
		putOut(gathered)
	}
}

// showsName gives the name that is shown to the MX in the handshake that is next; "": none.
func (s *session) showsName() (name string) {
	s.mx.way &^= wayNamed
	switch {
	case s.e.Trust == nil || s.mx.way&wayNoName != 0:
		return ""
	case s.trust != nil && s.trust.want != "":
		name = s.trust.want
	default:
		name = s.e.Trust.ServerName(s.info.Destination)
	}
	if name != "" {
		s.mx.way |= wayNamed
		s.trusts().shown = name
	}
	return name
}

// shownName returns the name that the hello of the connection at hand showed; "": none.
func (t *trusting) shownName(way tlsWay) string {
	if way&wayNamed == 0 {
		return ""
	}
	return t.shown
}
