package truth

import (
	"slices"
	"strings"
	"time"
)

// mail is what both ends know of one mail of a session.
type mail struct {
	begin *said
	rcpts []*said
	data  *said // the last one; nil: none
	body  *said // nil: none
	over  *said // the command that ended it; nil: none
	all   []*said
}

// mails are those of a run, in order. A second MAIL within one that is open is part of that.
func (r *run) mails() (all []*mail) {
	var m *mail
	open := false // a MAIL has been said yes to, and nothing has ended it
	for _, s := range r.msa.talk {
		verb := s.verb()
		switch {
		case s.line == endOfBody:
		case verb == "MAIL" && (!open || !m.nests(s)):
			if m != nil {
				m.over = s
			}
			m = &mail{begin: s}
			all = append(all, m)
			open = s.code()/100 == 2
		}
		if m == nil {
			continue
		}
		m.all = append(m.all, s)
		switch {
		case s.line == endOfBody:
			m.body = s
			open = false
		case verb == "RCPT":
			m.rcpts = append(m.rcpts, s)
		case verb == "DATA":
			m.data = s
		case verb == "RSET" && s.code()/100 == 2, verb == "EHLO" && s.code() < 400, verb == "HELO" && s.code() < 400, verb == "QUIT":
			m.over = s
			m, open = nil, false
		}
		if s.line == endOfBody && m != nil {
			m = nil
		}
	}
	return all
}

// nests says that a MAIL is one too many behind that of a mail that is open. Where nobody has heard the reply, it is.
func (m *mail) nests(s *said) bool {
	if s.reply == "" {
		return m.data == nil || m.data.code() < 400 || isOwn(m.data.reply)
	}
	return strings.Contains(s.reply, "given already")
}

// ofMX finds a reply of an MX by its mark, wherever it stands in a text.
func (r *run) ofMX(text string) (*heard, *mx) {
	found := markOfReply.FindString(text)
	if found == "" {
		return nil, nil
	}
	for _, m := range r.mxs {
		for _, h := range m.heard {
			if strings.Contains(h.reply, found) {
				return h, m
			}
		}
	}
	return nil, nil
}

// atMX gives what MXs heard of a command of a mail, in order of time.
func (r *run) atMX(line string, from, until time.Time) (all []*heard) {
	for _, m := range r.mxs {
		for _, h := range m.heard {
			if h.line == line && !h.came.Before(from) && (until.IsZero() || !h.came.After(until)) {
				all = append(all, h)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *heard) int { return a.came.Compare(b.came) })
	return all
}

// messages gives what MXs heard of the message of a mail, and of which connection.
func (r *run) messages(m *mail) (all []*heard, of []*mx) {
	for _, x := range r.mxs {
		inMail := false
		for _, h := range x.heard {
			switch {
			case h.verb() == "MAIL" && h.code()/100 == 2:
				inMail = h.line == m.begin.line
			case h.line == endOfBody && inMail:
				all, of = append(all, h), append(of, x)
			}
		}
	}
	return all, of
}
