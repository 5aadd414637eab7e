package smtptest

import (
	"fmt"
	"slices"
	"strings"
)

// A Verdict is what a queueing mail server concludes for one recipient.
type Verdict uint8

// The verdicts.
const (
	Deferred Verdict = iota // 4xx, a lost connection or a malformed reply: it will try again
	Accepted                // 2xx after the dot: it forgets the message
	Bounced                 // 5xx: it tells the sender that it failed
)

// String names the verdict.
func (v Verdict) String() string { return [...]string{"deferred", "accepted", "bounced"}[v] }

// A Delivery is how an attempt to deliver a message went.
type Delivery struct {
	Verdicts []Verdict // per recipient, in order
	Replies  []Reply   // the reply that decided, per recipient; the zero Reply if the connection was lost
	DotSent  bool      // the whole body and its end were written
	Err      error     // why the connection cannot be used any more; nil if it can
}

// All reports whether every recipient got this verdict.
func (d Delivery) All(v Verdict) bool {
	return !slices.ContainsFunc(d.Verdicts, func(got Verdict) bool { return got != v })
}

// Deliver sends one message: on a new connection after banner, EHLO and, with TLS set, STARTTLS; then MAIL, RCPT and
// DATA, in one write if asked and offered. After an error the connection is of no more use. It never fails the test.
func (m *MSA) Deliver(from string, rcpts []string, body []byte, pipelined bool) Delivery {
	d := Delivery{Verdicts: make([]Verdict, len(rcpts)), Replies: make([]Reply, len(rcpts))}
	if m.keywords == nil {
		if d.Err = m.open(); d.Err != nil {
			return d
		}
	}
	envelope := []string{"MAIL FROM:<" + from + ">"}
	for _, rcpt := range rcpts {
		envelope = append(envelope, "RCPT TO:<"+rcpt+">")
	}
	envelope = append(envelope, "DATA")
	if pipelined && m.keywords["PIPELINING"] {
		d.Err = m.deliverPipelined(&d, envelope, body)
	} else {
		d.Err = m.deliverInSteps(&d, envelope, body)
	}
	return d
}

// Quit says QUIT and closes the connection, whatever the reply.
func (m *MSA) Quit() error {
	if err := m.write("QUIT"); err == nil {
		_, _ = m.read()
	}
	return m.conn.Close()
}

// open reads the banner and says EHLO, and again inside TLS.
func (m *MSA) open() error {
	if _, err := m.want(2); err != nil {
		return fmt.Errorf("banner: %w", err)
	}
	if err := m.hello(); err != nil {
		return err
	}
	if m.TLS == nil || !m.keywords["STARTTLS"] {
		return nil
	}
	if err := m.write("STARTTLS"); err != nil {
		return fmt.Errorf("STARTTLS: %w", err)
	}
	if _, err := m.want(2); err != nil {
		return fmt.Errorf("STARTTLS: %w", err)
	}
	if err := m.handshake(m.TLS); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return m.hello()
}

func (m *MSA) hello() error {
	if err := m.write("EHLO " + m.helo()); err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	reply, err := m.want(2)
	if err != nil {
		return fmt.Errorf("EHLO: %w", err)
	}
	m.keywords = make(map[string]bool)
	for _, line := range reply.Lines[1:] {
		keyword, _, _ := strings.Cut(line, " ")
		m.keywords[strings.ToUpper(keyword)] = true
	}
	return nil
}

// want reads a reply that must be of a class.
func (m *MSA) want(class int) (Reply, error) {
	reply, err := m.read()
	if err == nil && reply.Class() != class {
		err = fmt.Errorf("got %q, want %dxx", reply, class)
	}
	return reply, err
}

func (m *MSA) deliverPipelined(d *Delivery, envelope []string, body []byte) error {
	if err := m.write(envelope...); err != nil {
		return err
	}
	var replies []Reply
	for range envelope {
		reply, err := m.read()
		if err != nil {
			d.envelope(replies)
			d.rest(Reply{})
			return err
		}
		replies = append(replies, reply)
	}
	d.envelope(replies)
	last := replies[len(replies)-1]
	switch {
	case last.Class() != 3:
		return m.giveUp(d, last)
	case !d.anyAccepted():
		return m.dot(d, nil) // RFC 2920 §3.1: 354 without a recipient is answered with a lone dot
	default:
		return m.dot(d, body)
	}
}

func (m *MSA) deliverInSteps(d *Delivery, envelope []string, body []byte) error {
	var replies []Reply
	for _, line := range envelope[:len(envelope)-1] {
		reply, err := m.ask(line)
		if err == nil {
			replies = append(replies, reply)
			err = lost(reply)
		}
		d.envelope(replies)
		if err != nil {
			d.rest(reply)
			return err
		}
		if replies[0].Class() != 2 {
			return nil
		}
	}
	if !d.anyAccepted() {
		return m.giveUp(d, replies[len(replies)-1])
	}
	reply, err := m.ask("DATA")
	if err != nil {
		d.rest(Reply{})
		return err
	}
	if reply.Class() != 3 {
		return m.giveUp(d, reply)
	}
	return m.dot(d, body)
}

// giveUp ends the transaction before the body.
func (m *MSA) giveUp(d *Delivery, why Reply) error {
	d.rest(why)
	if err := lost(why); err != nil {
		return err
	}
	_, err := m.ask("RSET")
	return err
}

func (m *MSA) ask(line string) (Reply, error) {
	if err := m.write(line); err != nil {
		return Reply{}, err
	}
	return m.read()
}

// dot sends body and end of data. The reply decides for the recipients that were accepted.
func (m *MSA) dot(d *Delivery, body []byte) error {
	if err := m.writeBody(body); err != nil {
		d.rest(Reply{})
		return err
	}
	d.DotSent = true
	reply, err := m.read()
	if err != nil {
		d.rest(Reply{})
		return err
	}
	for i, r := range d.Replies {
		if r.Class() == 2 {
			d.Replies[i], d.Verdicts[i] = reply, verdict(reply)
		}
	}
	return lost(reply)
}

// envelope notes the replies to MAIL and to each RCPT, as far as they came. Until the dot, no recipient is Accepted.
func (d *Delivery) envelope(replies []Reply) {
	if len(replies) == 0 {
		return
	}
	for i := range d.Replies {
		reply := replies[0]
		if reply.Class() == 2 && i+1 < len(replies) {
			reply = replies[i+1]
		}
		d.Replies[i] = reply
		if reply.Class() == 5 {
			d.Verdicts[i] = Bounced
		}
	}
}

// rest gives the recipients that were accepted so far a refusal.
func (d *Delivery) rest(refusal Reply) {
	for i, r := range d.Replies {
		if r.Class() == 2 {
			d.Replies[i] = refusal
			if refusal.Class() == 5 {
				d.Verdicts[i] = Bounced
			}
		}
	}
}

func (d *Delivery) anyAccepted() bool {
	return slices.ContainsFunc(d.Replies, func(r Reply) bool { return r.Class() == 2 })
}

func verdict(r Reply) Verdict {
	switch r.Class() {
	case 2:
		return Accepted
	case 5:
		return Bounced
	}
	return Deferred
}

// lost makes an error of 421, after which the server closes (RFC 5321 §3.8).
func lost(r Reply) error {
	if r.Code == 421 {
		return fmt.Errorf("the server closes: %s", r)
	}
	return nil
}
