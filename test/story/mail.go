package story

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"kanmon/internal/event"
)

// A draft is a mail that is to be tried.
type draft struct {
	*Mail
	w        *world
	gateway  *gateway
	from     *tenant
	site     *site
	ip       netip.Addr
	msgID    string // in its header
	queueID  string
	received time.Time
	tried    int
}

// An answer is what is said to a command.
type answer struct {
	text     string
	took     time.Duration
	pieces   uint8
	local    bool
	softened bool
	told     int    // what the MSA was told; 0: the same
	rule     string // of a local one
}

func (a *answer) code() int {
	if len(a.text) < 3 {
		return 0
	}
	n, _ := strconv.Atoi(a.text[:3])
	return n
}

// counts is what the MSA makes of it.
func (a *answer) counts() int {
	switch {
	case a.told > 0:
		return a.told
	case a.softened:
		return 451
	}
	return a.code()
}

// A try is one attempt to hand a draft to an MX.
type try struct {
	*draft
	gateway   *gateway  // that it goes through
	at        time.Time // MAIL
	ip        netip.Addr
	mx        netip.Addr
	to        []int // which of the recipients; nil: all
	mail      answer
	each      answer         // to RCPT
	apart     map[int]answer // to RCPT of some
	data, dot answer
	body      time.Duration
	window    time.Duration
	outcome   event.Outcome // event.OutcomeNone: by the replies
	endedBy   event.Side
	cause     string
	tls       *event.TLS
	dial      time.Duration
	actions   []event.Action
	said      []string // the replies of the actions
	decisions []event.Decided
	reason    string // of the session's end
	phase     event.Phase
	rescued   bool
	queue     string // that the reply to the dot names
	sender    string // instead of the draft's
	helo      string
	waits     []event.Wait
	failed    event.Failing // to be opened
	banner    string        // instead of one that lets in
	then      func(*try)    // when it is on record, or would be
}

type option func(*try)

// mail makes a mail of a story. The sender's domain is the tenant's where none is given; octets and ids are made up.
func (s *teller) mail(tenant, sender string, recipients ...string) *draft {
	from := tenantOf(tenant)
	if sender != "" && !strings.Contains(sender, "@") {
		sender += "@" + from.domain
	}
	m := &Mail{Story: s.Name, Tenant: tenant, Account: accountOf(sender), Sender: sender, Recipients: recipients, Octets: 2000 + s.rand.Int64N(60_000)}
	d := s.w.draft(s.rand, from, m, siteOf(recipients[0]))
	s.drafts = append(s.drafts, d)
	return d
}

// accountOf is the account of a sender as docs/ref/accounts.md has it, of those that stories have.
func accountOf(sender string) string {
	if sender == "" {
		return "<>"
	}
	local, domain, _ := strings.Cut(strings.ToLower(sender), "@")
	local, _, _ = strings.Cut(local, "+")
	return local + "@" + domain
}

// at has a mail tried.
func (d *draft) at(at time.Time, options ...option) {
	t := &try{draft: d, gateway: d.gateway, at: at, ip: d.ip, mx: d.site.mx[0], sender: d.Sender, body: 40 * time.Millisecond, dial: 12 * time.Millisecond, reason: "quit", phase: event.PhaseQuit}
	if d.tried++; d.tried == 1 {
		d.received = at.Add(-1500 * time.Millisecond)
	}
	r := d.w.rand
	pause := func(least int) time.Duration { return time.Duration(least+r.IntN(4*least)) * 100 * time.Microsecond }
	t.mail, t.each, t.data = answer{text: "250 2.1.0 Ok", took: pause(80)}, answer{text: "250 2.1.5 Ok", took: pause(90)}, answer{text: "354 End data with <CR><LF>.<CR><LF>", took: pause(60)}
	text, id := d.site.taken(r)
	t.dot, t.queue = answer{text: text, took: pause(900)}, id
	for _, o := range options {
		o(t)
	}
	d.w.push(t)
}

// throughOsaka has a mail go through the other gateway.
func (d *draft) throughOsaka() *draft {
	d.gateway = d.w.gateway(Osaka)
	d.ip = d.gateway.ips[0]
	return d
}

// named gives a mail the ids that it has in its header.
func (d *draft) named(messageID, queueID string) *draft {
	d.msgID, d.queueID = messageID, queueID
	return d
}

func from(ip netip.Addr) option { return func(t *try) { t.ip = ip } }

// only has only some of the recipients named.
func only(which ...int) option { return func(t *try) { t.to = which } }

// refusedAt is a reply to a command; behind a refusal of the whole mail nothing is said.
func refusedAt(p event.Phase, text string) option {
	return func(t *try) {
		a := answer{text: text, took: 30 * time.Millisecond}
		switch p {
		case event.PhaseMail:
			t.mail, t.each, t.data, t.dot = a, answer{}, answer{}, answer{}
		case event.PhaseRcpt:
			a.took = t.each.took
			t.each, t.data, t.dot = a, answer{}, answer{}
		case event.PhaseData:
			t.data, t.dot = a, answer{}
		case event.PhaseDot:
			a.took = t.dot.took
			t.dot = a
		}
		t.queue = ""
	}
}

func atRcpt(text string) option { return refusedAt(event.PhaseRcpt, text) }
func atDot(text string) option  { return refusedAt(event.PhaseDot, text) }

// one has one recipient answered in another way than the others.
func one(which int, text string) option {
	return func(t *try) {
		if t.apart == nil {
			t.apart = make(map[int]answer)
		}
		t.apart[which] = answer{text: text, took: t.each.took}
	}
}

// slow has a phase take long.
func slow(p event.Phase, took time.Duration) option {
	return func(t *try) {
		switch p {
		case event.PhaseDial:
			t.dial = took
		case event.PhaseMail:
			t.mail.took = took
		case event.PhaseRcpt:
			t.each.took = took
		case event.PhaseData:
			t.data.took = took
		case event.PhaseDot:
			t.dot.took = took
		case event.PhaseBody:
			t.body, t.window = took, took*9/10
		}
	}
}

func dripping(pieces uint8) option { return func(t *try) { t.each.pieces = pieces } }

func inTLS(state event.TLS) option { return func(t *try) { t.tls = &state } }

// ends has a transaction end as no reply says.
func ends(o event.Outcome, reason string, p event.Phase, by event.Side, cause string) option {
	return func(t *try) {
		t.outcome, t.reason, t.phase, t.endedBy, t.cause, t.queue = o, reason, p, by, cause, ""
	}
}

// unanswered is a dot that was sent, and to which nothing came.
func unanswered(after time.Duration) option {
	return func(t *try) {
		ends(event.OutcomeAmbiguous, "mx_silent", event.PhaseDot, event.ByMX, "")(t)
		t.dot = answer{text: "451 4.4.2 kanmon: the receiver did not say whether it took the message; try later", took: after, local: true}
	}
}

func decided(step event.Step, did, rule, why string) option {
	return func(t *try) {
		t.decisions = append(t.decisions, event.Decided{Transaction: 1, Step: step, Note: event.Note{Did: did, Tenant: t.Tenant, Account: t.Account, Rule: rule, Why: why}})
	}
}

// localAt is a reply of kanmon's own to a command, by a rule.
func localAt(p event.Phase, text, rule string) option {
	return func(t *try) {
		refusedAt(p, text)(t)
		a := &t.mail
		switch p {
		case event.PhaseRcpt:
			a = &t.each
		case event.PhaseDot:
			a = &t.dot
		}
		a.local, a.rule = true, rule
	}
}

// softened has the MSA told a 4xx where the MX said 5xx to MAIL.
func softened(t *try) { t.mail.softened = true }

// waited has it told how long something is waited for, each time that the wait has doubled.
func waited(p event.Phase, pieces uint8, times ...time.Duration) option {
	return func(t *try) {
		for _, d := range times {
			t.waits = append(t.waits, event.Wait{Phase: p, Waited: d, Began: pieces > 0, Pieces: pieces, First: d / 10, Tenant: t.Tenant, RTT: event.MicrosOf(18 * time.Millisecond)})
		}
	}
}

func greets(helo string) option { return func(t *try) { t.helo = helo } }

// did notes what was done about a refusal of another sending IP, or of this one.
func did(deed event.Deed, ip netip.Addr, p event.Phase, text string, to netip.Addr, why string) option {
	return func(t *try) {
		took := time.Duration(0)
		if deed == event.Rescued || deed == event.RescueFailed {
			took = 180 * time.Millisecond
		}
		t.actions = append(t.actions, event.Action{Transaction: 1, Refusal: 1, Phase: p, SendingIP: ip, Did: deed, To: to, Took: took, Why: why})
		t.said = append(t.said, text)
		t.rescued = t.rescued || deed == event.Rescued
		if deed == event.Rescued {
			t.ip = to
		}
	}
}
