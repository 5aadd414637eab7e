package session

import (
	"bytes"

	"kanmon/internal/smtp"
)

// The account that sent a message can stand in a header field that the tenant's MSA writes. It is seen when the message is on its
// way: the gate is asked before anything behind the field goes out, and what it refuses goes without a dot (I4).

// wantHeader notes which field of the mail at hand the gate wants to see; "": none.
func (s *session) wantHeader(name string, strip bool) {
	if s.header = nil; name != "" {
		s.header = smtp.NewHeaderFilter(name, strip)
	}
}

// passHeader is sendChunk while the header goes by.
func (s *session) passHeader(p []byte) error {
	for len(p) > 0 {
		pass, n, found := s.header.Take(p)
		if err := s.forwardChunk(pass); err != nil {
			return err
		}
		p = p[n:]
		if !found {
			continue
		}
		var err error
		if p, err = s.askAccount(p); err != nil {
			return err
		}
	}
	if s.header.Done() {
		s.header = nil
	}
	return nil
}

// endHeader sends the last octets of a message of which the header may be all there is.
func (s *session) endHeader(p []byte) error {
	if err := s.passHeader(p); err != nil || s.header == nil {
		return err
	}
	pass, found := s.header.End()
	if found {
		if _, err := s.askAccount(nil); err != nil {
			return err
		}
	}
	s.header = nil
	return s.forwardChunk(pass)
}

// askAccount asks the gate about the account that a message names, with the octets behind its field at hand. They are good for
// use behind the wait that there may have been.
func (s *session) askAccount(behind []byte) ([]byte, error) {
	q := Question{Step: StepAccount, Account: s.header.Value()}
	d := s.consult(q)
	if d.Delay > 0 {
		behind = bytes.Clone(behind) // their memory is the Reader's
		d = s.waitOut(q, d)
	}
	if no := s.gateReply(&d); no != nil {
		return nil, &failure{trouble: accountRefused, phase: PhaseBody, reply: no}
	}
	return behind, nil
}
