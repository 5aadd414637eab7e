package session

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
)

// setAside takes the MX leg out of the session as it is. Until takeBack or drop the session keeps it, so that whatever ends the
// session closes it, too.
func (s *session) setAside() {
	if s.mx.owed > 0 && s.mx.open() && s.mx.isTLS() { // what has come in records of their own is there now, and not when it is read
		s.mx.arm(time.Now().Add(time.Millisecond))
		for s.mx.in.Fill() == nil {
		}
	}
	held := s.mx
	s.held, s.mx = &held, mxLeg{}
	s.again.dials = s.log.dials
}

// maxBeside bounds the connections that are made for one mail while another leg is set aside. The MX counts them, too.
const maxBeside = 5

// mayConnectAnew reports whether a connection that has failed may be followed by another one. Where the leg that is set aside would do,
// none is.
func (s *session) mayConnectAnew() bool {
	return s.held == nil || !s.again.rather && s.log.dials-s.again.dials < maxBeside
}

// isBeside reports whether the session has another connection to its MX: kanmon's doing, and the MX may mind.
func (s *session) isBeside() bool { return s.held != nil && s.held.open() }

// freshLeg begins a new attempt: nothing of the leg before it counts.
func (s *session) freshLeg() {
	s.log.leaves(&s.mx.info)
	s.mx.reply.Reset()
	s.mx = mxLeg{}
}

// takeBack puts the leg that was set aside in place of the present one.
func (s *session) takeBack() {
	s.closeMX()
	s.freshLeg()
	s.mx, s.held = *s.held, nil
	if s.mx.open() {
		s.watchCuts()
		s.catchesUp()
	}
}

// catchesUp notes when octets came that lie there because nobody has read the leg meanwhile: the kernel knows, and what was done
// meanwhile is not the MX's time.
func (s *session) catchesUp() {
	if s.mx.lain = 0; s.mx.probe != nil && s.mx.probe.Pending() > 0 {
		s.mx.lain = max(s.now()-s.mx.probe.Quiet(), s.mx.came)
	}
}

// drop closes the leg that was set aside: it has been replaced, or the session ends.
func (s *session) drop() {
	if s.held == nil {
		return
	}
	h := s.held
	s.held = nil
	if h.open() {
		s.leave(h)
		h.notesWire()
		s.log.octets(h)
	}
	s.log.leaves(&h.info)
	h.close()
	h.reply.Reset()
}

// watchCuts lets Live cut the present MX connection.
func (s *session) watchCuts() {
	conn := s.mx.base // a variable of its own: Live reads it in another goroutine
	s.cuts.Store(&conn)
	s.showsLeg()
}

// An envelope is what the MX has accepted of a transaction: lines of MAIL and RCPT.
type envelope struct {
	lines    []byte
	broken   bool  // not whole: nothing can be said again
	whole    bool  // it must not come to that
	ahead    int16 // most commands that the MSA has sent in one group
	accepted int32 // recipients, also where the lines are not kept
}

// maxEnvelope bounds what a session keeps to say again.
const maxEnvelope = 64 << 10

func (v *envelope) add(line []byte, group int16) {
	v.ahead = max(v.ahead, group)
	if len(v.lines)+len(line) > maxEnvelope {
		v.spoil()
	}
	if !v.broken {
		v.lines = append(append(v.lines, line...), '\r', '\n')
	}
}

// clear forgets the lines.
func (v *envelope) clear() { v.lines, v.broken, v.ahead = v.lines[:0], false, 0 }

// domain returns the domain of all recipients that the MX has accepted; "" where they are of several, or of none that is known.
func (v *envelope) domain() (one string) {
	if v.broken {
		return ""
	}
	for lines := v.lines; len(lines) > 0; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		cmd, _ := smtp.ParseCommand(line)
		if cmd.Verb != smtp.VerbRCPT {
			continue
		}
		domain := mailbox.DomainOf(recipientOf(cmd))
		if domain == "" || one != "" && domain != one {
			return ""
		}
		one = domain
	}
	return one
}

// spoil is for a transaction that is over for us and perhaps not for the MX.
func (v *envelope) spoil() { v.lines, v.broken = nil, true }

// refusedBy notes a sending IP that this MX does not want in this session.
func (a *again) refusedBy(s *session) {
	if ip := s.mx.info.SendingIP; ip.IsValid() {
		a.avoid([]netip.Addr{ip})
	}
}

// tried are the sending IPs that this MX does not want in this session.
func (a *again) tried() []netip.Addr {
	if a.refused == nil {
		return nil
	}
	return *a.refused
}

// avoid notes sending IPs that would fare like the one that was refused.
func (a *again) avoid(ips []netip.Addr) {
	for _, ip := range ips {
		if !slices.Contains(a.tried(), ip) {
			all := append(a.tried(), ip)
			a.refused = &all
		}
	}
}
