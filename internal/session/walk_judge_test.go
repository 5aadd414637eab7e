package session_test

import (
	"fmt"
	"slices"
	"strings"

	"kanmon/internal/event"
)

// judge looks at what all three have heard.
func (w *walk) judge(tally *walkTally) error {
	tally.walks.Add(1)
	tally.commands.Add(int64(len(w.msa.talk)))
	if w.msa.talk[0].reply != "" && strings.HasPrefix(w.msa.talk[0].reply, "220 kanmon") {
		tally.noLeg.Add(1)
	}
	if err := w.judgeReplies(tally); err != nil {
		return err
	}
	view := w.viewOfMSA()
	for i, mx := range w.mxs {
		if err := w.judgeMX(mx, view, tally); err != nil {
			return fmt.Errorf("MX %d: %w", i, err)
		}
	}
	if err := view.acknowledgedOnly(); err != nil {
		return err
	}
	if tally.inspected.Add(int64(w.inspections)); w.unclosed != 0 {
		return fmt.Errorf("%d inspections have not been closed, of %d", w.unclosed, w.inspections)
	}
	return w.judgeRecords(view)
}

// judgeReplies wants each command to have its own reply, until the session ends: the MX's, which repeats the command, or one of kanmon's,
// which lets no mail pass.
func (w *walk) judgeReplies(tally *walkTally) error {
	for i, s := range w.msa.talk {
		verb := s.verb()
		switch {
		case s.reply == "":
			if last := i - 1; slices.ContainsFunc(w.msa.talk[i:], func(s said) bool { return s.reply != "" }) {
				return fmt.Errorf("nothing answers what stands behind %q", w.msa.talk[last].line)
			}
			return nil
		case w.inspections > 0 && s.line == "DATA" && strings.HasPrefix(s.reply, "354 End data"):
		case w.inspections > 0 && s.line == endOfBody && strings.Contains(s.reply, " re DATA") && s.reply[0] >= '4':
		case strings.HasPrefix(s.reply, "220 kanmon ESMTP") && s.line == connected, strings.HasPrefix(s.reply, "421 re RSET") && verb == "EHLO",
			strings.HasPrefix(s.reply, "250") && strings.Contains(s.reply[:10], "kanmon") && (verb == "EHLO" || verb == "HELO"):
		case strings.Contains(s.reply, "kanmon: "):
			mail := verb == "MAIL" || verb == "RCPT" || verb == "DATA" || s.line == endOfBody
			switch {
			case mail && s.reply[0] < '4':
				return fmt.Errorf("kanmon itself said %q to %q", s.reply, s.line)
			case verb == "MAIL":
				tally.refused.Add(1)
			case strings.Contains(s.reply, "need MAIL first"):
				tally.stray.Add(1)
			}
		default:
			want := "re " + s.line
			if verb == "EHLO" || verb == "HELO" || verb == "QUIT" {
				want = "re " + strings.Replace(verb, "HELO", "EHLO", 1)
			}
			if !strings.Contains(s.reply, strings.TrimSuffix(cleanReply(want), "\r\n")) && !strings.HasPrefix(s.reply, "421 re ") {
				return fmt.Errorf("%q was answered with %q", s.line, s.reply)
			}
		}
	}
	return nil
}

// A view is what the MSA knows of its mails: the addresses stand for them.
type view struct {
	owner map[string]string // of a recipient: its MAIL's sender
	taken map[string][]string
	body  map[string]string // by sender
	acked map[string]bool
	atMX  map[string]bool // filled by judgeMX: an MX has read it to its dot, and taken it
}

func (w *walk) viewOfMSA() *view {
	v := &view{map[string]string{}, map[string][]string{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
	mail, open := "", false // open: a further MAIL is one too many
	for _, s := range w.msa.talk {
		verb, local := s.verb(), strings.Contains(s.reply, "kanmon: ")
		malformed := len(s.line) > 4096 || strings.ContainsAny(s.line, "\r\n\x00") || verb == "MAIL" && strings.Contains(s.line, "\xe9")
		switch {
		case s.reply == "":
			return v
		case malformed:
			if !open {
				mail = ""
			}
		case s.line == endOfBody:
			v.body[mail], v.acked[mail] = string(s.body), s.reply[0] == '2'
			mail, open = "", false
		case s.reply[0] == '2' && (verb == "RSET" || verb == "EHLO" || verb == "HELO"):
			mail, open = "", false
		case verb == "MAIL" && strings.Contains(s.reply, "given already"):
		case verb == "MAIL" && local:
			mail, open = "", false
		case verb == "MAIL":
			mail, open = walkAddress.FindString(s.line), s.reply[0] == '2'
		case verb == "RCPT":
			rcpt := walkAddress.FindString(s.line)
			if v.owner[rcpt] = mail; s.reply[0] == '2' {
				v.taken[mail] = append(v.taken[mail], rcpt)
			}
		case verb == "DATA" && !local && open:
			open = s.reply[0] == '3'
		}
	}
	return v
}

// acknowledgedOnly wants the MSA to have been told 2xx of exactly the messages of which an MX has said so.
func (v *view) acknowledgedOnly() error {
	for mail, acked := range v.acked {
		if acked != v.atMX[mail] {
			return fmt.Errorf("the message of %q: acknowledged %t, by the MX %t", mail, acked, v.atMX[mail])
		}
	}
	for mail := range v.atMX {
		if _, told := v.acked[mail]; !told {
			return fmt.Errorf("nobody was told of the message of %q", mail)
		}
	}
	return nil
}

// judgeMX looks at all that an MX has heard.
func (w *walk) judgeMX(mx *walkMX, v *view, tally *walkTally) error {
	var mail *heard // the last MAIL, until what ends it
	var rcpts []string
	refused := false // its DATA
	for i := range mx.heard {
		h := &mx.heard[i]
		verb := said{line: h.line}.verb()
		switch {
		case w.require && h.line != "EHLO out.example" && h.line != "QUIT":
			return fmt.Errorf("%q went out without TLS", h.line)
		case strings.Contains(h.line, "inbody"):
			return fmt.Errorf("a line of a message became the command %q", h.line)
		case h.line == endOfBody:
			if err := w.judgeMessage(mail, h, rcpts, v, tally); err != nil {
				return err
			}
			mail, rcpts = nil, nil
		case verb == "MAIL":
			if mail != nil && mail.accepted() && !refused {
				return fmt.Errorf("%q inside of a transaction", h.line)
			}
			if name := walkAddress.FindString(h.line); w.gate != nil && !w.gate.passed[name] {
				return fmt.Errorf("%q has not been admitted", h.line)
			}
			mail, rcpts, refused = h, nil, false
		case verb == "RCPT" || verb == "DATA":
			if mail == nil || !mail.accepted() && mail.write != h.write {
				return fmt.Errorf("%q behind no MAIL that was accepted or stood before it in one piece", h.line)
			}
			if verb == "DATA" {
				refused = !h.accepted()
				continue
			}
			rcpt, sender := walkAddress.FindString(h.line), walkAddress.FindString(mail.line)
			if w.gate != nil && !w.gate.passed[sender+" "+rcpt] || v.owner[rcpt] != sender && v.owner[rcpt] != "" {
				return fmt.Errorf("%q has not been admitted for %q, but for %q", rcpt, sender, v.owner[rcpt])
			}
			if h.accepted() {
				rcpts = append(rcpts, rcpt)
			}
		case (verb == "RSET" || verb == "EHLO") && h.accepted():
			mail, rcpts = nil, nil
		}
	}
	if len(mx.in) > 0 && (!mx.body || mail == nil || !mail.accepted()) {
		return fmt.Errorf("%q has gone to an MX that has not asked for it", mx.in)
	}
	return nil
}

// judgeMessage looks at a message that an MX has read to its dot.
func (w *walk) judgeMessage(mail, dot *heard, rcpts []string, v *view, tally *walkTally) error {
	tally.messages.Add(1)
	if mail == nil || !mail.accepted() {
		return fmt.Errorf("a message behind no MAIL that was accepted: %q", dot.body)
	}
	sender := walkAddress.FindString(mail.line)
	if v.atMX[sender] {
		return fmt.Errorf("the message of %q was taken, and sent once more", sender)
	}
	if v.atMX[sender] = dot.accepted(); dot.accepted() {
		tally.taken.Add(1)
	}
	if dot.body != v.body[sender] {
		return fmt.Errorf("the message of %q is %q, not %q", sender, dot.body, v.body[sender])
	}
	if !slices.Equal(rcpts, v.taken[sender]) {
		return fmt.Errorf("the message of %q is for %q, and the MSA was told %q", sender, rcpts, v.taken[sender])
	}
	return nil
}

// judgeRecords wants a record of each message that an MX has read to its dot, with what became of it: from the last IP that sent it.
func (w *walk) judgeRecords(v *view) error {
	for mail, taken := range v.atMX {
		at := slices.IndexFunc(w.records, func(r walkRecord) bool { return r.sender == mail })
		if at < 0 {
			return fmt.Errorf("the message of %q has no record", mail)
		}
		outcome := w.records[at].outcome
		taken = taken && len(v.taken[mail]) > 0 // a 250 to a message for nobody delivers nothing
		if taken != (outcome == event.OutcomeDelivered) || !taken && outcome != event.OutcomeRefused && outcome != event.OutcomeDeferred {
			return fmt.Errorf("the message of %q, taken %t, is recorded as %s", mail, taken, outcome)
		}
	}
	return nil
}
