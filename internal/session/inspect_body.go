package session

import (
	"bytes"
	"errors"
	"io"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
	"kanmon/internal/smtp/replies"
)

// keep adds octets of the message to what is kept of it, and gives how many there was room for.
func (c *inspected) keep(p []byte) (kept int) {
	for kept < len(p) {
		last := len(c.pieces) - 1
		if last < 0 || len(c.pieces[last]) == outBuffer {
			if !c.by.Grow(outBuffer) {
				break
			}
			c.pieces = append(c.pieces, make([]byte, 0, outBuffer))
			last++
		}
		n := min(len(p)-kept, outBuffer-len(c.pieces[last]))
		c.pieces[last] = append(c.pieces[last], p[kept:kept+n]...)
		kept += n
	}
	c.size += int64(kept)
	return kept
}

// inspectChunk keeps octets of a message whose content is judged. It gives those that are to go to the MX now.
func (s *session) inspectChunk(p []byte) (pass []byte, err error) {
	c := s.mail.content
	switch {
	case c.no != nil:
		return nil, nil
	case !c.keeps():
		return p, nil
	}
	kept := c.keep(p)
	switch {
	case kept == len(p) && c.isHeld():
		return nil, nil
	case kept == len(p):
		return p, nil
	default:
		return s.outgrows(p, kept)
	}
}

// outgrows is for a message that there is no room for any more, of whose octets at hand some are kept: it goes on unjudged, or is refused.
func (s *session) outgrows(p []byte, kept int) (pass []byte, err error) {
	c := s.mail.content
	full, was := c.by.Full(), c.lane
	if full.Refuse != RefuseNot && was != event.LaneBehind {
		c.told.Done = handlingOf(full.Refuse)
		c.came.Done = c.told.Done
		s.noteContent(full)
		reply := c.refusal(c.told.Done, full.Say, s.e.Hostname)
		if was == event.LaneTee {
			s.closeMX()
		}
		s.refuses(reply, "there is no room for the message")
		return nil, nil
	}
	pieces := c.pieces
	c.pieces, c.size = nil, 0
	full.Lane = event.LaneOff
	s.begins(c, full)
	if was != event.LaneHold {
		return p, nil
	}
	s.mail.setKept(keptPartial, true)
	rest := bytes.Clone(p[kept:]) // its memory is the Reader's until the wait
	return rest, s.letGo(pieces)
}

// noteContent puts on record what is said of a message that is not judged.
func (s *session) noteContent(start Start) {
	if c := s.mail.content; start.Told != nil {
		lane, waited, done := c.lane, c.told.Waited, c.told.Done
		c.told = *start.Told
		c.told.Lane, c.told.Waited, c.told.Done = lane, waited, done
	}
}

// refuses notes that a message will be refused at its dot, of which the MX has nothing, or has lost it. What is kept of it goes, and what comes is read and dropped.
func (s *session) refuses(reply *smtp.Reply, why string) {
	c := s.mail.content
	c.no = &heldNo{reply: *reply, why: why}
	c.pieces, c.size = nil, 0
}

// letGo has a message that was held go to the MX as it comes, behind what was kept of it.
func (s *session) letGo(pieces [][]byte) error {
	s.budget.begins(s.now())
	s.budget.hidesUntil(s.budget.begun + maxBehindData)
	refused, err := s.reachData()
	s.budget.hidesNothing()
	switch {
	case err != nil:
		return err
	case refused != nil:
		return s.cannotGo(refused)
	}
	for _, piece := range pieces {
		if err := s.writeChunk(piece, onePiece); err != nil {
			return err
		}
	}
	return nil
}

// cannotGo is for a message that the MX does not want, or cannot be reached for, in the middle of it: its MSA is told at its dot.
func (s *session) cannotGo(no *noData) error {
	if !no.byMX {
		return &failure{trouble: contentRefused, phase: event.PhaseBody, reply: &no.reply}
	}
	s.log.answeredDot(no.original)
	s.mx.reply = *no.original.reply
	s.tell(event.StepData, no.judged.Class)
	return &failure{trouble: mxSaid, phase: event.PhaseBody, reply: &no.reply}
}

// judges hands a whole message over.
func (s *session) judges(c *inspected) {
	content := contentOf(c.pieces)
	sender, recipients, whole := s.mail.envelope.said()
	if !whole {
		sender = s.mail.sender
	}
	c.judged, c.told.Octets = true, content.octets
	c.by.Judge(Message{
		Session: s.info.ID, Number: int(s.log.begun), Source: s.info.Source.Addr(), Helo: s.info.HeloMSA,
		Sender: sender, Recipients: recipients, Unlisted: int(s.mail.envelope.accepted) - len(recipients),
		UTF8: s.mail.utf8, SendingIP: s.mx.info.SendingIP, Octets: content.octets, Open: content.open,
	})
}

// said returns the mailboxes of sender and recipients, as they were written. Of an envelope that is too long to be kept there are none.
func (v *envelope) said() (sender string, recipients []string, whole bool) {
	for lines := v.lines; len(lines) > 0 && !v.broken; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		cmd, _ := smtp.ParseCommand(line)
		switch path := string(written(cmd)); cmd.Verb {
		case smtp.VerbMAIL:
			sender, whole = path, true
		case smtp.VerbRCPT:
			recipients = append(recipients, path)
		}
	}
	return sender, recipients, whole
}

// awaitVerdict waits for what the content of a message comes to, as the session has handed it over, until a point in time. An error ends the
// session: its MSA has gone, or kanmon stops, or in a tee the MX has said something.
func (s *session) awaitVerdict(c *inspected, end time.Duration) error {
	begun := s.now()
	judged, err := s.awaitDone(c.by.Done(), end)
	c.waited(s.now() - begun)
	if err != nil {
		return err
	}
	if judged {
		c.opinion = c.by.Verdict()
	} else {
		c.opinion = Opinion{Handle: event.HandleDefer, Say: replies.Unjudged.Say()}
	}
	if told := c.opinion.Told; told != nil {
		octets, waited := c.told.Octets, c.told.Waited
		c.told = *told
		c.told.Lane, c.told.Octets, c.told.Waited = c.lane, octets, waited
	}
	if fields := c.opinion.Fields; len(fields) > 0 && (!c.isHeld() || !areFields(fields) || c.goesOn()) {
		s.log.note("what was to stand before the message is left out: it is no header field, or the message's beginning would become a part of it, or the MX has that")
		c.opinion.Fields = nil
	}
	s.log.notef("content: %s", c.opinion.Handle)
	return nil
}

// goesOn reports whether a message begins with a blank: behind a header field its first line would be that field's, and its sender's words
// the operator's.
func (c *inspected) goesOn() bool { return len(c.pieces) > 0 && isBlank(c.pieces[0][0]) }

// areFields reports whether octets are whole header fields that can stand before any message: nothing in them ends the header, or the message.
func areFields(p []byte) bool {
	for first := true; len(p) > 0; first = false {
		line, rest, whole := bytes.Cut(p, []byte("\r\n"))
		name, _, isField := bytes.Cut(line, []byte(":"))
		folded := len(line) > 0 && isBlank(line[0]) && len(bytes.TrimSpace(line)) > 0
		switch {
		case !whole, len(line) > 998, bytes.ContainsFunc(line, func(r rune) bool { return r != '\t' && r < ' ' || r > '~' }):
			return false
		case !folded && (!isField || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' })), folded && first:
			return false
		case line[0] == '.': // RFC 5321 §4.5.2
			return false
		}
		p = rest
	}
	return true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func (s *session) awaitDone(done <-chan struct{}, end time.Duration) (judged bool, err error) {
	if isClosed(done) {
		return true, nil
	}
	before := s.parkHeld()
	defer func() { s.log.back(before) }()
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-done:
			return true, nil
		case <-look.C:
			if err := s.lookAtHeld(); err != nil {
				return false, err
			}
			left := end - s.now()
			if left <= 0 {
				return false, nil
			}
			look.Reset(min(left, s.lookIn(watchEvery)))
		}
	}
}

// lookAtHeld looks around while a message waits whose end the MX has not got.
func (s *session) lookAtHeld() error {
	switch {
	case s.mustEnd():
		return s.ends(event.PhaseBody)
	case s.msaGone():
		return s.withhold()
	case s.mail.content.isHeld():
		s.loseHeldMX()
	case s.mx.pending(), s.mx.hungUp():
		return s.saidEarly()
	}
	return nil
}

// loseHeldMX frees the MX leg when the MX has hung up, or said something, while a message is held: it waits for a command, and many an MX does
// not wait long. That is kanmon's doing, and evidence of nothing.
func (s *session) loseHeldMX() {
	if s.mx.open() && (s.mx.pending() || s.mx.hungUp()) {
		s.hearOut()
		s.log.note("MX has left while the message is held")
		s.mx.mute = true
		s.closeMX()
	}
}

// refusal is the reply of an own refusal, of the class that it must have.
func (c *inspected) refusal(done event.Handling, said replies.Said, host string) *smtp.Reply {
	class, code := 4, 451
	if done == event.HandleRefuse {
		class, code = 5, 550
	}
	if said.Code() != 0 && said.Code()/100 != class {
		said = said.As(code)
	}
	if said.Code()/100 != class { // nothing is said, or nothing that refuses so
		said = replies.Unjudged.Say()
	}
	reply := said.Reply(host)
	return &reply
}

// A content is a message as its receiver will have it.
type content struct {
	pieces [][]byte
	octets int64
}

func contentOf(pieces [][]byte) content {
	c := content{pieces: pieces}
	octets, _ := io.Copy(io.Discard, c.open()) // it has no errors
	c.octets = octets
	return c
}

// open returns a reader of it. RFC 5321 §4.5.2: a dot that begins a line was put there by the sender, and is taken away.
func (c *content) open() io.Reader { return &unstuffing{rest: c.pieces, state: atNewLine} }

// An unstuffing reads a message without its stuffed dots.
type unstuffing struct {
	rest  [][]byte
	at    int // in the first of them
	state lineState
}

type lineState uint8

const (
	midLine   lineState = iota
	behindCR            // which may be half of a line's end
	atNewLine           // a dot here is not the message's
)

// Read implements [io.Reader].
func (u *unstuffing) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(u.rest) == 0 {
			break
		}
		piece := u.rest[0][u.at:]
		if len(piece) == 0 {
			u.rest, u.at = u.rest[1:], 0
			continue
		}
		if u.state == atNewLine && piece[0] == '.' {
			u.at, u.state = u.at+1, midLine
			continue
		}
		took := u.line(piece[:min(len(piece), len(p)-n)])
		copy(p[n:], piece[:took])
		n, u.at = n+took, u.at+took
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// line says how many octets belong to the line at hand.
func (u *unstuffing) line(p []byte) (n int) {
	for n < len(p) {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 0 {
			break
		}
		n += end + 1
		if n > 1 && p[n-2] == '\r' || n == 1 && u.state == behindCR {
			u.state = atNewLine
			return n
		}
		u.state = midLine
	}
	if u.state = midLine; p[len(p)-1] == '\r' {
		u.state = behindCR
	}
	return len(p)
}

// errEarly is a refusal of a held message before its end, whose words are in the reply at hand: the dot would have got it.
var errEarly = errors.New("the MX has refused the message before its end")
