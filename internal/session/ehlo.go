package session

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// limitNames are the limits of RFC 9422 §4 that kanmon enforces itself or passes on.
var limitNames = [...]string{"MAILMAX", "RCPTMAX", "RCPTDOMAINMAX"}

// A limitList has the limits that an MX has named, in its order; what is left of it is zero.
type limitList [len(limitNames)]limit

// A limit is a number of at most six digits, and above it the place of its name, 1 for the first of limitNames.
type limit uint32

const limitBits = 24

func newLimit(name, most int) limit { return limit(name<<limitBits | most) } //nolint:gosec // as the type says
func (l limit) name() int           { return int(l >> limitBits) }
func (l limit) most() int           { return int(l & (1<<limitBits - 1)) }

// parseLimits reads valid arguments of LIMITS. Unknown names are for nobody (RFC 9422 §3); of a name that comes twice
// the lower limit counts.
func parseLimits(args []byte) (list limitList) {
	for field := range bytes.FieldsSeq(args) {
		word, value, _ := bytes.Cut(field, []byte("="))
		name := 1 + slices.IndexFunc(limitNames[:], func(n string) bool { return bytes.EqualFold(word, []byte(n)) })
		if name == 0 {
			continue
		}
		most, _ := strconv.Atoi(string(value))
		of := newLimit(name, most)
		for i, l := range list {
			if l == 0 || l.name() == name && of < l {
				list[i] = of
			}
			if list[i].name() == name {
				break
			}
		}
	}
	return list
}

// append appends the limits, lowered to kanmon's own.
func (list *limitList) append(dst []byte, own Limits) []byte {
	for _, l := range list {
		if l == 0 {
			break
		}
		name, most := limitNames[l.name()-1], l.most()
		switch name {
		case "RCPTMAX":
			most = min(most, own.Recipients)
		case "MAILMAX":
			if own.Transactions > 0 {
				most = min(most, own.Transactions)
			}
		}
		dst = append(append(append(dst, ' '), name...), '=')
		dst = strconv.AppendInt(dst, int64(most), 10)
	}
	return dst
}

// validLimits checks the syntax of RFC 9422 §3: name=value pairs, values of digits for the names that kanmon passes on.
func validLimits(args []byte) bool {
	if len(args) == 0 {
		return false
	}
	for field := range bytes.FieldsSeq(args) {
		name, value, found := bytes.Cut(field, []byte("="))
		if !found || len(name) == 0 || !allDigits(value) || len(value) == 0 || len(value) > 6 {
			return false
		}
	}
	return true
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendHELO appends the one line that answers HELO: the greeting of the MX's reply to EHLO, without its keywords.
func (c *capabilities) appendHELO(dst []byte) []byte {
	return append(smtp.AppendSanitised(append(dst, "250 "...), []byte(c.first), false), '\r', '\n')
}

// tellHello answers the MSA's EHLO or HELO.
func (s *session) tellHello(c *capabilities) {
	before := len(s.msa.out) // replies to commands ahead of it
	if s.talk.hello == smtp.VerbHELO {
		s.msa.out = c.appendHELO(s.msa.buffer())
	} else {
		offerTLS := s.e.Certificate != nil && s.msaTLS().State == event.TLSNone
		s.msa.out = c.appendEHLO(s.msa.buffer(), offerTLS, s.e.Limits.withDefaults())
	}
	s.log.sentToMSA(s.msa.out[before:])
}

// helloWithoutMX answers EHLO or HELO where there is no MX to ask, and none of the mail may go for now.
func (s *session) helloWithoutMX() {
	s.resetMail()
	s.talk.ownList = true
	s.tellHello(&capabilities{has: ownKeywords, first: s.e.name()})
}

// helloAgain answers a further EHLO or HELO on a leg that is ready from what its MX has said to the first: many an MX takes one, and one
// more inside TLS, and refuses the next. Where it may have a transaction open, RSET does what a repeated EHLO would (RFC 5321 §4.1.4).
func (s *session) helloAgain() error {
	var err error
	switch {
	case s.mx.transaction:
		err = s.resetMX()
	case s.mx.pending():
		err = s.unasked(event.PhaseEHLO)
	}
	if err != nil {
		return err
	}
	s.helloAnswered()
	return nil
}

// helloAnswered tells the MSA what the MX offers.
func (s *session) helloAnswered() {
	s.resetMail()
	s.talk.ownList = false
	s.promise()
	s.tellHello(&s.mx.caps)
}

// resetMX says RSET to the MX. One that does not take it (RFC 5321 §4.1.1.5: it must) could go on with the recipients of the mail before.
func (s *session) resetMX() error {
	s.mx.out = append(s.mx.buffer(), "RSET\r\n"...)
	s.log.line(event.MarkMadeForMX, []byte("RSET"))
	if err := s.sendToMX(event.PhaseReset); err != nil {
		return err
	}
	if err := s.readReply(event.PhaseReset); err != nil {
		return err
	}
	s.log.reply(event.MarkFromMX, &s.mx.reply, s.mx.first, s.mx.took)
	switch {
	case s.mx.reply.Code == 421:
		return s.saidGoodbye(event.PhaseReset)
	case s.mx.reply.Class() != 2:
		return &failure{trouble: mxGarbled, phase: event.PhaseReset, cause: fmt.Errorf("reply %d to RSET", s.mx.reply.Code)}
	}
	return nil
}

// unkept returns what a MAIL or RCPT is told that uses what kanmon's own list promised and this MX does not offer (I9): it is for a
// session to find out that has heard the MX's own list. It returns nil where the command may go.
func (s *session) unkept(cmd smtp.Command) *smtp.Reply {
	if !s.talk.ownList {
		return nil
	}
	_, params, _ := cmd.Path()
	c := &s.mx.caps
	for _, u := range uses {
		if smtp.HasParam(params, u.param) && !c.offers(u.bit) {
			return &replyLacks
		}
	}
	size, _ := announced(params)
	if cmd.Eight && !c.offers(kwSMTPUTF8) || c.size > 0 && size > 0 && uint64(size) > c.size {
		return &replyLacks
	}
	return nil
}
