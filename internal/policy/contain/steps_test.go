package contain

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
)

func TestFewCasesContainNobody(t *testing.T) {
	for _, c := range []struct{ n, every int }{{5, 2}, {9, 1}, {25, 1}, {29, 2}} {
		r := newRig(t, nil)
		r.send(alice, c.n, c.every, event.RecipientInvalid)
		r.want(alice, Normal)
	}
}

// Each signal reaches the levels it may reach, and none beyond.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name    string
		subject Subject
		class   event.Class
		every   int // 1 in every is bad
		want    Level
		signal  Signal
	}{
		{"3 % unknown", alice, event.RecipientInvalid, 33, Normal, ""},
		{"14 % unknown", alice, event.RecipientInvalid, 7, Slow, UnknownRecipients},
		{"25 % unknown", alice, event.RecipientInvalid, 4, Divert, UnknownRecipients},
		{"50 % unknown", alice, event.RecipientInvalid, 2, Stop, UnknownRecipients},
		{"2 % spam", alice, event.ContentRejected, 50, Normal, ""},
		{"8 % spam", alice, event.ContentRejected, 12, Slow, Content},
		{"17 % spam", alice, event.ContentRejected, 6, Divert, Content},
		{"33 % spam", alice, event.ContentRejected, 3, Stop, Content},
		{"all senders refused", alice, event.SenderRejected, 1, Slow, SenderRefused},
		{"bounces to nobody", Subject{"acme", ""}, event.RecipientInvalid, 1, Divert, Backscatter},
		{"bounces, a fifth to nobody", Subject{"acme", NullSender}, event.RecipientInvalid, 5, Normal, ""},
		{"spam without a sender", Subject{"acme", ""}, event.ContentRejected, 1, Divert, Content},
		{"spam without a sender, half of it refused", Subject{"acme", NullSender}, event.ContentRejected, 2, Divert, Content},
		{"a sixth of bounces returns spam", Subject{"acme", NullSender}, event.ContentRejected, 6, Slow, Content},
		{"a twentieth of bounces returns spam", Subject{"acme", NullSender}, event.ContentRejected, 20, Normal, ""},
		{"greylisted", alice, event.Greylisted, 1, Normal, ""},
		{"throttled", alice, event.Throttled, 1, Normal, ""},
		{"system errors", alice, event.SystemError, 1, Normal, ""},
		{"mailboxes full", alice, event.MailboxFull, 1, Normal, ""},
		{"nobody has judged it", alice, event.Unjudged, 1, Normal, ""},
		{"our IP is listed for all", alice, event.IPBlocklisted, 1, Normal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			for range 10 {
				r.send(c.subject, 300, c.every, c.class)
				r.pass(10 * time.Minute)
			}
			s := c.subject
			if s.Account == "" {
				s.Account = NullSender
			}
			r.want(s, c.want)
			if c.want > Normal {
				if d := r.lastOf(s); d.Reading.Signal != c.signal || len(d.Samples) != maxSample || d.By != "evidence" || d.Why == "" {
					t.Errorf("decided by %+v", d)
				}
			}
			r.want(acme, Normal)
		})
	}
}

// One level at a time, with time and fresh evidence in between.
func TestStepByStep(t *testing.T) {
	r := newRig(t, nil)
	r.send(alice, 60, 4, event.RecipientInvalid)
	r.want(alice, Slow)
	r.send(alice, 55, 4, event.RecipientInvalid) // not two minutes yet
	r.want(alice, Slow)
	if x := r.Explain(alice); x.Day.Answered > 100 {
		t.Errorf("the windows did not begin anew: %+v", x.Day)
	}
	r.pass(2 * time.Minute)
	r.want(alice, Slow) // time alone is nothing
	r.send(alice, 1000, 4, event.RecipientInvalid)
	r.want(alice, Divert)
	from := Normal
	for _, d := range r.Decisions(0) {
		if d.From != from || d.To != from+1 {
			t.Errorf("from %v to %v, want one up from %v", d.From, d.To, from)
		}
		if d.Reading.Low < d.Reading.Threshold || d.Reading.Bad == 0 || d.Reading.Cases == 0 {
			t.Errorf("not enough for the level: %+v", d.Reading)
		}
		from = d.To
	}
}

// Straight to Stop in the overwhelming case only.
func TestOverwhelming(t *testing.T) {
	r := newRig(t, nil)
	for i := range 2000 {
		if r.leap(20 * time.Millisecond); r.Ask(alice.Tenant, alice.Account).Would == Stop {
			if bad := r.lastOf(alice).Reading.Bad; bad < 250 {
				t.Errorf("stopped for %d", bad)
			}
			break
		}
		r.mail(alice, providers[i/2%4], each(i, 2, event.RecipientInvalid))
	}
	r.want(alice, Stop)
	if d := r.lastOf(alice); !d.Reading.Overwhelming || d.Reading.Providers < 2 || r.at.Sub(start) > time.Minute {
		t.Errorf("%+v after %v", d, r.at.Sub(start))
	}
	r.want(acme, Normal)
}

// One provider's filter is not everybody's judgement.
func TestOneProviderRefuses(t *testing.T) {
	r := newRig(t, nil)
	for i := range 3000 { // a quarter of the mail is to google, which refuses it all
		r.leap(3 * time.Second)
		class := event.NoRefusal
		if i%4 == 0 {
			class = event.ContentRejected
		}
		r.mail(alice, providers[i%4], class)
	}
	r.want(alice, Slow)
	if d := r.lastOf(alice); !d.Reading.Elsewhere || d.Reading.Bad < 50 || math.Abs(d.Reading.Threshold-0.15) > 1e-9 {
		t.Errorf("%+v", d.Reading)
	}
	carol := Subject{"acme", "carol@acme.example"}
	for i := range 3000 { // an eighth is, and is refused: a list's usual part
		r.leap(3 * time.Second)
		p, class := providers[1+i%3], event.NoRefusal
		if i%8 == 0 {
			p, class = "google", event.ContentRejected
		}
		r.mail(carol, p, class)
	}
	r.want(carol, Normal)
	for range 3000 { // all of it is to google, which refuses half
		r.leap(2 * time.Second)
		r.mail(bob, "google", each(int(r.one), 2, event.ContentRejected))
	}
	r.want(bob, Divert) // never Stop
}

// A mail that is put off is one outcome, however often its MSA tries. Refused for good, each is one: the same spam to the same people, too.
func TestTheSameAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		r := newRig(t, nil)
		for i := range 500 {
			r.leap(10 * time.Second)
			r.again = again && i >= 20
			r.mailTo(alice, providers[i%4], event.RecipientInvalid, uint64(i%20))
			r.mailTo(bob, providers[i%4], event.ContentRejected, uint64(i%8))
		}
		if again {
			r.want(alice, Normal)
			r.want(bob, Normal)
			continue
		}
		r.want(alice, Stop)
		r.want(bob, Stop)
	}
}

// Callouts are no bounces: they lead to no level, and are counted apart.
func TestCalloutsAreCountedApart(t *testing.T) {
	r := newRig(t, nil)
	null := Subject{Tenant: "acme", Account: NullSender}
	for range 260 {
		r.leap(10 * time.Second)
		r.Callout(Callout{Tenant: "acme", Dead: true})
	}
	r.want(null, Normal)
	if asked, dead := r.Callouts("acme"); asked != 260 || dead != 260 {
		t.Errorf("%d callouts, %d to nobody", asked, dead)
	}
	r.leap(2 * time.Hour)
	if asked, _ := r.Callouts("acme"); asked != 0 {
		t.Errorf("%d callouts in the last two hours", asked)
	}
}

func TestOwnRepliesAreNoEvidence(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(1000) {
		p := providers[i%4]
		r.Recipient(Recipient{Tenant: "acme", Account: "a", Provider: p, Hash: i, Class: event.RecipientInvalid, Own: true})
		r.Message(Message{Tenant: "acme", Account: "a", Provider: p, Hash: i, Class: event.ContentRejected, Own: true})
	}
	if s := r.Stats(); s.Tenants != 0 {
		t.Errorf("%+v", s)
	}
}

// Refusals for our IP count only if they follow the sender: others are accepted from the same IPs, and on two of them.
func TestListing(t *testing.T) {
	send := func(r *rig, tenant string, ips, every int, class event.Class) {
		for i := range 400 {
			r.leap(time.Second)
			r.one++
			r.Recipient(Recipient{
				Tenant: tenant, Account: "a", Provider: providers[i/max(every, 1)%4], Hash: mix(r.one, 7), Class: each(i, every, class),
				IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i / max(every, 1) / 4 % ips)}),
			})
		}
	}
	for _, c := range []struct {
		name     string
		others   int
		ips      int
		every    int
		alsoHits bool
		want     Level
	}{{"follows", 6, 2, 2, false, Divert}, {"one IP", 6, 1, 1, false, Normal}, {"others too", 6, 2, 2, true, Normal}, {"few others", 2, 2, 2, false, Normal}} {
		r := newRig(t, nil)
		for i := range c.others {
			send(r, fmt.Sprint("other", i), 4, 0, event.NoRefusal)
		}
		if c.alsoHits {
			send(r, "other9", 4, 2, event.IPBlocklisted)
		}
		for range 4 {
			send(r, "acme", c.ips, c.every, event.IPBlocklisted)
			r.pass(5 * time.Minute)
		}
		if got := r.level(Subject{"acme", "a"}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Down by itself, one level after each quiet time; twice as long when it has happened before.
func TestQuiet(t *testing.T) {
	r := newRig(t, nil)
	rise := func() {
		r.t.Helper()
		for range 3 {
			r.send(alice, 300, 3, event.RecipientInvalid)
			r.pass(3 * time.Minute)
		}
		r.want(alice, Divert)
	}
	rise()
	x := r.Explain(alice)
	r.pass(x.DownIn - time.Minute)
	r.want(alice, Divert)
	r.pass(time.Minute)
	r.want(alice, Slow)
	if d := r.lastOf(alice); d.By != "quiet" {
		t.Errorf("%+v", d)
	}
	r.pass(2*time.Hour - time.Minute)
	r.want(alice, Slow)
	r.send(alice, 300, 3, event.RecipientInvalid) // not quiet: up again
	r.want(alice, Divert)
	if x := r.Explain(alice); x.Strikes != 2 || x.DownIn <= 6*time.Hour || x.DownIn > 12*time.Hour {
		t.Errorf("strikes %d, down in %v", x.Strikes, x.DownIn)
	}
	r.pass(16*time.Hour + time.Minute)
	r.want(alice, Normal)
	r.pass(7 * 24 * time.Hour)
	if x := r.Explain(alice); x.Strikes != 0 {
		t.Errorf("strikes %d after a week", x.Strikes)
	}
	rise()
	if x := r.Explain(alice); x.Strikes != 1 {
		t.Errorf("strikes %d", x.Strikes)
	}
}

// While evidence goes on, nothing steps down.
func TestNotQuiet(t *testing.T) {
	r := newRig(t, nil)
	for range 30 {
		r.send(alice, 200, 7, event.RecipientInvalid)
		r.pass(30 * time.Minute)
	}
	r.want(alice, Slow)
	if n := len(r.Decisions(0)); n != 1 {
		t.Errorf("%d decisions", n)
	}
	r.pass(3 * 24 * time.Hour)
	r.send(alice, 400, 0, event.NoRefusal)
	if x := r.Explain(alice); x.Level != Normal || x.Usual.Unknown > 0.05 {
		t.Errorf("%v; what it was contained for is now usual: %v", x.Level, x.Usual)
	}
}

// What a sender is used to excuses from Slow, up to twice the share, and from nothing else.
func TestUsual(t *testing.T) {
	r := newRig(t, nil)
	for range 30 {
		r.send(alice, 200, 25, event.ContentRejected) // 4 %
		r.pass(24 * time.Hour)
	}
	r.send(bob, 600, 13, event.ContentRejected)   // 7.7 %
	r.send(alice, 600, 13, event.ContentRejected) // the same
	r.want(bob, Slow)
	r.want(alice, Normal)
	r.pass(2 * 24 * time.Hour)
	r.send(alice, 600, 7, event.ContentRejected)
	r.want(alice, Slow)
}

// An account that is held to a mail a minute and goes on as before is diverted and stopped all the same, soon; one that mends is not.
func TestHeldAccountGoesOn(t *testing.T) {
	for _, c := range []struct {
		name         string
		policy       *Numbers
		bad          int // of five, while it is slowed
		divert, stop time.Duration
	}{
		{"held", enforced(), 2, time.Hour, 3 * time.Hour},
		{"held, and mends", enforced(), 0, 0, 0},
		{"not held", DefaultNumbers(), 2, 2 * time.Hour, 0}, // by the usual numbers
	} {
		r := newRig(t, c.policy)
		for i := 0; r.level(alice) < Slow; i++ {
			r.leap(time.Second)
			r.mail(alice, providers[i/5%len(providers)], badOf(i, 2))
		}
		began := r.at
		reached := map[Level]time.Duration{}
		mails := 0
		for i := 0; r.at.Sub(began) < 6*time.Hour; i++ {
			r.pass(time.Minute)
			if l := r.level(alice); reached[l] == 0 {
				reached[l] = r.at.Sub(began)
			}
			if r.level(alice) < Stop {
				r.mail(alice, providers[i/5%len(providers)], badOf(i, c.bad))
				mails++
			}
		}
		t.Logf("%s: diverted after %v, stopped after %v; %d mails in six hours", c.name, reached[Divert], reached[Stop], mails)
		for level, most := range map[Level]time.Duration{Divert: c.divert, Stop: c.stop} {
			if got := reached[level]; got > most || most > 0 && got == 0 {
				t.Errorf("%s: %v after %v, want at most %v (0: never)", c.name, level, got, most)
			}
		}
	}
}

func badOf(i, ofFive int) event.Class {
	if i%5 < ofFive {
		return event.RecipientInvalid
	}
	return event.NoRefusal
}
