package contain

import (
	"math/bits"
	"net/netip"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
)

// Begin counts a mail whose MAIL was sent to the MX.
func (d *Detector) Begin(m Mail) {
	n := counts{mails: 1}
	if accountName(m.Account) == NullSender {
		n[nulls] = 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(&fact{tenant: m.Tenant, account: m.Account, kind: m.Kind, traits: m.Traits, n: n})
}

// Recipient counts the answer to a RCPT, and judges it.
func (d *Detector) Recipient(r Recipient) {
	if r.Own {
		return
	}
	ev := fact{
		tenant: r.Tenant, account: r.Account, provider: r.Provider, witness: r.Witness, hash: r.Hash, ip: r.IP, class: r.Class, reply: r.Sample, again: r.Again,
		kind: r.Kind, traits: r.Traits, message: r.Message, cause: r.Cause, n: counts{tried: 1},
	}
	switch conclusions[r.Class].rcpt {
	case answers:
		ev.n[answered], ev.reached = 1, true
	case deadRecipient:
		ev.n[answered], ev.n[unknown], ev.reached, ev.bad = 1, 1, true, UnknownRecipients
	case badMessage:
		ev.n[answered], ev.n[judged], ev.n[content], ev.reached, ev.bad = 1, 1, 1, true, Content
	case badSender:
		ev.n[answered], ev.n[rejected], ev.bad = 1, 1, SenderRefused
	case badIP:
		ev.n[refusedIP] = 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(&ev)
}

// Message counts the answer to the end of the data, and judges it.
func (d *Detector) Message(m Message) {
	if m.Own {
		return
	}
	ev := fact{
		tenant: m.Tenant, account: m.Account, provider: m.Provider, witness: m.Witness, hash: ^m.Hash, ip: m.IP, class: m.Class, reply: m.Sample, again: m.Again,
		kind: m.Kind, traits: m.Traits, message: m.Message, cause: m.Cause,
	}
	switch conclusions[m.Class].data {
	case answers:
		ev.n[judged], ev.n[delivered] = 1, 1
		ev.octets, ev.recipients = max(m.Octets, 0), max(m.Recipients, 0)
	case badMessage:
		ev.n[judged], ev.n[content], ev.bad = 1, 1, Content
	case badSender:
		ev.n[answered], ev.n[rejected], ev.bad = 1, 1, SenderRefused
	case badIP:
		ev.n[refusedIP] = 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(&ev)
}

// A fact is what one answer adds.
type fact struct {
	tenant, account, provider string
	witness                   witness.Mark
	hash                      uint64
	ip                        netip.Addr
	class                     event.Class
	reply                     string
	again                     bool // the same mail, put off before, for the same reason
	kind                      Kind
	traits                    Traits
	message                   uint64
	cause                     Cause

	n          counts
	reached    bool   // the recipient's receiver has answered for good: it counts as volume
	bad        Signal // "": not bad
	ofTenant   bool   // it counts for the tenant's level
	octets     int64
	recipients int
}

// count adds an event to its account and tenant, and judges them.
func (d *Detector) count(ev *fact) {
	d.time.turn()
	if ev.witness == 0 {
		ev.witness = witness.Called(ev.provider, d.hash)
	}
	t := d.tenantFor(ev.tenant, false)
	if t == nil {
		d.unknown++
		return
	}
	a := d.accountFor(t, ev.account, false)
	d.settle(&t.entry)
	d.followed(ev, t)
	if ev.again {
		ev.nothingNew()
	}
	if a == nil {
		d.unknown++
	} else {
		d.settle(a)
		a.traits = ev.traits
		if d.become(a, ev.kind); ev.kind != Plain {
			d.countOnce(a, ev)
		}
		d.add(a, ev)
		d.learn(a, &ev.n)
	}
	d.add(&t.entry, ev)
	whole := ev
	if ev.ofTenant = ev.kind == Plain && d.spreads(a); ev.ofTenant {
		whole = ev.forTenant()
		d.addSpread(t, a, whole)
		d.learn(&t.entry, &whole.n)
	}
	d.cause = ev.cause
	defer func() { d.cause = Cause{} }()
	if a != nil {
		d.judge(a, ev)
	}
	if d.judge(&t.entry, whole); ev.reached { // behind the turn of the hour
		t.reached.add(mix(ev.hash, d.seed))
	}
}

// nothingNew makes of an event one that is no outcome: a message that its MSA tries again and again is one outcome.
func (ev *fact) nothingNew() {
	ev.bad = ""
	for _, c := range []counter{answered, unknown, rejected, judged, content, followed} {
		ev.n[c] = 0
	}
}

func (d *Detector) add(e *entry, ev *fact) {
	n := ev.n.by(ev.witness.Named())
	e.add(d.time.minute, &n)
	if e.stored || e.seasoned {
		d.mark(e)
	}
	e.octets += ev.octets
	e.recipients += int64(ev.recipients)
	if e.Account != "" && ev.n[answered]+ev.n[judged] > 0 {
		e.to.add(d.time.minute, ev.witness)
	}
	if ev.bad == "" {
		return
	}
	if e.evidence == nil {
		e.evidence = &evidence{}
	}
	e.evidence.add(e, ev, d)
}

// evidence is what is kept of bad outcomes. Most accounts have none.
type evidence struct {
	from    [3]refusers // by receiver, of unknown recipients, content, all others
	all     uint32      // outcomes
	verp    uint32      // of them, those whose sender names the recipient
	srs     uint32      // of them, those whose sender says that it is forwarded mail
	ips     uint64      // that followed refusals came from, as bits of a hash
	samples []Sample
}

func originsOf(s Signal) int {
	switch s {
	case UnknownRecipients, Backscatter, SpreadUnknown:
		return 0
	case Content, SpreadContent:
		return 1
	}
	return 2
}

func (x *evidence) add(e *entry, ev *fact, d *Detector) {
	x.from[originsOf(ev.bad)].add(d.time.minute, ev.witness)
	x.all++
	if ev.traits&NamesRecipient != 0 {
		x.verp++
	}
	if ev.traits&WasForwarded != 0 {
		x.srs++
	}
	if ev.bad == Listing {
		x.ips |= ipBit(ev.ip, d.hash)
	}
	one := Sample{
		At: d.time.now.Round(0), Account: accountName(ev.account),
		Provider: x.same(ev.provider, 64, func(s *Sample) string { return s.Provider }),
		Class:    ev.class.String(),
		Reply:    x.same(ev.reply, maxReply, func(s *Sample) string { return s.Reply }),
	}
	if one.Account != e.Account {
		one.Account = x.same(one.Account, maxName, func(s *Sample) string { return s.Account })
	} else {
		one.Account = e.Account // it is kept once
	}
	if len(x.samples) == maxSample {
		x.samples = x.samples[:copy(x.samples, x.samples[1:])]
	}
	x.samples = append(x.samples, one)
}

// same cleans a stranger's text, or gives what is kept of the same one already.
func (x *evidence) same(text string, limit int, of func(*Sample) string) string {
	for i := range x.samples {
		if kept := of(&x.samples[i]); kept == text {
			return kept
		}
	}
	return event.Printable(text, limit)
}

func ipBit(ip netip.Addr, hash func(string) uint64) uint64 {
	b := ip.As16()
	return 1 << (hash(string(b[:])) % 64)
}

// A sendingIP is whose mail was refused from it for its sake, and whose was not, in the last 12 to 24 hours: tenants, as
// bits of a hash.
type sendingIP struct {
	refused, accepted [2]uint64
	turn              int32
}

// followed finds out whether a refusal that names our IP is this tenant's doing: nobody else is refused from it, and at
// least three others are accepted. What others suffer too is the IP's state, not a sender's conduct.
func (d *Detector) followed(ev *fact, t *tenant) {
	accepted := ev.class == event.NoRefusal
	if ev.n[refusedIP] == 0 && !accepted || !ev.ip.IsValid() {
		return
	}
	ip := ev.ip.Unmap()
	s := d.ips[ip]
	if s == nil {
		if len(d.ips) >= maxIPs {
			return
		}
		s = &sendingIP{}
		d.ips[ip] = s
	}
	if turn := d.time.minute / halfDay; turn != s.turn {
		if turn == s.turn+1 {
			s.refused[1], s.accepted[1] = s.refused[0], s.accepted[0]
		} else {
			s.refused[1], s.accepted[1] = 0, 0
		}
		s.refused[0], s.accepted[0], s.turn = 0, 0, turn
	}
	if accepted {
		s.accepted[0] |= t.bit
		return
	}
	s.refused[0] |= t.bit
	refused, others := s.refused[0]|s.refused[1], (s.accepted[0]|s.accepted[1])&^t.bit
	if bits.OnesCount64(refused) == 1 && bits.OnesCount64(others) >= 3 {
		ev.n[followed], ev.bad = 1, Listing
	}
}
