package story

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kanmon/internal/event"
)

// A mood is what a site does to all mail for a while.
type mood struct {
	begin, end time.Time
	provider   string
	ips        []netip.Addr
	does       option
}

func (m *mood) takes(t *try) bool {
	return t.site.provider == m.provider && !t.at.Before(m.begin) && t.at.Before(m.end) && slices.Contains(m.ips, t.ip)
}

// draft makes a mail ready to be tried.
func (w *world) draft(r *rand.Rand, from *tenant, m *Mail, to *site) *draft {
	d := &draft{Mail: m, w: w, gateway: w.gateways[0], from: from, site: to}
	m.Provider = to.provider
	d.ip = w.ipOf(d.gateway, r, to.mx[0])
	d.queueID = token(r, "0123456789ABCDEF", 10)
	d.msgID = fmt.Sprintf("%016x.%06x@%s", r.Uint64(), r.IntN(1<<24), from.domain)
	return d
}

// ipOf chooses a sending IP that can reach an MX.
func (w *world) ipOf(g *gateway, r *rand.Rand, mx netip.Addr) netip.Addr {
	for {
		if ip := g.ips[r.IntN(len(g.ips))]; ip.Is4() == mx.Is4() {
			return ip
		}
	}
}

// many has mail come of which nothing is told, more of it by day than by night.
func (w *world) many(day int) {
	r := rand.New(rand.NewPCG(w.Seed, 1000+uint64(day))) //nolint:gosec // it is to be the same each time
	begin := w.First.AddDate(0, 0, day)
	mails := w.PerDay * 93 / 100 // the others are further attempts
	for i := 0; i < mails; {
		x := float64(i) / float64(mails)
		x += .11 * math.Sin(2*math.Pi*x) / (2 * math.Pi)
		at := begin.Add(time.Duration(x * float64(24*time.Hour-time.Second)))
		w.until(at)
		if w.err != nil {
			return
		}
		i += w.someMails(r, at, min(mails-i, 1+r.IntN(10)/7+r.IntN(10)/8))
	}
}

// someMails has a session with one or more mails.
func (w *world) someMails(r *rand.Rand, at time.Time, n int) int {
	from := weighted(r, tenants, func(t *tenant) int { return t.weight })
	to := weighted(r, sites, func(s *site) int { return s.weight })
	g := w.gateways[r.IntN(10)/7]
	if g.drains(at) {
		g = w.gateways[1-r.IntN(10)/7]
		if g.drains(at) {
			g = w.gateways[0]
		}
	}
	var in *session
	for range n {
		sender := from.senders[r.IntN(len(from.senders))] + "@" + from.domain
		m := &Mail{Tenant: from.name, Account: sender, Sender: sender, Octets: 900 + int64(math.Exp(7+3*r.Float64()))}
		for range 1 + r.IntN(20)/17 + r.IntN(20)/19 {
			m.Recipients = append(m.Recipients, fmt.Sprintf("%s%d@%s", []string{"haru", "sora", "yui", "ren", "mio", "k.ito", "t-mori"}[r.IntN(7)], r.IntN(40_000), to.domain))
		}
		d := w.draft(r, from, m, to)
		d.gateway, d.received = g, at.Add(-1500*time.Millisecond)
		t := w.oneOfMany(r, d, at, 0)
		if in == nil {
			in = w.begin(t)
			in.left = n
		}
		t.ip = in.SendingIP
		w.pushIn(in, t)
		at = at.Add(t.takes() + 30*time.Millisecond)
	}
	return n
}

// Replies to the many, with how many of 10,000 mails get them.
var usual = []struct {
	of    int
	phase event.Phase
	text  string
}{
	{120, event.PhaseRcpt, "550 5.1.1 <%s>: Recipient address rejected: User unknown"},
	{60, event.PhaseRcpt, "552 5.2.2 <%s>: mailbox full"},
	{40, event.PhaseDot, "550 5.7.1 Message rejected as spam by content filter"},
	{30, event.PhaseDot, "550 5.7.26 Unauthenticated mail is not accepted due to the domain's DMARC policy"},
	{10, event.PhaseMail, "553 5.1.8 Domain of sender address does not exist"},
	{120, event.PhaseRcpt, "450 4.2.0 <%s>: Recipient address rejected: Greylisted, try again in 300 seconds"},
	{80, event.PhaseDot, "451 4.3.0 Temporary failure, try again later"},
	{60, event.PhaseMail, "421 4.7.0 Too many messages, slow down"},
	{40, event.PhaseRcpt, "452 4.2.2 <%s>: over quota"},
}

// oneOfMany is an attempt of the many; where it is deferred, the next comes of itself.
func (w *world) oneOfMany(r *rand.Rand, d *draft, at time.Time, tried int) *try {
	d.ip = w.ipOf(d.gateway, r, d.site.mx[0])
	pause := func(least int) time.Duration { return time.Duration(least+r.IntN(4*least)) * 100 * time.Microsecond }
	text, id := d.site.taken(r)
	t := &try{
		draft: d, gateway: d.gateway, at: at, ip: d.ip, mx: d.site.mx[0], sender: d.Sender, body: pause(100), dial: pause(80), reason: "quit", phase: event.PhaseQuit,
		mail: answer{text: "250 2.1.0 Ok", took: pause(80)}, each: answer{text: "250 2.1.5 Ok", took: pause(90)},
		data: answer{text: "354 End data with <CR><LF>.<CR><LF>", took: pause(60)}, dot: answer{text: text, took: pause(900)}, queue: id,
	}
	n := r.IntN(10_000)
	if tried > 0 {
		n = 10_000 // it is delivered, or deferred again
		if r.IntN(3) == 0 {
			n = r.IntN(300)
		}
	}
	for _, u := range usual {
		if n -= u.of; tried > 0 && u.text[0] == '5' {
			n += u.of
		}
		if n < 0 {
			text := u.text
			if u.phase == event.PhaseRcpt {
				text = fmt.Sprintf(u.text, d.Recipients[0])
			}
			refusedAt(u.phase, text)(t)
			break
		}
	}
	for _, m := range w.moods {
		if m.takes(t) {
			m.does(t)
		}
	}
	if t.result(t.fates()) == "deferred" || d.gateway.out(at.Add(t.takes())) {
		wait := min(5*time.Minute<<tried, 4*time.Hour) + pause(60_000)
		t.then = func(*try) {
			if next := at.Add(wait); next.Sub(d.received) < GivesUp {
				for d.gateway.drains(next) {
					next = next.Add(time.Minute)
				}
				w.push(w.oneOfMany(r, d, next, tried+1))
			}
		}
	}
	return t
}

func (t *try) fates() []string {
	fates := make([]string, len(t.recipients()))
	for n := range fates {
		fates[n] = t.fate(t.which(n))
	}
	return fates
}
