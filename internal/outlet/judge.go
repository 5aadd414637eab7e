package outlet

import (
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/outlet/classify"
	"kanmon/internal/outlet/route"
	"kanmon/internal/outlet/standing"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
)

// Judge implements [session.Way].
func (w *way) Judge(r session.MXRefusal) session.Judgement {
	o, p := w.o, w.plead(&r)
	j := session.Judgement{Observe: p.how.Rescue == RescueObserve || !r.SendingIP.IsValid()}
	o.learn(mailbox.DomainOf(string(r.Recipient)), p.asker)
	if r.Code == 0 {
		o.judgeSilence(p, &j)
		w.judgeWarming(p)
		return j
	}
	p.own = r.Own() // another kanmon's word is about its own sending IPs
	p.verdict = o.readReply(&r, p.key.Provider)
	j.Class, j.Scope, j.Rule, j.Lists = p.verdict.Class, p.verdict.Scope, p.verdict.Rule, namesOf(p.verdict.Lists)
	if p.mindsBeside() {
		return j
	}
	o.pin(p)
	o.hear(p)
	o.answer(p, &j)
	w.judgeWarming(p)
	w.judgeAmount(p)
	return j
}

// mindsBeside reports whether an MX finds too much of what kanmon alone has made: a connection beside another one of the session. That says nothing
// of the sending IP, which it would have taken alone.
func (p *plea) mindsBeside() bool {
	if !p.Beside || classes[p.verdict.Class].stake != ofTooMuch {
		return false
	}
	return beforeMail(p.Phase) || p.verdict.Count == event.Connections || p.verdict.Count == event.NewConnections
}

// Accepted implements [session.Way].
func (w *way) Accepted(sendingIP netip.Addr) {
	if !sendingIP.IsValid() {
		return
	}
	w.acceptWarming(sendingIP)
	o, mx, key := w.o, w.mx(), w.key(sendingIP)
	o.book.Succeeded(key, "")
	o.probes.told(key)
	for _, r := range o.resets.others(mx, sendingIP) { // it is not the MX, then
		if !o.paths.isDead(r.sendingIP) {
			o.observeSilence(r.sendingIP, r.tenant, mx, "connection reset")
		}
	}
	for _, s := range o.dials.shutOuts(mx.Unmap(), o.paths.answeredSince) {
		o.observeSilence(s.sendingIP, s.tenant, mx, "connection not answered")
	}
}

// choiceOf returns what was known of a mail that was refused, and what is chosen for it.
func (w *way) choiceOf(r *session.MXRefusal) (route.Query, route.Choice) {
	q := w.query(&session.DialRequest{
		Owner: r.Owner, Sender: string(r.Sender), SenderKnown: r.Sender != nil, Recipient: string(r.Recipient), Suspicion: r.Suspicion,
	})
	choice, _ := w.o.router.Begin(q) // as Dial; tenant and route are told with an error, too
	return q, choice
}

func namesOf(lists []classify.List) (names []string) {
	for _, l := range lists {
		names = append(names, l.Name)
	}
	return names
}

func listsOf(named []classify.List) (lists []standing.List) {
	for _, l := range named {
		lists = append(lists, standing.List{Name: l.Name, Zone: l.Zone, Weight: l.Weight})
	}
	return lists
}

// publicOnly returns an address as MXs see it; the zero Addr where that is not known, because it will be translated.
func publicOnly(ip netip.Addr) netip.Addr {
	if ip.IsPrivate() {
		return netip.Addr{}
	}
	return ip
}
