package session

import (
	"bytes"
	"slices"

	"kanmon/internal/event"
	"kanmon/internal/smtp"
)

// What the session has said to the MX may come back in a refusal, and is no evidence then (I20). Of a message that is
// its header: the first of the pieces that are kept for a rescue is kept of every message while it is under way, and
// read only if the message is refused. Where a message has more than is kept, the judge is told that.

// Bounds of what [Way.Judge] is told.
const (
	maxHeader     = 64 << 10 // octets of a message in which its header is looked for
	maxFields     = 1 << 10  // octets of all fields of one name
	maxRecipients = 50
)

// saidInHeader are the fields that filters quote beside Subject.
var saidInHeader = [...]string{"from", "reply-to", "message-id"}

// noteSaid tells the judge what has been said so far that a refusal in a phase can repeat.
func (s *session) noteSaid(r *MXRefusal) {
	r.EHLO = [2]string{s.info.HeloMSA, s.mx.info.HeloMX}
	if r.Phase < event.PhaseMail || r.Phase > event.PhaseDot {
		return
	}
	for _, path := range s.saidSoFar() {
		if len(r.Said) < maxRecipients && path != string(r.Sender) && path != string(r.Recipient) {
			r.Said = append(r.Said, path)
		}
	}
	r.Partial = s.mail.keptIs(keptPartial)
	kept := s.mail.kept
	if s.mail.content.isHeld() { // then there is nothing else
		kept.pieces = s.mail.content.pieces
	}
	if r.Phase >= event.PhaseBody && len(kept.pieces) > 0 {
		r.Message = func() []byte { return slices.Concat(kept.pieces...) }
	}
	if header := kept.header(); r.Phase >= event.PhaseData && len(header) > 0 {
		r.Subject = string(fieldsOf(header, "subject"))
		for _, name := range saidInHeader {
			if value := fieldsOf(header, name); len(value) > 0 {
				r.Said = append(r.Said, string(value))
			}
		}
	}
}

// saidSoFar returns the mailboxes that the commands of the group name, and those that the MX has accepted before it: as they were written,
// since the MX repeats that, and not the form that kanmon knows them by. An MX may refuse each command of a long group: it is read once.
func (s *session) saidSoFar() []string {
	if s.talk.said != nil {
		return *s.talk.said
	}
	var said []string
	add := func(line []byte) (more bool) {
		cmd, _ := smtp.ParseCommand(line)
		if cmd.Verb == smtp.VerbMAIL || cmd.Verb == smtp.VerbRCPT {
			path, _, ok := cmd.Path()
			if !ok {
				path = cmd.Args
			}
			said = append(said, string(path))
		}
		return len(said) < maxRecipients+2 // sender and recipient are told apart from these
	}
	more := true
	for i := 0; i < len(s.talk.slots) && more; i++ {
		more = add(s.talk.slots[i].line(s))
	}
	for lines := s.mail.envelope.lines; len(lines) > 0 && more; {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		more = add(line)
	}
	s.talk.said = &said
	return said
}

// header returns what has been kept of the header of the message under way.
func (k *keptBody) header() []byte {
	var header []byte
	for _, piece := range k.pieces {
		if end := bytes.Index(piece, []byte("\r\n\r\n")); end >= 0 {
			return append(header, piece[:end+2]...)
		}
		if header = append(header, piece...); len(header) >= maxHeader {
			break
		}
	}
	return header
}

// fieldsOf returns the values of all fields of a name in a header, unfolded, a line each.
func fieldsOf(header []byte, name string) (values []byte) {
	inside := false
	for line := range bytes.Lines(header) {
		switch {
		case isField(line, name):
			if inside = true; len(values) > 0 {
				values = append(values, '\n')
			}
			_, line, _ = bytes.Cut(line, []byte{':'})
		case inside && (line[0] == ' ' || line[0] == '\t'):
			values = append(values, ' ')
		default:
			inside = false
			continue
		}
		if values = append(values, bytes.TrimSpace(line)...); len(values) > maxFields {
			return values[:maxFields]
		}
	}
	return values
}

// isField reports whether a line begins the field of a name: blanks may stand in front of the colon (RFC 5322 §4.5).
func isField(line []byte, name string) bool {
	before, _, found := bytes.Cut(line, []byte{':'})
	return found && len(before) >= len(name) && bytes.EqualFold(before[:len(name)], []byte(name)) && len(bytes.TrimSpace(before[len(name):])) == 0
}
