package metrics

import (
	"time"

	"kanmon/internal/event"
)

// The results of a reload.
const (
	reloadSucceeded = "success"
	reloadRefused   = "refused"
)

// slowReply is from when on the octets of a reply have come slowly, as the session log has it.
const slowReply = 100 * time.Millisecond

// Hear counts what the facts tell. It does not wait, and keeps nothing of them.
func (m *Metrics) Hear(f *event.Facts) {
	if f.News != nil {
		m.hearNews(f.News)
		return
	}
	for i := range f.Decisions {
		m.hearDecision(&f.Decisions[i].Note)
	}
	if len(f.Actions) > 0 {
		m.hearActions(f)
	}
	if f.Transaction != nil {
		m.hearMail(f)
	}
	if f.End != nil {
		m.hearEnd(f)
	}
}

func (m *Metrics) hearNews(news event.News) {
	switch n := news.(type) {
	case event.Changed:
		if n.IP.IsValid() {
			m.aside(func() {
				m.of.standingChanges.WithLabelValues(m.ips.of(n.IP), m.providerName(n.Provider), n.State).Inc()
			})
		}
	case event.Judged:
		m.hearContent(n.Content)
	case event.Gateway:
		switch n.Did {
		case event.Reloaded:
			m.aside(func() { m.of.reloads.WithLabelValues(reloadSucceeded).Inc() })
			m.stands.reloaded.Store(time.Now().Unix())
		case event.ReloadRefused:
			m.aside(func() { m.of.reloads.WithLabelValues(reloadRefused).Inc() })
		case event.Draining:
			m.stands.draining.Store(true)
		case event.Started:
			m.stands.reloaded.Store(time.Now().Unix()) // what holds has been read then
		}
	}
}

// providerName is how a provider is called where something is about all of it: no name stands for all.
func (m *Metrics) providerName(name string) string {
	if name == "" {
		return m.providers.text(providerAll)
	}
	return m.providers.of(name)
}

// place is where a connection leads, and whence: the numbers of its provider and sending IP.
func (m *Metrics) place(leg *event.Leg) (provider, ip int) {
	if leg.Number == 0 {
		return providerUnknown, ipNone
	}
	if leg.Way != nil {
		provider = m.providers.at(leg.Way.Provider)
	}
	if leg.SendingIP.IsValid() {
		ip = m.ips.at(leg.SendingIP)
	}
	return provider, ip
}

func (m *Metrics) hearDecision(n *event.Note) {
	action, rule := m.actions.learn(n.Did, n.Did), m.rules.learn(n.Rule, n.Rule)
	if s := &m.decided[action][rule]; !s.add(1) {
		m.first(s, m.of.decisions, 1, m.actions.text(action), m.rules.text(rule))
	}
}

// hearActions counts what was done about refusals. Those that stand in no reply of the mail, since another connection has taken the place
// of the refused one, are counted as refusals here.
func (m *Metrics) hearActions(f *event.Facts) {
	provider, _ := m.place(&f.Session.Leg)
	for i := range f.Actions {
		a := &f.Actions[i]
		ip := ipNone
		if a.SendingIP.IsValid() {
			ip = m.ips.at(a.SendingIP)
		}
		m.countRescue(provider, ip, a.Did)
		if (a.Did == event.Rescued || a.Did == event.AlsoRefused) && a.Code >= 400 && a.Phase >= event.PhaseMail {
			m.countRefusals(m.at(provider, ip), f.Tenant, a.Class, kindOf(a.Code), 1)
		}
	}
}

func (m *Metrics) countRescue(provider, ip int, did event.Deed) {
	m.aside(func() { m.of.rescues.WithLabelValues(m.providers.text(provider), m.ips.text(ip), did.String()).Inc() })
}

// hearMail counts an attempt that has ended.
func (m *Metrics) hearMail(f *event.Facts) {
	t, leg := f.Transaction, &f.Session.Leg
	if t.Content != nil {
		m.hearContent(t.Content)
	}
	provider, ip := m.place(leg)
	of := m.at(provider, ip)
	m.countOutcome(of, t.Outcome, t.Decided())
	m.countTenant(f.Tenant, t.Outcome)
	m.countRecipients(provider, &f.Results)
	if t.Outcome == event.OutcomeDelivered || t.Outcome == event.OutcomeOrphanAck {
		m.countBytes(provider, t.BodyBytes)
		if t.Identity != nil && !t.Identity.Received.IsZero() {
			m.seeDelay(provider, max(0, time.Since(t.Identity.Received)))
		}
	}
	m.hearTrust(t.Recipients)
	r := replies{m: m, f: f, of: of, from: leg.From}
	if leg.Mails > 1 { // all of it was said here
		r.from = event.PhaseDial
	}
	r.one(event.PhaseMail, &t.Mail)
	r.recipients()
	r.one(event.PhaseData, &t.Data)
	if r.envelope > 0 {
		m.seeWait(waitEnvelope, of, r.envelope)
	}
	if said(&t.Dot) {
		m.seeWait(waitDot, of, t.Dot.Took.Duration())
	}
	r.one(event.PhaseDot, &t.Dot)
	m.countDrips(of, float64(r.drips))
}

// said reports whether a reply is the MX's.
func said(r *event.Reply) bool { return r.Code != 0 && !r.Local }

// replies are those of a mail, as they are counted.
type replies struct {
	m        *Metrics
	f        *event.Facts
	of       *cell
	from     event.Phase   // from which on they were said from the sending IP of the cell
	envelope time.Duration // that it took there
	drips    int
}

func (r *replies) one(p event.Phase, reply *event.Reply) {
	if !said(reply) {
		return
	}
	if reply.Code >= 400 {
		r.m.countRefusals(r.of, r.f.Tenant, r.f.Transaction.Meaning(reply).Class, kindOf(reply.Code), 1)
	}
	r.see(p, reply.Took.Duration())
	r.drip(reply)
}

func (r *replies) see(p event.Phase, took time.Duration) {
	r.m.seePhase(p, r.of.provider, took, r.f.Session.ID)
	if p >= r.from && p < event.PhaseBody {
		r.envelope += took
	}
}

func (r *replies) drip(reply *event.Reply) {
	if reply.Took >= reply.First+event.MicrosOf(slowReply) {
		r.drips++
	}
}

// recipients counts the replies to all that are on record. Refusals that follow each other and mean the same are counted at once: there
// may be a thousand.
func (r *replies) recipients() {
	t := r.f.Transaction
	var slowest event.Micros
	heard := false
	run := refusals{}
	for i := range t.Recipients {
		reply := &t.Recipients[i].Reply
		if !said(reply) {
			continue
		}
		heard = true
		slowest = max(slowest, reply.Took)
		r.drip(reply)
		if reply.Code >= 400 {
			run = r.same(run, refusals{meaning: reply.Meaning, kind: kindOf(reply.Code), n: 1}, reply)
		}
	}
	r.count(run)
	if heard {
		r.see(event.PhaseRcpt, slowest.Duration())
	}
}

// refusals are some that mean the same.
type refusals struct {
	meaning uint8
	kind    int
	n       int
	reply   *event.Reply // one of them
}

func (r *replies) same(run, next refusals, reply *event.Reply) refusals {
	if run.n > 0 && run.meaning == next.meaning && run.kind == next.kind {
		run.n++
		return run
	}
	r.count(run)
	next.reply = reply
	return next
}

func (r *replies) count(run refusals) {
	if run.n > 0 {
		r.m.countRefusals(r.of, r.f.Tenant, r.f.Transaction.Meaning(run.reply).Class, run.kind, float64(run.n))
	}
}
