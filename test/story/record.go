package story

import (
	"crypto/tls"
	"net/netip"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
)

// A session is one in which mails are tried.
type session struct {
	event.Session
	of        *gateway
	tenant    string
	left      int // transactions that are to come
	tries     int
	delivered int
	octets    int64
	spent     time.Duration
}

var encrypted = event.TLS{State: event.TLSOn, Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, Curve: uint16(tls.X25519MLKEM768)}

// begin begins a session for a try.
func (w *world) begin(t *try) *session {
	w.ids++
	opening := [event.PhaseIdle]time.Duration{event.PhaseDial: t.dial, event.PhaseBanner: 22 * time.Millisecond, event.PhaseEHLO: 9 * time.Millisecond}
	leg := event.TLS{}
	switch {
	case t.tls != nil:
		leg = *t.tls
	case t.site.cert != nil:
		leg = encrypted
	}
	if leg.State == event.TLSOn {
		leg.Certificate = t.site.cert
		opening[event.PhaseStartTLS], opening[event.PhaseHandshake], opening[event.PhaseEHLOTLS] = 8*time.Millisecond, 31*time.Millisecond, 9*time.Millisecond
	}
	s := &session{of: t.gateway, tenant: t.Tenant, left: 1}
	var all time.Duration
	for p, took := range opening {
		s.Phases[p] = event.MicrosOf(took)
		all += took
	}
	s.Start = t.at.Add(-all - 3*time.Millisecond)
	s.ID = event.ID(uint64(s.Start.UnixMicro())<<12 | w.ids&0xfff) //nolint:gosec // it is behind 1970
	s.Source = netip.AddrPortFrom(t.from.source, uint16(32768+w.ids*7%28000))
	s.Destination = netip.AddrPortFrom(t.mx, 25)
	s.Port, s.HeloMSA, s.MSA = 2525, "msa1."+t.from.domain, &event.TLS{}
	if t.helo != "" {
		s.HeloMSA = t.helo
	}
	s.Number, s.Mails, s.SendingIP, s.Local = 1, 1, t.ip, netip.AddrPortFrom(t.ip, uint16(20000+w.ids*11%40000))
	s.Opened, s.RTT = event.HundredthsOf(all), event.MicrosOf(18*time.Millisecond)
	s.HeloMX = "out" + token(w.rand, "0123456789", 1) + ".kanmon.example"
	s.Way = &event.Way{Tenant: t.Tenant, Pool: t.gateway.pool, Route: "default", Provider: t.site.provider}
	s.MX = leg
	return s
}

// takes is how long a try takes.
func (t *try) takes() time.Duration {
	rcpt := t.each.took
	for _, a := range t.apart {
		rcpt = max(rcpt, a.took)
	}
	sum := t.mail.took + rcpt + t.data.took + t.dot.took + 400*time.Microsecond
	if t.data.code() == 354 {
		sum += t.body
	}
	return sum
}

// push has a try happen, in a session of its own.
func (w *world) push(t *try) { w.pushIn(w.begin(t), t) }

func (w *world) pushIn(s *session, t *try) {
	end := t.at.Add(t.takes())
	for _, n := range t.waits {
		at := t.at.Add(t.mail.took + n.Waited)
		w.later(at, t.gateway, func(heard bool) {
			if heard {
				r := told(at, n)
				n.Cause = event.Cause{Session: s.ID, Transaction: s.tries + 1}
				r.News, r.Session, r.Tenant = n, s.Session, t.Tenant
				w.write(t.gateway, r)
			}
		})
	}
	w.later(end, t.gateway, func(heard bool) {
		s.left--
		if heard {
			s.tries++
			r := w.record(s, t, end)
			outcome := r.Transaction.Outcome
			if outcome == event.OutcomeDelivered {
				s.delivered++
			}
			w.book(s, t, end, w.write(t.gateway, r))
			s.octets += t.Octets
			s.spent += t.takes()
		}
		if s.left == 0 {
			w.ends(s, t, end.Add(7*time.Millisecond))
		}
		if t.then != nil {
			t.then(t)
		}
	})
}

// record makes the record of a try.
func (w *world) record(s *session, t *try, end time.Time) *event.Record {
	r := event.NewRecord()
	r.At, r.Session, r.Tenant, r.Account = end, s.Session, t.Tenant, t.Account
	r.Took = end.Sub(t.at)
	x := r.OwnTransaction()
	rcpts := x.Recipients[:0]
	*x = event.Transaction{Number: s.tries, At: t.at.Sub(s.Start), Outcome: t.outcome, EndedBy: t.endedBy, Cause: t.cause, Leg: 1}
	x.Sender, x.Tenant, x.Account = r.Add([]byte(t.sender)), r.Add([]byte(t.Tenant)), r.Add([]byte(t.Account))
	x.Mail = w.reply(r, x, t, event.PhaseMail, &t.mail, "")
	for n, to := range t.recipients() {
		a := t.answerTo(t.which(n))
		x.Recipients = append(rcpts, event.Recipient{Address: r.Add([]byte(to)), Reply: w.reply(r, x, t, event.PhaseRcpt, &a, to)})
		rcpts = x.Recipients
		if a.code() >= 400 {
			x.RcptsRefused++
		}
	}
	x.Data = w.reply(r, x, t, event.PhaseData, &t.data, "")
	r.Spent[event.SpentOnMX] = t.mail.took + t.each.took + t.data.took + t.dot.took
	if t.data.code() == 354 {
		x.Body, x.Window, x.BodyBytes = t.body, t.window, t.Octets
		r.Spent[event.SpentOnBodyMX], r.Spent[event.SpentOnBodyMSA] = t.window, t.body-t.window
	}
	r.Spent[event.SpentByKanmon] = r.Took - r.Spent[event.SpentOnMX] - t.body
	x.Dot = w.reply(r, x, t, event.PhaseDot, &t.dot, "")
	switch {
	case x.Outcome != event.OutcomeNone:
	case x.Dot.Code/100 == 2:
		x.Outcome = event.OutcomeDelivered
	default:
		x.Outcome = x.OfReplies()
	}
	if x.Outcome == event.OutcomeOrphanAck {
		x.Dot.Told = 0
	}
	if t.gateway.identify && (t.msgID != "" || t.queueID != "") && t.data.code() == 354 {
		x.Identity = &event.Identity{MessageID: r.Add([]byte(t.msgID)), QueueID: r.Add([]byte(t.queueID)), Received: t.received}
	}
	w.acts(r, s, t)
	r.Transaction = x
	return r
}

// acts adds what was done about a refusal, and what was decided.
func (w *world) acts(r *event.Record, s *session, t *try) {
	at := t.at.Sub(s.Start)
	for _, d := range t.decisions {
		d.At, d.Transaction = at+time.Millisecond, s.tries
		r.Decisions = append(r.Decisions, d)
	}
	for i, a := range t.actions {
		v := w.verdict(t, a.Phase, t.said[i], a.SendingIP, "")
		a.At = at + t.mail.took
		a.Done, a.Transaction, a.Class, a.Rule = a.At+a.Took, s.tries, v.Class, v.Rule
		if t.said[i] != "" {
			a.Code, a.Reply = (&answer{text: t.said[i]}).code(), r.Add([]byte(t.said[i]))
		} else {
			a.Class, a.Rule = event.SilentReset, ""
		}
		r.Actions = append(r.Actions, a)
	}
}

func (w *world) verdict(t *try, p event.Phase, text string, ip netip.Addr, to string) classify.Verdict {
	return w.rules.Classify(classify.Query{
		Text: text, Phase: classify.Phase(p.String()), Provider: t.site.provider, SendingIP: ip, Sender: t.sender, Recipient: to,
	})
}

func (w *world) reply(r *event.Record, x *event.Transaction, t *try, p event.Phase, a *answer, to string) event.Reply {
	if a.text == "" {
		return event.Reply{}
	}
	reply := event.Reply{
		Code: a.code(), Local: a.local, Softened: a.softened, Told: uint16(a.counts()), Text: r.Add([]byte(a.text)), //nolint:gosec // a code
		First: event.MicrosOf(a.took), Took: event.MicrosOf(a.took), Pieces: max(a.pieces, 1),
	}
	switch {
	case a.local:
		reply.Pieces = 0
		reply.Meaning = x.Means(event.Meaning{Rule: a.rule})
	case reply.Code >= 400:
		v := w.verdict(t, p, a.text, t.ip, to)
		m := event.Meaning{Class: v.Class, Scope: v.Scope, Rule: v.Rule}
		for _, l := range v.Lists {
			m.Lists = append(m.Lists, l.Name)
		}
		reply.Meaning = x.Means(m)
	}
	if a.pieces > 1 {
		reply.First = event.MicrosOf(a.took / 20)
	}
	return reply
}

// opens says how the connection to the MX was opened.
func (w *world) opens(r *event.Record, e *event.End, s *session, t *try) {
	leg := &e.Legs[0]
	leg.Failed = t.failed
	a := answer{text: "220 mx." + t.site.domain + " ESMTP"}
	switch {
	case t.banner != "":
		a.text = t.banner
	case !t.ip.IsValid(): // it was never tried
		e.Legs = e.Legs[:0]
		return
	case t.failed != event.FailedNot:
		leg.Local = netip.AddrPort{}
		return
	}
	o := event.Opening{Phase: event.PhaseBanner, Leg: 1, Reply: event.Reply{Code: a.code(), Text: r.Add([]byte(a.text)), Took: s.Phases[event.PhaseBanner], First: s.Phases[event.PhaseBanner], Pieces: 1}}
	if a.code() >= 400 {
		v := w.verdict(t, event.PhaseBanner, a.text, t.ip, "")
		o.Meaning = &event.Meaning{Class: v.Class, Scope: v.Scope, Rule: v.Rule}
	}
	e.Opening = append(e.Opening, o)
}

// ends has a session end.
func (w *world) ends(s *session, t *try, at time.Time) {
	w.later(at, s.of, func(heard bool) {
		if !heard {
			return
		}
		r := event.NewRecord()
		r.At, r.Session, r.Tenant = at, s.Session, s.tenant
		e := r.OwnEnd()
		*e = event.End{
			Opening: e.Opening[:0], Legs: append(e.Legs[:0], s.Leg),
			Duration: at.Sub(s.Start), Transactions: s.tries, Delivered: s.delivered, FromMSA: s.octets + 300, ToMSA: 420, FromMX: 640, ToMX: s.octets + 330,
			Phase: t.phase, Reason: t.reason, Cause: "",
		}
		e.Spent[event.SpentOpening] = s.Opening()
		e.Spent[event.SpentOnMX] = s.spent
		e.Spent[event.SpentByKanmon] = e.Duration - s.spent - s.Opening()
		w.opens(r, e, s, t)
		r.End = e
		w.ledger.Sessions++
		w.write(s.of, r)
	})
}
