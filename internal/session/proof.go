package session

import (
	"crypto/tls"
	"sync"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// askTrust begins with a RCPT of the mail at hand: what its domain asks is looked up, and waited for together with that of all domains behind
// it in its group. It is the recipient at hand until endRcpt.
func (s *session) askTrust(cmd *smtp.Command) (waited bool) {
	if s.e.Trust == nil {
		return false
	}
	t := s.trusts()
	t.hand = int16(s.asked(domainIn(*cmd))) //nolint:gosec // there are few
	unready := t.atHand().unready(nil)
	return len(unready) > 0 && s.awaitNeeds(cmd, append(unready, s.foresee()...))
}

// awaitNeeds lets time pass until all needs are known, out of the time that the gate may hold the group for. It reports whether there was any.
func (s *session) awaitNeeds(cmd *smtp.Command, unready []<-chan struct{}) (waited bool) {
	s.budget.hides()
	begun := s.now()
	left := min(s.budget.begun+MaxDelay-begun, s.budget.spare(begun))
	if s.gate != nil {
		left = min(left, s.gate.left)
	}
	if left <= 0 {
		return false
	}
	outlive(cmd)
	before := s.parkHeld()
	s.untilClosed(unready, time.Now().Add(left))
	now := s.log.back(before)
	if s.gate != nil {
		s.gate.left = max(0, s.gate.left-(now-begun))
	}
	took := max(1, event.MicrosOf(now-begun))
	for i := range s.trust.proofs {
		if p := &s.trust.proofs[i]; p.mail == s.trust.mail && p.until == 0 && p.no == nil {
			p.waited = took
		}
	}
	s.talk.left = s.msaGone()
	return true
}

// untilClosed waits until all channels are closed, or the time is over, the MSA gone, or the session about to end.
func (s *session) untilClosed(all []<-chan struct{}, end time.Time) {
	look := time.NewTimer(0)
	defer look.Stop()
	for _, ready := range all {
		for closed := false; !closed; {
			select {
			case <-ready:
				closed = true
			case <-look.C:
				left := time.Until(end)
				if left <= 0 || s.stops() || s.msaGone() {
					return
				}
				look.Reset(min(left, s.lookIn(watchEvery)))
			}
		}
	}
}

// proves sees to it that the leg at hand is what the domain of the recipient at hand asks for: if need be, and as long as no recipient is open
// at the MX, by another connection. Else it says why the recipient is not named to the MX.
func (s *session) proves(cmd *smtp.Command) *smtp.Reply {
	p := s.trust.atHand()
	if p == nil {
		return nil
	}
	v, known := s.judgeProof(p)
	if !known && !v.Pass && v.Anew != nil {
		v = s.judgeAnew(cmd, p, v.Anew)
	}
	switch {
	case known || v.Pass || s.talk.left:
		return s.denies(p)
	case !s.wantsAnother(&v):
	case s.hasBegun() || !s.mayRedial():
		s.wouldNeed(p, &v)
	default:
		outlive(cmd)
		s.redial(cmd.Verb, p, &v)
	}
	return s.denies(p)
}

// judgeAnew has a leg judged by what is asked now, where what was known may be old: a domain may have moved, and its policy with it.
func (s *session) judgeAnew(cmd *smtp.Command, p *proof, anew Need) Verdict {
	p.need, p.leg, p.until, p.no = anew, 0, 0, nil
	if ready := anew.Ready(); ready != nil {
		s.awaitNeeds(cmd, []<-chan struct{}{ready})
	}
	v, _ := s.judgeProof(p)
	return v
}

// denies returns why a recipient may not be named to the MX of the leg at hand; nil: it may. A verdict of another leg says nothing of this one.
func (s *session) denies(p *proof) *smtp.Reply {
	if p.no == nil { // it passed, or was refused in another mail, or nobody has asked
		_, _ = s.judgeProof(p)
	}
	if p.no != nil {
		s.trust.denied = p.no
	}
	return p.no
}

// alsoDenies is for a recipient that is refused for another reason: its MAIL must not go to an MX that it may not be named to either.
func (s *session) alsoDenies(no *smtp.Reply) {
	if p := s.trust.atHand(); p != nil && s.mx.open() && s.denies(p) != nil {
		s.trust.denied = no
	}
}

// judgeProof asks whether the leg at hand is what a domain asks. known is true where that was asked before.
func (s *session) judgeProof(p *proof) (v Verdict, known bool) {
	if now := s.now(); p.leg == s.mx.info.Number && (now < p.until || p.no != nil) {
		return v, true
	}
	v = s.judgeNeed(p.need)
	p.leg, p.until, p.no, p.told, p.noted = s.mx.info.Number, 0, nil, v.Told, nil
	switch {
	case !v.Pass:
		reply := v.Say.Reply(s.e.Hostname)
		p.no = &reply
	default:
		p.until = max(0, v.Until.Sub(s.info.Start))
	}
	if v.Pass && v.Name != "" {
		s.e.Trust.Proved(s.info.Destination, v.Name)
	}
	s.notesTrust(p.told)
	return v, false
}

// judgeNeed has a need judge the leg at hand.
func (s *session) judgeNeed(need Need) Verdict {
	leg := TrustLeg{
		Offered: s.mx.info.MX.State == event.TLSDowngraded || s.mx.caps.offers(kwStartTLS), Failed: s.mx.info.MX.Err, Cause: s.mx.info.MX.Cause,
		MX: s.info.Destination, Now: time.Now(),
	}
	conn, isTLS := s.mx.conn.(*tls.Conn)
	if !isTLS {
		return need.Judge(leg)
	}
	state := connectionStates.Get().(*tls.ConnectionState)
	*state = conn.ConnectionState()
	leg.TLS, leg.ServerName, leg.Offered = state, state.ServerName, true
	v := need.Judge(leg)
	*state = tls.ConnectionState{}
	connectionStates.Put(state)
	if v.Name != "" || !v.Pass {
		s.work += workOfProof
	}
	return v
}

// connectionStates are lent to those who judge: each is of 300 octets and leads to a chain of certificates that nobody else keeps.
var connectionStates = sync.Pool{New: func() any { return new(tls.ConnectionState) }}

// notesTrust says in the session log what was not proved.
func (s *session) notesTrust(told *event.Trust) {
	if told != nil && (told.Verdict == event.TrustRefused || told.Verdict == event.TrustWouldRefuse) {
		s.log.notef("TLS policy of %s, %s: %s, %s: %s", told.Domain, told.Policy, told.Verdict, told.Why, told.Detail)
	}
}

// forRecord returns what is to be said of a proof on record: the same for all recipients of its domain.
func (p *proof) forRecord() *event.Trust {
	if p.noted == nil && p.told != nil {
		p.noted = p.told
		if p.waited > 0 {
			own := *p.told
			own.Waited = p.waited
			p.noted = &own
		}
	}
	return p.noted
}

// wouldNeed refuses a recipient for whom the MX would have to be shown another name, which cannot be any more in this mail. The next attempt
// begins with it.
func (s *session) wouldNeed(p *proof, v *Verdict) {
	if v.ServerName == "" {
		return
	}
	reply := replies.AnotherName.Say(p.domain, v.ServerName).Reply(s.e.Hostname)
	p.no = &reply
	p.because(event.AnotherName)
}

// because has the record give another reason.
func (p *proof) because(why event.TrustReason) {
	if p.told != nil {
		own := *p.told
		own.Why = why
		p.told, p.noted = &own, nil
	}
}

// keepBack takes the MAIL of the group at hand back out of what is gathered for the MX, where recipients stand behind it of which none may be
// named there: the MX does not hear of the sender either.
func (s *session) keepBack() {
	if s.trust == nil || s.trust.denied == nil {
		return
	}
	no := s.trust.denied
	s.trust.denied = nil
	var mail, denied *slot
	for i := range s.talk.slots {
		switch sl := &s.talk.slots[i]; {
		case sl.verb == smtp.VerbMAIL && sl.local == nil:
			mail = sl
		case sl.verb == smtp.VerbRCPT && sl.local == nil:
			return
		case sl.local == no:
			denied = sl
		}
	}
	if mail == nil || denied == nil {
		return
	}
	line := mail.line(s)
	s.log.keptBack(line)
	if s.mx.out = append(s.mx.out[:0], s.mx.out[len(line)+len("\r\n"):]...); len(s.mx.out) == 0 {
		putOut(s.mx.out)
		s.mx.out = nil
	}
	mail.local, mail.end, mail.past = no, denied.end, mail.begin
	s.log.answeredInstead(mail, no)
	s.mail.anew()
	s.mail.state = mailRefused
	s.tellOver()
}
