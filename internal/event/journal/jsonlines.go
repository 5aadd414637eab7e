package journal

import (
	"cmp"
	"crypto/tls"
	"math"
	"net/netip"
	"strconv"
	"time"

	"kanmon/internal/event"
)

var jsonSheet = sheet{
	name: "json", numbered: true,
	append: (*formatter).json,
	rest:   func(f *formatter) repeats { return f.repeats },
	gap: func(dst []byte, now time.Time, of owner, records uint64) []byte {
		dst = append(dst, `{"type":"dropped","at":"`...)
		dst = now.UTC().AppendFormat(dst, timeFormat)
		dst = append(dst, `","time":"`...)
		dst = now.UTC().AppendFormat(dst, timeFormat)
		dst = append(dst, `","records":`...)
		dst = strconv.AppendUint(dst, records, 10)
		if of.tenant != "" {
			dst = new(formatter).appendJSON(append(dst, `,"tenant":`...), []byte(of.tenant), 0)
		} else if of.source.IsValid() {
			dst = append(of.source.AppendTo(append(dst, `,"source":"`...)), '"')
		}
		return append(dst, "}\n"...)
	},
}

// json returns the record's JSON lines, if it has any. docs/ref/record.md describes them.
func (f *formatter) json(r *event.Record) []byte {
	o := object{f: f, r: r, dst: f.out[:0]}
	actions := r.Actions
	for i := range r.Decisions {
		d := &r.Decisions[i]
		for len(actions) > 0 && actions[0].Done < d.At {
			o.refusal(&actions[0])
			actions = actions[1:]
		}
		begin := len(o.dst)
		o.decision(d)
		o.dst = f.repeats.take(d, o.dst, begin, f.now())
	}
	for i := range actions {
		o.refusal(&actions[i])
	}
	if r.News != nil {
		o.news(r.News)
	}
	if r.Transaction != nil {
		o.transaction(r.Transaction)
	}
	if r.End != nil {
		o.session(r.End)
	}
	f.out = o.dst
	return f.out
}

// An object appends members of JSON objects. Names are constants of this package and never need escaping.
type object struct {
	f   *formatter
	r   *event.Record
	t   *event.Transaction // whose replies are appended; nil: no transaction's
	dst []byte
}

func (o *object) transaction(t *event.Transaction) {
	o.t = t
	o.begin("transaction", o.r.At)
	o.identity(t.At)
	o.integer("number", int64(t.Number))
	o.address("sender", t.Sender)
	o.whose(t)
	o.suspicion(t.Suspicion)
	o.identified(t.Identity)
	o.reply("mail", &t.Mail)
	o.open("recipients", '[')
	for i := range t.Recipients {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = append(o.dst, '{')
		o.address("address", t.Recipients[i].Address)
		o.reply("reply", &t.Recipients[i].Reply)
		o.becameOf(&t.Recipients[i])
		o.trust(t.Recipients[i].Trust)
		o.dst = append(o.dst, '}')
	}
	o.dst = append(o.dst, ']')
	if t.MoreRcpts > 0 {
		o.integer("more_recipients", int64(t.MoreRcpts))
	}
	o.results(t)
	o.reply("data", &t.Data)
	if t.Body > 0 {
		o.milliseconds("body_ms", t.Body)
	}
	if t.Window > 0 {
		o.milliseconds("window_ms", t.Window)
	}
	o.integer("body_bytes", t.BodyBytes)
	o.reply("dot", &t.Dot)
	o.content(t.Content)
	o.word("outcome", t.Outcome.String())
	o.foreign("cause", t.Cause)
	o.milliseconds("duration_ms", o.r.Took)
	o.times(&o.r.Spent)
	o.stalled(t.Stalled)
	if t.Leg > 0 {
		o.integer("leg", int64(t.Leg))
	}
	o.end()
	o.t = nil
}

func (o *object) refusal(a *event.Action) {
	o.begin("refusal", o.r.Session.Start.Add(a.Done))
	o.event(a.At, a.Transaction)
	o.ip("sending_ip", a.SendingIP)
	o.word("phase", a.Phase.String())
	if a.Refusal > 0 {
		o.integer("refusal", int64(a.Refusal))
	}
	if a.Code > 0 {
		o.reply("reply", &event.Reply{Code: a.Code, Text: a.Reply})
	}
	o.own("class", a.Class.String())
	o.own("rule", a.Rule)
	o.word("action", a.Did.String())
	o.ip("rescued_by", a.To)
	if a.Took > 0 {
		o.milliseconds("took_ms", a.Took)
	}
	o.foreign("cause", a.Why)
	o.end()
}

func (o *object) decision(d *event.Decided) {
	o.begin("decision", o.r.Session.Start.Add(d.At))
	o.event(d.At, d.Transaction)
	o.word("step", d.Step.String())
	o.own("tenant", d.Tenant)
	o.account(d.Account)
	o.word("action", d.Did)
	o.own("rule", d.Rule)
	o.foreign("cause", d.Why)
	o.end()
}

// event appends what is said of something that happened in a session.
func (o *object) event(at time.Duration, transaction int) {
	o.id(o.r.Session.ID)
	o.moment("time", o.r.Session.Start.Add(at))
	o.workOf(transaction)
}

// workOf appends what of a session's work it is.
func (o *object) workOf(transaction int) {
	if transaction > 0 {
		o.integer("number", int64(transaction))
	}
	o.addrPort("source", o.r.Session.Source)
	o.addrPort("destination", o.r.Session.Destination)
}

func (o *object) session(e *event.End) {
	o.begin("session", o.r.At)
	o.identity(0)
	o.milliseconds("duration_ms", e.Duration)
	o.integer("transactions", int64(e.Transactions))
	o.integer("delivered", int64(e.Delivered))
	if e.BadCommands > 0 {
		o.integer("bad_commands", int64(e.BadCommands))
	}
	o.times(&e.Spent)
	if len(e.Opening) > 0 {
		o.opening(e.Opening)
	}
	o.legs(e)
	o.open("octets", '{')
	o.integer("from_msa", e.FromMSA)
	o.integer("to_msa", e.ToMSA)
	o.integer("from_mx", e.FromMX)
	o.integer("to_mx", e.ToMX)
	o.dst = append(o.dst, '}')
	o.word("end_phase", e.Phase.String())
	o.own("end_reason", e.Reason)
	if e.Ungreeted != "" {
		o.word("ungreeted", e.Ungreeted)
	}
	o.foreign("cause", e.Cause)
	o.end()
}

// identity appends what every object says of its session, with the time the object begins at.
func (o *object) identity(at time.Duration) {
	s := &o.r.Session
	o.id(s.ID)
	o.moment("start", s.Start.Add(at))
	o.addrPort("source", s.Source)
	o.addrPort("destination", s.Destination)
	o.addrPort("local", s.Local)
	o.ip("sending_ip", s.SendingIP)
	o.tenant()
	o.way(s.Way)
	o.foreign("ehlo_msa", s.HeloMSA)
	o.foreign("ehlo_mx", s.HeloMX)
	o.tls("tls_mx", &s.MX)
	o.tls("tls_msa", cmp.Or(s.MSA, &event.TLS{}))
	o.phases(&s.Leg)
}

func (o *object) tls(name string, t *event.TLS) {
	o.open(name, '{')
	o.word("state", t.State.String())
	if t.Version != 0 {
		o.word("version", tls.VersionName(t.Version))
		o.word("cipher", cipherName(t.Cipher))
		if t.Curve != 0 {
			o.word("curve", tls.CurveID(t.Curve).String())
		}
		o.boolean("resumed", t.Cause == event.TLSResumed)
		cert := t.Certificate
		if cert == nil {
			cert = &event.Certificate{}
		}
		o.texts("names", cert.Names)
		if !cert.NotAfter.IsZero() {
			o.open("not_after", '"')
			o.dst = cert.NotAfter.UTC().AppendFormat(o.dst, time.RFC3339)
			o.dst = append(o.dst, '"')
		}
		o.boolean("verified", cert.Verified)
	}
	o.foreign("error", t.Err)
	if t.Cause != event.TLSNoCause && t.Cause != event.TLSResumed {
		o.word("cause", t.Cause.String())
	}
	o.dst = append(o.dst, '}')
}

// open appends the comma before a member where one is needed, its name, and what its value begins with.
func (o *object) open(name string, begin byte) {
	if c := o.dst[len(o.dst)-1]; c != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, '"', ':')
	if begin != 0 {
		o.dst = append(o.dst, begin)
	}
}

func (o *object) address(name string, s event.Span) {
	o.open(name, 0)
	o.dst = o.f.appendJSON(o.dst, o.f.guard.address(o.r.Text(s)), s.Cut())
}

// foreign appends a text that others may have made; an empty one is left out.
func (o *object) foreign(name, text string) {
	if text != "" {
		o.open(name, 0)
		o.text(text)
	}
}

// own appends a text of ours or of the operator's; an empty one is left out. No stranger's name is looked for in it: whoever has a mailbox
// "default" must not take the word out of what we say.
func (o *object) own(name, text string) {
	if text != "" {
		o.open(name, 0)
		o.f.guard.foreign = append(o.f.guard.foreign[:0], text...)
		o.dst = o.f.appendJSON(o.dst, o.f.guard.foreign, 0)
	}
}

func (o *object) text(text string) {
	o.f.guard.foreign = append(o.f.guard.foreign[:0], text...)
	shown, left := o.f.guard.text(o.f.guard.foreign, kindNote, false)
	o.dst = o.f.appendJSON(o.dst, shown, left)
}

// texts appends a list of texts that others may have made.
func (o *object) texts(name string, all []string) {
	o.open(name, '[')
	for i, text := range all {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.text(text)
	}
	o.dst = append(o.dst, ']')
}

// word appends a word of our own or of crypto/tls.
func (o *object) word(name, value string) {
	o.open(name, '"')
	o.dst = append(o.dst, value...)
	o.dst = append(o.dst, '"')
}

func (o *object) integer(name string, v int64) {
	o.open(name, 0)
	o.dst = strconv.AppendInt(o.dst, v, 10)
}

// number appends one in thousandths.
func (o *object) number(name string, v float64) {
	o.open(name, 0)
	o.dst = strconv.AppendFloat(o.dst, math.Round(v*1000)/1000, 'f', -1, 64)
}

func (o *object) boolean(name string, v bool) {
	o.open(name, 0)
	o.dst = strconv.AppendBool(o.dst, v)
}

func (o *object) milliseconds(name string, d time.Duration) {
	o.open(name, 0)
	o.dst = appendMilliseconds(o.dst, d)
}

func (o *object) ip(name string, a netip.Addr) {
	if a.IsValid() {
		o.open(name, '"')
		o.dst = a.AppendTo(o.dst)
		o.dst = append(o.dst, '"')
	}
}

func (o *object) addrPort(name string, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	o.open(name, '"')
	o.dst = a.AppendTo(o.dst)
	o.dst = append(o.dst, '"')
}

var phaseMembers = func() (names [event.PhaseCount]string) {
	for p := range names {
		names[p] = event.Phase(p).String() + "_ms"
	}
	return names
}()

// cipherName is tls.CipherSuiteName, which builds its whole table for each call.
func cipherName(id uint16) string {
	if n, ok := cipherNames[id]; ok {
		return n
	}
	return tls.CipherSuiteName(id)
}

var cipherNames = func() map[uint16]string {
	names := make(map[uint16]string)
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		names[c.ID] = c.Name
	}
	return names
}()
