package outlet

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/warm"
	"kanmon/internal/session"
	"kanmon/internal/smtp/smtptest"
	"kanmon/test/handclock"
)

// A plainDialer connects from wherever it is told.
type plainDialer struct{}

func (plainDialer) DialFrom(_ context.Context, from netip.Addr, _ netip.AddrPort) (session.Outbound, error) {
	return session.Outbound{SendingIP: from}, nil
}

// A ramp is a gateway of which some sending IPs warm up.
type ramp struct {
	*rig
	t     testing.TB
	state *State
	clock *handclock.Clock
	last  event.ID
}

var new1 = netip.MustParseAddr("203.0.113.13")

// newRamp makes one. With full shares the new IPs have all of their senders, so that nothing but the amount decides.
func newRamp(t testing.TB, g gateway, plan *warm.Plan, warming ...netip.Addr) *ramp {
	t.Helper()
	r := &ramp{t: t, clock: handclock.At(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))}
	o, state, end := g.begin(t, part{dns: &smtptest.DNS{MXs: map[string]string{}}, clock: r.clock.Now})
	o.dialer = plainDialer{}
	r.rig, r.state = o, state
	t.Cleanup(func() {
		for _, err := range end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
	var members []warm.Member
	for _, ip := range warming {
		members = append(members, warm.Member{IP: ip, Start: warm.DayOf(r.clock.Now()), Plan: plan})
	}
	state.Warming().Configure(members)
	return r
}

// amounts is a plan of one step after another with the whole share.
func amounts(provider, others int) *warm.Plan {
	return &warm.Plan{Name: "test", Steps: []warm.Step{{Share: 1, Provider: provider, Others: others}, {Share: 1, Provider: 2 * provider, Others: 2 * others}}}
}

// A letter is a mail in a session of its own.
type letter struct {
	r     *ramp
	req   request
	ip    netip.Addr
	notes []event.Note
}

// write sends a mail as far as its first recipient.
func (r *ramp) write(sender, recipient, mx string) *letter {
	r.t.Helper()
	r.last++
	l := &letter{r: r, req: request{Session: r.last, Source: msa, Destination: netip.MustParseAddrPort(mx)}}
	l.dial()
	l.mail(sender, recipient)
	return l
}

func (l *letter) dial() {
	l.r.t.Helper()
	out, err := l.r.Dial(l.r.t.Context(), l.req)
	if err != nil {
		l.r.t.Fatal(err)
	}
	l.ip = out.SendingIP
	l.notes = append(l.notes, out.Notes...)
}

// mail says MAIL and RCPT.
func (l *letter) mail(sender, recipient string) {
	l.r.t.Helper()
	l.req.Sender, l.req.SenderKnown, l.req.Recipient = sender, true, ""
	for _, rcpt := range []string{"", recipient} {
		l.req.Recipient = rcpt
		stay := l.r.wayOf(l.req).MayStay(l.req.DialRequest, l.ip)
		l.notes = append(l.notes, stay.Notes...)
		if stay.Moves {
			l.dial()
		}
	}
}

func (l *letter) accepted() {
	l.r.wayOf(l.req).Accepted(l.ip)
	l.close()
}

func (l *letter) refused(phase event.Phase, code int, text string) session.Judgement {
	_, domain, _ := strings.Cut(l.req.Recipient, "@")
	return l.r.wayOf(l.req).Judge(session.MXRefusal{
		SendingIP: l.ip, Phase: phase, Mails: 1, Code: code, Text: []byte(text), Sender: []byte(l.req.Sender), Recipient: []byte(l.req.Recipient), Domain: domain,
	})
}

func (l *letter) close() {
	l.r.over(l.req)
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	delete(l.r.ways, caller{l.req.Session, l.req.Source, l.req.Destination})
}

// class gives what is counted of the new IP.
func (r *ramp) class(name string) warm.Class {
	e, _ := r.state.Warming().Get(new1)
	return e.Classes[name]
}

const mailbox1 = "192.0.2.25:25"

// ownSender gives a sender whose mail would leave from the new IP.
func (r *ramp) ownSender(n int) string {
	r.t.Helper()
	for i := n * 1000; i < n*1000+1000; i++ {
		sender := fmt.Sprintf("a@s%d.example", i)
		choice, err := r.router.Choose(r.query(request{Source: msa, Destination: netip.MustParseAddrPort(mailbox1), DialRequest: session.DialRequest{Sender: sender, SenderKnown: true}}))
		if err != nil {
			r.t.Fatal(err)
		}
		if choice.IP.Address == new1 {
			return sender
		}
	}
	r.t.Fatal("no sender's own is the new IP")
	return ""
}

func TestWhatIsBeyondTheDaysAmountLeavesFromOtherSendingIPs(t *testing.T) {
	r := newRamp(t, poolOf(4), amounts(5, 10), new1)
	sender := r.ownSender(0)
	from := map[netip.Addr]int{}
	var note event.Note
	for range 50 {
		l := r.write(sender, "r@x.example", mailbox1)
		from[l.ip]++
		l.accepted()
		if l.ip != new1 && len(l.notes) > 0 {
			note = l.notes[0]
		}
	}
	if from[new1] != 10 || len(from) != 2 {
		t.Errorf("left from %v, want 10 from the new IP and the rest from one other", from)
	}
	if note.Did != fromOther || note.Rule != "warm-up of 203.0.113.13" || note.Why != "10 of 10 mails today to all others" {
		t.Errorf("note %+v", note)
	}
	if c := r.class(warm.Others); c.Taken != 10 || c.Over != 0 || c.Tried != 10 || c.Accepted != 10 {
		t.Errorf("counted %+v", c)
	}
	r.clock.Pass(24 * time.Hour)
	if l := r.write(sender, "r@x.example", mailbox1); l.ip != new1 {
		t.Errorf("the next day it leaves from %s", l.ip)
	}
}

func TestASessionThatStaysTakesTheAmountMailByMail(t *testing.T) {
	for name, g := range map[string]gateway{"by sender": poolOf(4), "by tenant": sending("203.0.113.13", "203.0.113.14").pool("default", "203.0.113.13", "203.0.113.14").byTenant()} {
		r := newRamp(t, g, amounts(5, 10), new1)
		sender := "a@s.example"
		if name == "by sender" {
			sender = r.ownSender(0)
		}
		l := r.write(sender, "r@x.example", mailbox1)
		n := map[netip.Addr]int{}
		for range 30 {
			n[l.ip]++
			r.wayOf(l.req).Accepted(l.ip)
			l.mail(sender, "r@x.example")
		}
		l.close()
		if name == "by sender" && n[new1] != 10 || n[new1] > 10 {
			t.Errorf("%s: %v", name, n)
		}
		if c := r.class(warm.Others); c.Taken > 10 || c.Over != 0 {
			t.Errorf("%s: counted %+v", name, c)
		}
	}
}

func TestWarmUpDefersNoMail(t *testing.T) {
	for name, c := range map[string]struct {
		g       gateway
		warming []netip.Addr
	}{
		"a pool of one":            {sending("203.0.113.13").pool("default", "203.0.113.13"), []netip.Addr{new1}},
		"a pool that warms up":     {sending("203.0.113.12", "203.0.113.13").pool("default", "203.0.113.12", "203.0.113.13"), []netip.Addr{new1, netip.MustParseAddr("203.0.113.12")}},
		"no pools, and but one IP": {sending("203.0.113.13"), []netip.Addr{new1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, c.g, amounts(3, 3), c.warming...)
			over := 0
			for range 20 {
				l := r.write("a@s.example", "r@x.example", mailbox1)
				for _, n := range l.notes {
					if n.Did == beyondAmount {
						over++
					}
				}
				l.accepted()
			}
			var taken, counted int
			for _, e := range r.state.Warming().List() {
				taken += e.Classes[warm.Others].Taken
				counted += e.Classes[warm.Others].Over
			}
			if want := 20 - 3*len(c.warming); taken != 20 || over != want || counted != want {
				t.Errorf("%d mails left, %d told to be beyond the amount, %d counted, want %d", taken, over, counted, want)
			}
		})
	}
}

// law: I11
func TestAGreylistedMailComesAgainFromItsIPEvenBeyondTheAmount(t *testing.T) {
	r := newRamp(t, poolOf(4), amounts(2, 2), new1)
	sender := r.ownSender(0)
	l := r.write(sender, "r@grey.example", mailbox1)
	l.refused(event.PhaseRcpt, 450, greylisted)
	l.close()
	if c := r.class(warm.Others); c.Taken != 0 || c.Tried != 0 {
		t.Errorf("a greylisted mail has taken %+v", c)
	}
	for range 2 {
		r.write(r.ownSender(1), "r@x.example", mailbox1).accepted()
	}
	l = r.write(sender, "r@grey.example", mailbox1)
	if l.ip != new1 || len(l.notes) != 1 || l.notes[0].Did != beyondAmount {
		t.Errorf("it comes again from %s, with %+v", l.ip, l.notes)
	}
	l.accepted()
	if c := r.class(warm.Others); c.Taken != 3 || c.Over != 1 || c.Accepted != 3 {
		t.Errorf("counted %+v", c)
	}
	for _, other := range []string{"s@grey.example", "R2@grey.example"} {
		if l = r.write(sender, other, mailbox1); l.ip == new1 {
			t.Errorf("a mail to %s that was never greylisted leaves beyond the amount as well", other)
		}
		l.accepted()
	}
	r.clock.Pass(24 * time.Hour)
	if l = r.write(sender, "s@grey.example", mailbox1); l.ip != new1 {
		t.Errorf("with room it leaves from %s, where its domain is known", l.ip)
	}
}

// law: I19
func TestARescueNeverGoesBeyondTheAmount(t *testing.T) {
	r := newRamp(t, sending("203.0.113.12", "203.0.113.13").pool("default", "203.0.113.12", "203.0.113.13"), amounts(1, 1), new1)
	old := netip.MustParseAddr("203.0.113.12")
	rescue := func() (netip.Addr, error) {
		l := &letter{r: r, req: request{Session: 900, Source: msa, Destination: netip.MustParseAddrPort(mailbox1), DialRequest: session.DialRequest{
			Sender: "a@s.example", SenderKnown: true, Recipient: "r@x.example", Rescue: true, Avoid: []netip.Addr{old},
		}}}
		out, err := r.Dial(t.Context(), l.req)
		return out.SendingIP, err
	}
	if ip, err := rescue(); err != nil || ip != new1 {
		t.Fatalf("with room: %v, %v", ip, err)
	}
	if c := r.class(warm.Others); c.Taken != 1 {
		t.Errorf("a rescue has taken %+v", c)
	}
	r.write(r.ownSender(0), "r@x.example", mailbox1)
	r.last = 900
	if ip, err := rescue(); err == nil && r.class(warm.Others).Taken > 1 {
		t.Errorf("without room it goes to %v", ip)
	}
}

func TestWhatCountsOfAMail(t *testing.T) {
	for name, c := range map[string]struct {
		phase event.Phase
		code  int
		text  string
		want  warm.Class
	}{
		"no such user":              {event.PhaseRcpt, 550, "550 5.1.1 no such user here", warm.Class{}},
		"content":                   {event.PhaseDot, 554, "554 5.7.1 message rejected as spam", warm.Class{}},
		"listed":                    {event.PhaseRcpt, 554, "554 5.7.1 Service unavailable; Client host [203.0.113.13] blocked using zen.spamhaus.org", warm.Class{Taken: 1, Tried: 1}},
		"reset":                     {event.PhaseDot, 0, "", warm.Class{Taken: 1, Tried: 1}},
		"the MX refuses to connect": {event.PhaseDial, 0, "", warm.Class{}},
		"nothing is said":           {event.PhaseDot, 250, "", warm.Class{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRamp(t, poolOf(4), amounts(5, 5), new1)
			r.state.learnt.addresses.Put(netip.MustParseAddrPort(mailbox1).Addr(), provider.MX{Host: "aspmx.l.google.com"})
			l := r.write(r.ownSender(0), "r@gmail.com", mailbox1)
			if got := r.class("google"); got.Taken != 1 {
				t.Fatalf("at its first recipient %+v", got)
			}
			if c.code != 250 {
				l.refused(c.phase, c.code, c.text)
				l.refused(c.phase, c.code, c.text) // of the next recipient
			}
			l.close()
			got := r.class("google")
			got.Pauses, got.Until = 0, time.Time{}
			if got != c.want {
				t.Errorf("counted %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAReceiverThatHasHadTooMuchGetsItsMailFromOthers(t *testing.T) {
	r := newRamp(t, poolOf(4), amounts(50, 50), new1)
	sender := r.ownSender(0)
	tooMuchAt := func(recipient, mx string) {
		l := r.write(sender, recipient, mx)
		l.refused(event.PhaseRcpt, 421, "421 4.7.0 too many messages from your IP address, slow down")
		l.close()
	}
	for range 3 { // of all others one speaks for itself
		tooMuchAt("r@x.example", mailbox1)
	}
	if c := r.class(warm.Others); c.Pauses != 0 || c.Finding != "" {
		t.Errorf("one stranger has all others rest: %+v", c)
	}
	if l := r.write(sender, "r@y.example", "198.51.100.7:25"); l.ip != new1 {
		t.Errorf("mail to another one leaves from %s", l.ip)
	}
	tooMuchAt("r@y.example", "198.51.100.7:25") // of one tenant, since there is but one
	if l := r.write(sender, "r@x.example", mailbox1); l.ip == new1 || len(l.notes) == 0 || !strings.Contains(l.notes[0].Why, "had too much") {
		t.Errorf("the next mail leaves from %s, %+v", l.ip, l.notes)
	}
}

// Any host can be given mail for any domain: neither its amount nor what it says is of the provider that the
// recipient's domain names.
func TestWhatAnMXOfNobodysTakesAndSaysIsOfAllOthers(t *testing.T) {
	r := newRamp(t, poolOf(4), amounts(50, 50), new1)
	r.learnt.mxs.Put("gmail.com", provider.MX{Host: "aspmx.l.google.com", Domain: "google.com"})
	for range 2 {
		l := r.write(r.ownSender(0), "r@gmail.com", mailbox1)
		l.refused(event.PhaseRcpt, 421, "421 4.7.0 too many messages from your IP address, slow down")
		l.close()
	}
	r.write(r.ownSender(0), "r@gmail.com", mailbox1).accepted()
	if c := r.class("google"); c != (warm.Class{}) {
		t.Errorf("of google: %+v", c)
	}
	if c := r.class(warm.Others); c.Taken == 0 {
		t.Errorf("of all others: %+v", c)
	}
}
