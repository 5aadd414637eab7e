package session

import (
	"bytes"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// The account that sent a message can stand in header fields of a name that the tenant's MSA writes. Others may have written some, too,
// and only all of them tell: the gate is asked at the end of the header, before anything behind it goes out, and what it refuses goes
// without a dot (I4).

// wantHeader notes which fields of the mail at hand the gate wants to see, and whether it is to be asked about a message without any.
func (s *session) wantHeader(d *Decision) {
	if s.mail.header = nil; d.Header != "" {
		s.mail.header = smtp.NewHeaderFilter(d.Header, d.Strip)
	}
	s.mail.mustName = d.Must
}

// seekIdentity has the header of the message that comes looked at for what identifies it, if that is wanted.
func (s *session) seekIdentity() {
	if !s.log.identifies() {
		return
	}
	if s.mail.header == nil {
		s.mail.header = smtp.NewHeaderFilter("", false)
	}
	s.mail.header.Identify()
}

// identify looks at octets of a message, which pass as they are, until it knows what there is to know.
func (s *session) identify(p []byte) {
	for len(p) > 0 && !s.mail.header.Done() {
		_, n, _ := s.mail.header.Take(p)
		p = p[n:]
	}
	if s.mail.header.Done() {
		s.log.identified(s.mail.header)
		s.mail.header = nil
	}
}

// endIdentity is identify with the last octets of a message.
func (s *session) endIdentity(p []byte) {
	if s.identify(p); s.mail.header != nil {
		s.mail.header.End()
		s.log.identified(s.mail.header)
		s.mail.header = nil
	}
}

// passHeader is sendChunk while the header goes by.
func (s *session) passHeader(p []byte) error {
	if s.mail.content.isHeld() {
		p = bytes.Clone(p) // where there is no room for it any more the MX is waited for
	}
	for len(p) > 0 {
		pass, n, over := s.mail.header.Take(p)
		if err := s.forwardChunk(pass); err != nil {
			return err
		}
		p = p[n:]
		if !over {
			continue
		}
		s.log.identified(s.mail.header)
		var err error
		if p, err = s.askAccount(p); err != nil {
			return err
		}
	}
	if s.mail.header.Done() {
		s.mail.header = nil
	}
	return nil
}

// endHeader sends the last octets of a message of which the header may be all there is.
func (s *session) endHeader(p []byte) error {
	if err := s.passHeader(p); err != nil || s.mail.header == nil {
		return err
	}
	pass, over := s.mail.header.End()
	if over {
		s.log.identified(s.mail.header)
		if _, err := s.askAccount(nil); err != nil {
			return err
		}
	}
	s.mail.header = nil
	return s.forwardChunk(pass)
}

// askAccount asks the gate about the account that a message names, with the octets behind its header at hand. They are good for
// use behind the wait that there may have been.
func (s *session) askAccount(behind []byte) ([]byte, error) {
	q := Question{Step: event.StepAccount, Fields: s.mail.header.Fields()}
	if len(q.Fields) == 0 && !s.mail.mustName {
		return behind, nil
	}
	d := s.consult(q)
	if d.Delay > 0 {
		behind = bytes.Clone(behind) // their memory is the Reader's
		s.budget.begins(s.now())
		d = s.waitOut(q, d)
		s.budget.hidesNothing() // the MSA waits for no reply while it sends its message
	}
	no := s.gateReply(&d)
	switch {
	case no != nil && s.mail.content.isHeld(): // the MX has not heard of the message
		s.refuses(no, "the account that it names is refused")
	case no != nil:
		return nil, &failure{trouble: accountRefused, phase: event.PhaseBody, reply: no}
	}
	return behind, nil
}
