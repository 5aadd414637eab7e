package truth

import (
	"slices"
	"strings"
	"time"
)

// maxIdentified is how much of a header kanmon looks at.
const maxIdentified = 16 << 10

// identified compares what names a message with what its header says, as far as that has come.
func (j *judging) identified(m *mail, x *transaction) {
	if m.body == nil {
		if x.MessageID+x.QueueID != "" {
			j.errorf("identity", "%q %q of no message", x.MessageID, x.QueueID)
		}
		return
	}
	header, _, whole := strings.Cut(m.body.header, "\r\n\r\n")
	header += "\r\n"
	header = header[:min(len(header), maxIdentified)]
	var id, queue string
	var at time.Time
	if name, _, has := cutField(header, "Message-ID:\r\n <", ">\r\n"); has {
		id = name
	}
	if field, _, has := cutField(header, "Received: by ", "\r\n\t"); has {
		_, queue, _ = strings.Cut(field, " id ")
		queue = strings.TrimSuffix(queue, ";")
		date, _, _ := cutField(header, "\r\n\t", " +0000\r\n")
		at, _ = time.Parse("Mon, 2 Jan 2006 15:04:05", date)
	}
	taken := whole && m.body.dot && m.body.code()/100 == 2
	if (x.MessageID != "" || taken) && x.MessageID != id || (x.QueueID != "" || taken) && (x.QueueID != queue || !x.Received.Equal(at)) {
		j.errorf("identity", "%q, %q at %s; the header says %q, %q at %s", x.MessageID, x.QueueID, x.Received, id, queue, at)
	}
}

func cutField(header, from, to string) (value, rest string, found bool) {
	_, rest, found = strings.Cut(header, from)
	if !found {
		return "", "", false
	}
	return strings.Cut(rest, to)
}

// ended compares why and when a session ended with how the MSA parted from it.
func (j *judging) ended(e *ending) {
	last := j.msa.talk[len(j.msa.talk)-1]
	banner := j.msa.talk[0]
	if h, _ := j.ofMX(banner.reply); h != nil && h.code() >= 500 {

		softened := banner.code() == 421
		if e.EndReason == "mx_said" || e.EndReason == "quit" || softened != j.openingSoftened(e, h) {
			j.errorf("banner", "%s, %q told as %d, softened %t", e.EndReason, h.reply, banner.code(), j.openingSoftened(e, h))
		}
	}
	if bad := j.msa.misspelt(); e.BadCommands < bad {
		j.errorf("bad_commands", "%d, the MSA said %d", e.BadCommands, bad)
	}
	if j.msa.left.IsZero() || j.msa.how == byHalfClose || last.reply != "" || e.EndReason != "msa_lost" {
		return
	}
	waited := j.msa.unanswered()
	if verb := waited.verb(); verb != "MAIL" && verb != "RCPT" && verb != "DATA" {
		return
	}
	if said := j.atMX(waited.line, time.Time{}, time.Time{}); len(said) > 0 && said[len(said)-1].ended.After(j.msa.left) && !slices.Contains(waits, e.EndPhase) {
		j.errorf("end_phase", "%s, the MSA has left at %q", e.EndPhase, waited.line)
	}
	// Commands that have not been read stand for an MSA that still waits, whatever stands behind them. Where an MX is waited for, the first look
	// comes behind two seconds; what drips is looked at each second.
	if late := j.over.Sub(j.msa.left); late > 3500*time.Millisecond && waited == last && len(j.asked) == 0 {
		j.errorf("noticed", "%s behind the MSA's leaving at %q", late, last.line)
	}
}

// openingSoftened reports whether a banner is on record as softened.
func (j *judging) openingSoftened(e *ending, h *heard) bool {
	for _, o := range e.Opening {
		if o.Phase == "banner" && o.Reply != nil && o.Reply.Text == h.reply {
			return o.Reply.Softened
		}
	}
	return false
}

// waits are the phases in which an MX is waited for on behalf of a mail: a move or a rescue begins at the first.
var waits = []string{"dial", "banner", "ehlo", "starttls", "handshake", "ehlo_tls", "mail", "rcpt", "data", "reset"}

// unanswered is the first command that no reply was heard to.
func (m *msa) unanswered() *said {
	for _, s := range m.talk {
		if s.reply == "" {
			return s
		}
	}
	return m.talk[len(m.talk)-1]
}

// misspelt is how many commands were said, and answered, that nobody knows.
func (m *msa) misspelt() (n int) {
	for _, s := range m.talk {
		if s.line == "FOO" && s.code() == 500 {
			n++
		}
	}
	return n
}
