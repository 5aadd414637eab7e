package truth

import (
	"strings"
	"time"
)

// from compares the sending IP of a mail: that of the connection whose words the MSA heard last.
func (j *judging) from(m *mail, x *transaction) {
	var of *mx
	for _, s := range m.all {
		if verb := s.verb(); s.reply != "" && (verb == "MAIL" || verb == "RCPT" || verb == "DATA" && s.code() != 503 || s.line == endOfBody) {
			_, of = j.ofMX(s.reply)
		}
	}
	if last := m.all[len(m.all)-1]; of == nil || last.reply == "" { // it may have moved, or been rescued, for that
		return
	}
	ip := of.ip.String()
	if j.observed {
		ip = ""
	}
	if x.SendingIP != ip {
		j.errorf("sending_ip", "%q, the mail has left from %q", x.SendingIP, ip)
	}
}

// names says that an address is that of the sender, or of a recipient.
func (m *mail) names(address string) bool {
	for _, s := range append([]*said{m.begin}, m.rcpts...) {
		if s.mailbox() == address {
			return true
		}
	}
	return false
}

// times compares the sums.
func (j *judging) times(m *mail, x *transaction) {
	sum := 0.0
	for _, ms := range x.Times {
		sum += ms
	}
	if !near(sum, time.Duration(x.Duration*float64(time.Millisecond)), 0) {
		j.errorf("sums", "%v is not %.3f", x.Times, x.Duration)
	}
	if ms := x.Times["kanmon_ms"]; ms > 5 && x.Outcome != "orphan_ack" {
		j.errorf("own", "%.3f ms of kanmon's own: %v", ms, x.Times)
	}
	if len(x.Times) == 0 && x.Duration > 0 {
		j.errorf("sums", "no times")
	}
	held := time.Duration(0)
	for _, a := range j.asked {
		if m.names(a.name) {
			held += a.delay
		}
	}
	if ms := x.Times["held_ms"]; !near(ms, held, 0) && j.msa.left.IsZero() {
		j.errorf("held", "%.3f, want %s", ms, held)
	}
	if m.body != nil && m.body.code()/100 == 2 && m.data != nil && m.body.dot {
		want, most := m.body.at.Sub(m.data.heardAt), m.body.heardAt.Sub(m.data.heardAt) // where the MX does not read, kanmon reads later
		if !near(x.BodyMS, want, 0) && (x.BodyMS < float64(want/time.Millisecond) || x.BodyMS > float64(most/time.Millisecond) || x.Times["body_mx_ms"] == 0) {
			j.errorf("body_ms", "%.3f, want %s to %s", x.BodyMS, want, most)
		}
	}
	if m.body != nil && m.body.heardAt.After(m.body.at) && m.begin.reply != "" {
		if want := m.body.heardAt.Sub(x.Start); !near(x.Duration, want, 0) {
			j.errorf("duration", "%.3f, want %s", x.Duration, want)
		}
	}
}

// session compares the line of the session.
func (j *judging) session() {
	if len(j.ends) != 1 {
		j.errorf("session", "%d lines", len(j.ends))
		return
	}
	e := &j.ends[0]
	if !near(e.Duration, j.over.Sub(j.begun), 0) {
		j.errorf("duration", "%.3f, want %s", e.Duration, j.over.Sub(j.begun))
	}
	if e.Transactions != len(j.transactions) {
		j.errorf("transactions", "%d, and %d lines", e.Transactions, len(j.transactions))
	}
	delivered := 0
	for _, x := range j.transactions {
		if x.Outcome == "delivered" {
			delivered++
		}
	}
	if e.Delivered != delivered {
		j.errorf("delivered", "%d, and %d lines", e.Delivered, delivered)
	}
	j.octets(e)
	j.legs(e)
	j.opened(e)
	j.failed(e)
	j.ended(e)
	last := j.msa.talk[len(j.msa.talk)-1]
	said := last.line == "QUIT"
	quit := said && last.code() == 221
	if left := said && !j.msa.left.IsZero(); quit != (e.EndReason == "quit") && (!quit || e.EndReason != "mx_refused") && !left {
		j.errorf("end_reason", "%s, the last was %q %q", e.EndReason, last.line, last.reply)
	}
	sum := 0.0
	for _, ms := range e.Times {
		sum += ms
	}
	if !near(sum, time.Duration(e.Duration*float64(time.Millisecond)), 0) {
		j.errorf("sums of the session", "%v is not %.3f", e.Times, e.Duration)
	}
}

func (j *judging) octets(e *ending) {
	if e.Octets.FromMSA > j.msa.sent || j.msa.left.IsZero() && e.EndReason == "quit" && e.Octets.FromMSA != j.msa.sent {
		j.errorf("octets", "%d from the MSA, which sent %d", e.Octets.FromMSA, j.msa.sent)
	}
	if e.Octets.ToMSA < j.msa.heard || j.msa.left.IsZero() && e.EndReason == "quit" && e.Octets.ToMSA != j.msa.heard {
		j.errorf("octets", "%d to the MSA, which heard %d", e.Octets.ToMSA, j.msa.heard)
	}
	var toMX, fromMX int64
	for _, m := range j.mxs {
		toMX, fromMX = toMX+m.read, fromMX+m.wrote
	}
	if e.Octets.ToMX < toMX {
		j.errorf("octets", "%d to MXs, which read %d", e.Octets.ToMX, toMX)
	}
	if e.Octets.FromMX > fromMX {
		j.errorf("octets", "%d from MXs, which wrote %d", e.Octets.FromMX, fromMX)
	}
}

// legs compares the connections to MXs.
func (j *judging) legs(e *ending) {
	connected := e.Legs[:0:0]
	for _, l := range e.Legs {
		if l.Local != "" {
			connected = append(connected, l)
		}
	}
	if len(connected) != len(j.mxs) {
		j.errorf("legs", "%d, want %d", len(connected), len(j.mxs))
		return
	}
	for i, l := range connected {
		m := j.mxs[i]
		if !strings.HasPrefix(l.Local, m.ip.String()+":") || l.SendingIP != m.ip.String() && !j.observed {
			j.errorf("legs", "%+v, want %s", l, m.ip)
		}
	}
}

// inOrder looks at the JSON lines and at the session log: in order of time, and what the MSA heard is there, to the letter.
func (j *judging) inOrder() {
	var last told
	for _, line := range j.told {
		if line.Count > 0 {
			continue
		}
		if line.At.Before(last.At) {
			j.errorf("order", "%+v stands behind %+v", line, last)
			break
		}
		last = line
	}
	for i := 1; i < len(j.log); i++ {
		if j.log[i].at.Before(j.log[i-1].at) {
			j.errorf("order", "%q stands behind %q, and came before", j.log[i].text, j.log[i-1].text)
			break
		}
	}
	var told strings.Builder
	for _, l := range j.log {
		if l.mark == "<-" {
			told.WriteString(l.text + "\n")
		}
	}
	var heard strings.Builder
	for _, s := range j.msa.talk {
		if s.reply != "" {
			heard.WriteString(s.reply + "\n")
		}
	}
	if !strings.HasPrefix(told.String(), heard.String()) {
		j.errorf("session log", "told:\n%s\nheard:\n%s", told.String(), heard.String())
	}
}
