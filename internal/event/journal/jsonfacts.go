package journal

import (
	"time"

	"kanmon/internal/event"
)

// becameOf appends what became of a recipient, what the MSA was told of it, and who has decided so.
func (o *object) becameOf(p *event.Recipient) {
	if by := o.t.Decides(&p.Reply); by != nil && by.Told > 0 {
		o.integer("told", int64(by.Told))
	}
	o.word("fate", o.t.Fate(&p.Reply).String())
	o.word("by", o.t.By(&p.Reply).String())
}

// trust appends what a recipient's domain asks of the TLS with the MX, and what came of that.
func (o *object) trust(t *event.Trust) {
	if t == nil {
		return
	}
	o.open("tls_policy", '{')
	o.own("domain", t.Domain)
	if t.Policy != event.TrustUnasked {
		o.word("policy", t.Policy.String())
	}
	if t.Verdict != event.TrustUnjudged {
		o.word("verdict", t.Verdict.String())
	}
	if t.Why != event.TrustWhyNot {
		o.word("reason", t.Why.String())
	}
	o.own("mx", t.Name)
	o.own("sni", t.ServerName)
	o.foreign("detail", t.Detail)
	if t.Age > 0 {
		o.milliseconds("age_ms", t.Age)
	}
	if t.Waited > 0 {
		o.milliseconds("waited_ms", t.Waited.Duration())
	}
	o.dst = append(o.dst, '}')
}

// suspicion appends what speaks against a mail.
func (o *object) suspicion(s *event.Suspicion) {
	if s == nil {
		return
	}
	o.open("suspicion", '{')
	o.number("score", s.Score)
	if s.Capped {
		o.boolean("capped", true)
	}
	if len(s.Parts) > 0 {
		o.open("parts", '[')
		for i := range s.Parts {
			if i > 0 {
				o.dst = append(o.dst, ',')
			}
			p := &s.Parts[i]
			o.dst = append(o.dst, '{')
			o.word("ground", p.Ground.String())
			o.number("p", p.P)
			o.number("n", p.N)
			o.number("of", p.Of)
			o.dst = append(o.dst, '}')
		}
		o.dst = append(o.dst, ']')
	}
	o.dst = append(o.dst, '}')
}

// results appends how many recipients met each fate.
func (o *object) results(t *event.Transaction) {
	o.open("results", '{')
	for fate, n := range t.Results() {
		if n > 0 {
			o.integer(event.Fate(fate).String(), int64(n))
		}
	}
	o.dst = append(o.dst, '}')
}

// times appends where time has gone.
func (o *object) times(spent *event.Spent) {
	o.open("times", '{')
	for on, d := range spent {
		if d > 0 {
			o.milliseconds(spendingMembers[on], d)
		}
	}
	o.dst = append(o.dst, '}')
}

var spendingMembers = func() (names [event.SpendingCount]string) {
	for on := range names {
		names[on] = event.Spending(on).String() + "_ms"
	}
	return names
}()

// opening appends what the MX said while its leg was opened.
func (o *object) opening(replies []event.Opening) {
	o.open("opening", '[')
	for i := range replies {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = append(o.dst, '{')
		o.word("phase", replies[i].Phase.String())
		if replies[i].Leg > 0 {
			o.integer("leg", int64(replies[i].Leg))
		}
		m := replies[i].Meaning
		if m == nil {
			m = new(event.Meaning)
		}
		o.replyMeant("reply", &replies[i].Reply, m)
		o.dst = append(o.dst, '}')
	}
	o.dst = append(o.dst, ']')
}

// legs appends the connections to MXs that were tried.
func (o *object) legs(e *event.End) {
	if len(e.Legs) == 0 {
		return
	}
	o.open("legs", '[')
	for i := range e.Legs {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		l := &e.Legs[i]
		o.dst = append(o.dst, '{')
		o.integer("leg", int64(l.Number))
		o.integer("at_ms", l.At.Duration().Milliseconds())
		if l.Failed != event.FailedNot {
			o.word("failed", l.Failed.String())
		}
		o.addrPort("local", l.Local)
		o.ip("sending_ip", l.SendingIP)
		o.way(l.Way)
		o.foreign("ehlo_mx", l.HeloMX)
		o.tls("tls_mx", &l.MX)
		o.phases(l)
		o.wire(l.SYNs, l.Resent, l.RTT)
		o.stalled(l.Stalled.Duration())
		o.dst = append(o.dst, '}')
	}
	o.dst = append(o.dst, ']')
	if e.MoreLegs > 0 {
		o.integer("more_legs", int64(e.MoreLegs))
	}
}

// whose appends the tenant and the account that a mail is of, as the gate had it.
func (o *object) whose(t *event.Transaction) {
	if t.Tenant == (event.Span{}) {
		return
	}
	o.own("tenant", string(o.r.Text(t.Tenant)))
	o.address("account", t.Account)
}

// tenant appends whose a record is, where the gate has not said so: of a mail that by its sender, of a session that as
// far as the connection tells. Whose mail a leg was made for is another question.
func (o *object) tenant() {
	if o.t == nil || o.t.Tenant == (event.Span{}) {
		o.own("tenant", o.r.Tenant)
	}
}

// identified appends how others name the message. Nobody's are told whom it is of: a Message-ID may hold a name, or be looked up.
func (o *object) identified(id *event.Identity) {
	if id == nil || !o.f.identify {
		return
	}
	if text := o.r.Text(id.MessageID); len(text) > 0 {
		if shown := o.f.guard.messageID(text); shown != nil {
			o.open("message_id", 0)
			o.dst = o.f.appendJSON(o.dst, shown, 0)
		}
	}
	o.foreign("msa_queue_id", string(o.r.Text(id.QueueID)))
	if !id.Received.IsZero() {
		o.moment("msa_received", id.Received)
	}
}

// way appends why a connection left from where it did.
func (o *object) way(w *event.Way) {
	if w == nil {
		return
	}
	o.own("pool", w.Pool)
	o.own("route", w.Route)
	o.own("provider", w.Provider)
	o.ip("instead_of", w.Instead)
}

// wire appends what the kernel knew of a connection.
func (o *object) wire(syns uint8, resent uint16, rtt event.Micros) {
	if syns > 0 {
		o.integer("syns_resent", int64(syns))
	}
	if resent > 0 {
		o.integer("resent", int64(resent))
	}
	if rtt > 0 {
		o.milliseconds("rtt_ms", rtt.Duration())
	}
}

// stalled appends for how long kanmon stood still.
func (o *object) stalled(d time.Duration) {
	if d > 0 {
		o.milliseconds("stalled_ms", d)
	}
}

func (o *object) phases(l *event.Leg) {
	o.open("phases", '{')
	for p, d := range l.Phases {
		if d > 0 {
			o.milliseconds(phaseMembers[p], d.Duration())
		}
	}
	o.dst = append(o.dst, '}')
}
