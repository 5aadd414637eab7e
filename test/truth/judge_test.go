package truth

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A judging compares what was written of a run with what its ends logged.
type judging struct {
	*run
	*book
	wrong []string
}

func (j *judging) errorf(kind, format string, args ...any) {
	j.wrong = append(j.wrong, kind+": "+fmt.Sprintf(format, args...))
}

// tolerance is what kanmon may compute for; virtual time does not pass meanwhile.
const tolerance = 5 * time.Millisecond

func near(ms float64, d, more time.Duration) bool {
	return math.Abs(ms-float64(d)/float64(time.Millisecond)) <= float64(tolerance+more)/float64(time.Millisecond)
}

func (j *judging) all() {
	j.session()
	mails := j.mails()
	at := 0
	last := 0
	for i := range j.transactions {
		x := &j.transactions[i]
		if x.Number != last+1 {
			j.errorf("numbers", "transaction %d behind %d", x.Number, last)
		}
		last = x.Number
		for at < len(mails) && !strings.Contains(mails[at].begin.line, "<"+x.Sender+">") {
			if j.mustBe(mails[at]) {
				j.errorf("lines", "no line for %q", mails[at].begin.line)
			}
			at++
		}
		if at == len(mails) {
			j.errorf("lines", "line %d of %q has no MAIL", x.Number, x.Sender)
			return
		}
		j.mail(mails[at], x)
		at++
	}
	for ; at < len(mails); at++ {
		if j.mustBe(mails[at]) {
			j.errorf("lines", "no line for %q", mails[at].begin.line)
		}
	}
	j.inOrder()
}

// mustBe says that a mail must be on record: its MAIL was seen by an MX, or answered by other than the session's end.
func (j *judging) mustBe(m *mail) bool {
	if len(j.atMX(m.begin.line, time.Time{}, time.Time{})) > 0 {
		return true
	}
	return m.begin.code() != 0 && m.begin.code() != 421
}

// mail compares one.
func (j *judging) mail(m *mail, x *transaction) {
	if passed := !strings.HasSuffix(x.Sender, "@limited.example") && !strings.HasSuffix(x.Sender, "@forbidden.example"); passed && m.begin.code()/100 == 2 &&
		(x.Tenant != j.source.Addr().String() || x.Account != x.Sender) {
		j.errorf("whose", "%s of %s", x.Account, x.Tenant)
	}
	j.reply("mail", m, m.begin, x.Mail)
	j.recipients(m, x)
	switch {
	case m.data != nil && isOwn(m.data.reply) && (m.data.code() == 503 || x.Data == nil && m.data.code() == 421): // a command out of place
	case m.data != nil:
		j.reply("data", m, m.data, x.Data)
	case m.data == nil && x.Data != nil:
		j.errorf("data", "a reply %+v to no DATA", *x.Data)
	}
	switch {
	case m.body != nil:
		j.reply("dot", m, m.body, x.Dot)
		if n := m.body.octets; x.BodyBytes > n || m.body.dot && m.body.heardAt.After(m.body.at) && m.body.code()/100 == 2 && x.BodyBytes != n {
			j.errorf("body_bytes", "%d of %d", x.BodyBytes, n)
		}
		if most := j.mostOfBody(m); x.BodyBytes < most {
			j.errorf("body_bytes", "%d, and an MX has had %d", x.BodyBytes, most)
		}
	case x.Dot != nil:
		j.errorf("dot", "a reply %+v to no message", *x.Dot)
	}
	j.identified(m, x)
	j.from(m, x)
	j.outcome(m, x)
	j.times(m, x)
	j.window(x)
	j.stalled(x)
	j.counted(m)
}

// isOwn says that a reply is kanmon's.
func isOwn(reply string) bool { return reply != "" && !markOfReply.MatchString(reply) }

func (j *judging) mostOfBody(m *mail) (most int) {
	heard, _ := j.messages(m)
	for _, h := range heard {
		most = max(most, h.octets)
	}
	return most
}

// reply compares the record of a reply with what was heard, or with what an MX said that nobody heard.
func (j *judging) reply(name string, m *mail, s *said, p *reply) {
	if p == nil {
		if s.reply != "" {
			j.errorf(name, "no reply on record to %q, the MSA heard %q", s.line, s.reply)
		} else if h, _ := j.said(m, s); h != nil && j.wasRead(m, h) {
			j.errorf(name, "no reply on record to %q, an MX said %q", s.line, h.reply)
		}
		return
	}
	if p.Code == 0 && s.reply == "" {
		j.errorf(name, "code 0 to %q", s.line)
		return
	}
	h, of := j.ofMX(p.Text)
	switch {
	case s.reply == "":
		if h != nil && h.line != s.line {
			j.errorf(name, "reply %q to %q is that to %q", p.Text, s.line, h.line)
		}
		if (h == nil) != p.Local {
			j.errorf(name, "local %t, of an MX %t: %q", p.Local, h != nil, p.Text)
		}
	case h == nil:
		if strings.Contains(p.Text, "(limit ") && !strings.HasPrefix(p.Rule, "limit ") {
			j.errorf("rule", "%q by rule %q", p.Text, p.Rule)
		}
		if !p.Local || p.Softened || p.Code != s.code() || p.Text != s.reply {
			j.errorf(name, "record %+v, the MSA heard %q", *p, s.reply)
		}
	default:
		if p.Local || p.Text != h.reply || p.Code != h.code() {
			j.errorf(name, "record %+v, the MX said %q", *p, h.reply)
		}
		if heard, _ := j.ofMX(s.reply); heard != h || p.Softened != (s.code() != h.code()) {
			j.errorf(name, "record %+v, the MSA heard %q", *p, s.reply)
		}
	}
	if h == nil {
		return
	}
	if p.Code >= 400 {
		j.meaning(name, p)
	}
	var more time.Duration
	for _, other := range of.heard { // one that drips is read once a second, and so is what comes behind it in its group
		if other.ended.Sub(other.began) > 4*time.Second && other.ended.Before(h.ended.Add(time.Second)) && h.came.Before(other.ended) {
			more = 2 * time.Second
		}
	}
	if later := j.laterThan(of, h); later != nil && near(p.Took, later.ended.Sub(h.came), more) {
		return // both lay in the socket during a rescue: all that is known is when the last one came
	}
	j.pieces(name, p, h)
	if h.early || h.verb() == "RSET" {
		return
	}
	if !near(p.Took, h.ended.Sub(h.came), more) || !near(p.First, h.began.Sub(h.came), more) {
		j.errorf("times of "+name, "first %.3f, took %.3f of %q; the MX began behind %s and ended behind %s", p.First, p.Took, p.Text,
			h.began.Sub(h.came), h.ended.Sub(h.came))
	}
}

// laterThan is the reply of the same group that came last.
func (j *judging) laterThan(of *mx, h *heard) (last *heard) {
	for _, other := range of.heard {
		if other.came.Equal(h.came) && other.ended.After(h.ended) {
			last = other
		}
	}
	return last
}

func (j *judging) meaning(name string, p *reply) {
	class, scope := "policy_unspecified", ""
	switch {
	case strings.Contains(p.Text, "listed:"):
		class, scope = "ip_blocklisted", "ip"
	case strings.Contains(p.Text, "soft:"):
		class, scope = "ip_reputation", "netblock"
	}
	if p.Class != class || p.Scope != scope || p.Rule == "" || (class == "ip_blocklisted") != (len(p.Lists) == 1) {
		j.errorf("meaning of "+name, "%+v, want %s %s", *p, class, scope)
	}
}

// said is the last whole reply of an MX to a command of a mail, and its connection.
func (j *judging) said(m *mail, s *said) (last *heard, of *mx) {
	if s.line == endOfBody {
		heard, xs := j.messages(m)
		for i, h := range heard {
			if h.reply != "" && !h.broken {
				last, of = h, xs[i]
			}
		}
		return last, of
	}
	if s.verb() == "DATA" {
		return nil, nil // it may be another's
	}
	if all := j.atMX(s.line, m.begin.at, time.Time{}); len(all) > 0 {
		last = all[len(all)-1] // that of the connection that took over from the others
	}
	if last != nil && (last.reply == "" || last.broken || j.replaced(last)) {
		return nil, nil
	}
	return last, nil
}

// replaced says that another connection was opened behind a reply, or before all of it had come.
func (j *judging) replaced(h *heard) bool {
	last := j.mxs[len(j.mxs)-1]
	for _, other := range last.heard {
		if other == h {
			return false
		}
	}
	return !last.dialled.Before(h.came)
}

// wasRead says that kanmon must have read a reply: its session went on behind it.
func (j *judging) wasRead(m *mail, h *heard) bool {
	return !h.broken && h.ended.Add(time.Second).Before(j.over) && (j.msa.left.IsZero() || h.ended.Before(j.msa.left))
}
