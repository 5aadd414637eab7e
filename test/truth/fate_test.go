package truth

import (
	"strings"
	"time"
)

// recipients compares those of a mail, and what came of each.
func (j *judging) recipients(m *mail, x *transaction) {
	results := map[string]int{}
	for i, p := range x.Recipients {
		if i >= len(m.rcpts) {
			j.errorf("recipients", "%q was never said", p.Address)
			return
		}
		s := m.rcpts[i]
		if !strings.Contains(s.line, "<"+p.Address+">") {
			j.errorf("recipients", "%q stands for %q", p.Address, s.line)
			return
		}
		j.reply("rcpt", m, s, p.Reply)
		j.fate(m, s, &p)
		results[p.Fate]++
	}
	for _, s := range m.rcpts[len(x.Recipients):] {
		if s.reply != "" && s.code() != 421 || len(j.atMX(s.line, time.Time{}, time.Time{})) > 0 {
			j.errorf("recipients", "%q is not on record", s.line)
		}
	}
	for fate, n := range x.Results {
		if results[fate] != n {
			j.errorf("results", "%v, of %v", x.Results, results)
			break
		}
	}
	if len(x.Results) != len(results) {
		j.errorf("results", "%v, of %v", x.Results, results)
	}
}

// fate compares what became of a recipient, what the MSA was told, and whose word that was.
func (j *judging) fate(m *mail, s *said, p *recipient) {
	deciding := s
	if m.begin.code() >= 400 {
		deciding = m.begin
	} else if s.code()/100 == 2 {
		deciding = nil
		if m.data != nil && m.data.code() >= 400 && m.data.code() != 503 {
			deciding = m.data
		}
		if m.body != nil {
			deciding = m.body
		}
	}
	told := 0
	if deciding != nil {
		told = deciding.code()
	}
	if p.Told != told && (told != 0 || j.msa.left.IsZero()) {
		j.errorf("told", "%s: %d, the MSA heard %d", p.Address, p.Told, told)
	}
	want := j.fateOf(m, s, told)
	if want != "" && p.Fate != want {
		j.errorf("fate", "%s: %s, want %s", p.Address, p.Fate, want)
	}
	if told >= 400 && deciding != nil {
		h, _ := j.ofMX(deciding.reply)
		by := "kanmon"
		if h != nil && h.code() == told {
			by = "mx"
		}
		if p.By != by {
			j.errorf("by", "%s: told %q by %q, want %s", p.Address, deciding.reply, p.By, by)
		}
	}
}

// fateOf gives what became of a recipient; "": the ends cannot tell.
func (j *judging) fateOf(m *mail, s *said, told int) string {
	messages, xs := j.messages(m)
	accepted, dots := false, 0
	for i, h := range messages {
		if !h.whole || !xs[i].accepted(m, s) {
			continue
		}
		dots++
		switch {
		case h.code()/100 == 2 && !h.broken:
			accepted = true
		case h.reply == "" || h.broken:
			return "unknown"
		}
	}
	switch {
	case accepted:
		return "delivered"
	case told/100 == 5:
		return "refused"
	case told/100 == 4:
		return "deferred"
	case dots == 0 && told == 0 && s.code()/100 == 2:
		return "" // by what an MX said that nobody heard, or not sent
	}
	return ""
}

// accepted says that a connection has taken a recipient of a mail.
func (m *mx) accepted(of *mail, s *said) bool {
	in := false
	for _, h := range m.heard {
		switch h.verb() {
		case "MAIL":
			in = in && h.code() == 503 || h.line == of.begin.line && h.code()/100 == 2
		case "RCPT":
			if in && h.line == s.line && h.code()/100 == 2 {
				return true
			}
		}
	}
	return false
}

// outcome compares that of a mail with what the ends know.
func (j *judging) outcome(m *mail, x *transaction) {
	fates := map[string]bool{}
	for _, s := range m.rcpts {
		fates[j.fateOf(m, s, 0)] = true
	}
	want := ""
	switch {
	case fates["unknown"]:
		want = "ambiguous"
	case fates["delivered"] && m.body.code()/100 == 2:
		want = "delivered"
	case fates["delivered"]:
		if x.Outcome != "delivered" && x.Outcome != "orphan_ack" {
			want = "orphan_ack"
		}
	default:
		want = j.byReplies(m)
		if want == "" && j.msa.left.IsZero() && (x.Outcome == "delivered" || x.Outcome == "ambiguous" || x.Outcome == "orphan_ack" || x.Outcome == "refused" || x.Outcome == "none") {
			j.errorf("outcome", "%s, and nothing decides so", x.Outcome)
		}
	}
	if m.body != nil && isOwn(m.body.reply) && x.Outcome == "aborted" {
		return // kanmon has told the MSA so
	}
	if want != "" && x.Outcome != want {
		j.errorf("outcome", "%s, want %s", x.Outcome, want)
	}
}

// byReplies is what the replies that the MSA has heard decide; "": nothing.
func (j *judging) byReplies(m *mail) string {
	of := func(code int) string {
		switch code / 100 {
		case 4:
			return "deferred"
		case 5:
			return "refused"
		}
		return ""
	}
	if o := of(m.begin.code()); o != "" {
		return o
	}
	worst := 5
	for _, s := range m.rcpts {
		worst = min(worst, s.code()/100)
	}
	if len(m.rcpts) > 0 && worst >= 4 {
		return of(worst * 100)
	}
	if m.data != nil && m.body == nil && m.data.code() >= 400 && m.data.code() != 503 {
		return of(m.data.code())
	}
	if m.body != nil {
		return of(m.body.code())
	}
	return ""
}

// counted compares what is counted of a mail's sender, who has no other mail.
func (j *judging) counted(m *mail) {
	n := j.counts[m.begin.mailbox()]
	accepted := 0
	messages, _ := j.messages(m)
	for _, h := range messages {
		if h.whole && h.code()/100 == 2 && !h.broken {
			accepted++
		}
	}
	if n.Delivered != accepted {
		j.errorf("counts", "%d delivered of %s, want %d", n.Delivered, m.begin.mailbox(), accepted)
	}
	if taken := m.begin.code()/100 == 2; n.Mails > 1 || n.Mails == 1 != taken && m.begin.reply != "" {
		j.errorf("counts", "%d mails of %s, MAIL was answered with %q", n.Mails, m.begin.mailbox(), m.begin.reply)
	}
	tried := 0
	for _, s := range m.rcpts {
		if h, _ := j.ofMX(s.reply); h != nil && h.line == s.line {
			tried++
		}
	}
	if n.Tried < tried {
		j.errorf("counts", "%d recipients tried of %s, the MSA heard of %d", n.Tried, m.begin.mailbox(), tried)
	}
}
