package policy

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
	"kanmon/internal/smtp"
	"kanmon/internal/who/mailbox"
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestRetriesAreKnownUntilAReplyForGood(t *testing.T) {
	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	r := newRetries(now)
	r.note("acme", 1<<20, now)
	for _, c := range []struct {
		tenant string
		key    uint64
		at     time.Duration
		want   bool
	}{
		{"acme", 1 << 20, 0, true},
		{"acme", 1 << 20, retryWindow, true},
		{"acme", 1 << 20, retryWindow + time.Minute, false},
		{"blue", 1 << 20, 0, false},
		{"acme", 1 << 21, 0, false},
	} {
		if got := r.known(c.tenant, c.key, at(now.Add(c.at))); got != c.want {
			t.Errorf("%s, key %x, after %v: %t, want %t", c.tenant, c.key, c.at, got, c.want)
		}
	}
	if !r.over("acme", 1<<20, at(now)) || r.over("acme", 1<<20, at(now)) || r.known("acme", 1<<20, at(now)) {
		t.Error("a reply for good, and yet a retry")
	}
}

// A queue tries at once a few times, then at its pace, and gives up one day. What comes oftener, or for longer, is other mail.
func TestRetriesAreAQueues(t *testing.T) {
	begun := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		tries int
		gap   time.Duration
		again int
	}{
		"at every MX of a domain":       {6, 0, 5},
		"and no oftener":                {20, 0, 5},
		"Postfix at first":              {12, 5 * time.Minute, 11},
		"a queue that runs each minute": {61, time.Minute, 16}, // 5, and one in five minutes
		"the same after a day":          {24*12 + 1, 5 * time.Minute, 131},
		"sendmail, for three days":      {3*24*4 + 1, 15 * time.Minute, 3 * 24 * 4},
		"given up, and the next mail":   {7 * 24, time.Hour, 7*24 - 2},
	} {
		r, again := newRetries(begun), 0
		for i := range c.tries {
			if r.note("acme", 1<<20, begun.Add(time.Duration(i)*c.gap)) {
				again++
			}
		}
		if again != c.again {
			t.Errorf("%s: %d of %d tries are one mail's, want %d", name, again, c.tries, c.again)
		}
	}
}

// A tenant's flood pushes out its own alone, and all tenants together have a bound.
func TestRetriesOfOneTenantDoNotPushOutAnother(t *testing.T) {
	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	r, seed := newRetries(now), maphash.MakeSeed()
	key := func(i int) uint64 { return maphash.String(seed, fmt.Sprint(i)) }
	const honest = 1000
	for i := range honest {
		r.note("acme", key(i), now)
	}
	known := func() (n int) {
		for i := range honest {
			if r.known("acme", key(i), at(now.Add(time.Hour))) {
				n++
			}
		}
		return n
	}
	before := known()
	for i := range 20 * mostEntries {
		r.note("flood", key(i), now.Add(time.Minute))
	}
	if after := known(); after != before || before < honest*99/100 {
		t.Errorf("of %d retries of another tenant %d are known, and %d behind the flood", honest, before, after)
	}
	if n := len(r.tenants["flood"].entries); n != mostEntries {
		t.Errorf("the flood has %d entries, want %d", n, mostEntries)
	}
	for i := range 2 * mostTables {
		for j := range 10 {
			r.note(fmt.Sprint("t", i), key(j), now)
		}
	}
	if r.entries > mostTables*entriesEach || len(r.tenants) > mostTables {
		t.Errorf("%d entries of %d tenants", r.entries, len(r.tenants))
	}
	if after := known(); after != before {
		t.Errorf("many tenants pushed %d of another's out", before-after)
	}
}

// perHour is a limit of so many recipients of an account in an hour.
func perHour(amount int64) *Limit {
	return rule("hour", limit.PerAccount, amount, func(r *limit.Rule) { r.Measure = limit.Recipients })
}

// What an MX puts off takes room once, however often its MSA tries. When the MX takes it, the next mail to the same person is another.
func TestARetryTakesNoRoom(t *testing.T) {
	r := newRig(t, settingsWith(perHour(200)), nil)
	to, later := many(90), map[string]string{}
	for _, name := range to {
		later[name] = "now greylisted"
	}
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	alice := contain.Subject{Tenant: "acme", Account: "alice@acme.example"}
	for try := range 4 {
		if s := v.send(alice.Account, to, later); s.rcpts != len(to) {
			t.Fatalf("try %d: %d of %d recipients let pass", try, s.rcpts, len(to))
		}
		if n := r.used(alice, "hour"); n != 90 {
			t.Errorf("try %d: %d counted, want 90", try, n)
		}
	}
	v.send(alice.Account, to[:50], nil)
	before := r.used(alice, "hour")
	if v.send(alice.Account, to[:20], nil); r.used(alice, "hour") != before+20 {
		t.Errorf("the next mail to the same: %d counted, want %d", r.used(alice, "hour")-before, 20)
	}
}

// An MSA that sends to all of a mail's recipients or to none gets back what it has asked for, as long as it was refused here. What it
// gives up by itself stays counted.
func TestWhatIsGivenUpForOurSakeIsGivenBack(t *testing.T) {
	r := newRig(t, settingsWith(perHour(100)), nil)
	alice := contain.Subject{Tenant: "acme", Account: "alice@acme.example"}
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	giveUp := func(n int) (passed int) {
		v.ask(session.Question{Step: event.StepMail, Sender: alice.Account})
		v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		for _, name := range many(n) {
			if d := v.ask(session.Question{Step: event.StepRecipient, Recipient: name}); d.Refuse == session.RefuseNot {
				passed++
				v.Tell(session.News{Step: event.StepRecipient, Code: 250, SendingIP: ours})
			}
		}
		v.Tell(session.News{Step: event.StepOver})
		return passed
	}
	if giveUp(60); r.used(alice, "hour") != 60 {
		t.Errorf("given up by itself: %d counted, want 60", r.used(alice, "hour"))
	}
	for try := range 3 {
		if passed := giveUp(60); passed != 40 || r.used(alice, "hour") != 60 {
			t.Errorf("try %d: %d let pass, want 40; %d counted, want 60", try, passed, r.used(alice, "hour"))
		}
	}
}

// Who was only held, and let pass then, was not refused: what he gives up by himself stays counted.
func TestWhoIsHeldIsNotRefused(t *testing.T) {
	perMinute := rule("minute", limit.PerAccount, 60, func(r *limit.Rule) { r.Measure, r.Per = limit.Recipients, time.Minute })
	perMinute.Action = limit.Delay
	r := newRig(t, settingsWith(perMinute), nil)
	alice := contain.Subject{Tenant: "acme", Account: "alice@acme.example"}
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	v.ask(session.Question{Step: event.StepMail, Sender: alice.Account})
	v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
	v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
	for _, name := range many(61) {
		if d := v.ask(session.Question{Step: event.StepRecipient, Recipient: name}); d.Refuse != session.RefuseNot {
			t.Fatalf("%s is refused: %+v", name, d)
		}
		v.Tell(session.News{Step: event.StepRecipient, Code: 250, SendingIP: ours})
	}
	if len(v.notes) != 1 || v.notes[0].Did != "delayed" {
		t.Fatalf("%+v: one must have been held, or the test shows nothing", v.notes)
	}
	v.Tell(session.News{Step: event.StepOver})
	if n := r.used(alice, "minute"); n < 55 {
		t.Errorf("given up by itself: %d counted, want those of the last minute", n)
	}
}

// RCPT and RSET for ever ask MXs about no more people than five times the limit, in the time of the limit.
func TestAttemptsAreBounded(t *testing.T) {
	r := newRig(t, settingsWith(perHour(100)), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	asked, text := 0, ""
	for i := range 5000 {
		v.ask(session.Question{Step: event.StepMail, Sender: "eve@acme.example"})
		v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		name := fmt.Sprintf("p%d@example.net", i%50)
		if d := v.ask(session.Question{Step: event.StepRecipient, Recipient: name}); d.Refuse == session.RefuseNot {
			asked++
			v.Tell(session.News{Step: event.StepRecipient, Code: 450, Class: event.Greylisted, SendingIP: ours})
		} else {
			text = d.Say.String()
		}
		v.Tell(session.News{Step: event.StepOver})
	}
	if asked != 500 || !strings.Contains(text, `too many attempts by this account: 500 recipients per hour, refused ones included (limit "hour"); retry in `) {
		t.Errorf("the MX was asked about %d, want 500; then %q", asked, text)
	}
}

// Only a 5xx says that a person does not exist: what an MX puts off, in whatever words, is nobody's dead recipient. The 5xx that comes behind
// it at the retry is one.
func TestPutOffIsNoDeadRecipient(t *testing.T) {
	r := newRig(t, enforcing(besides(settingsWith())), nil)
	tell := func(code int, sender string, mails int) {
		for i := range mails {
			v, _ := r.enter("10.0.1.1", []netip.AddrPort{google, docomo, hisOwn}[i%3])
			v.ask(session.Question{Step: event.StepMail, Sender: sender})
			v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
			v.ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("b%d@example.net", i)})
			v.Tell(session.News{Step: event.StepRecipient, Code: code, Class: event.RecipientInvalid, Text: fmt.Appendf(nil, "%d mailbox unavailable", code), SendingIP: ours})
			v.Close()
			r.Pass(time.Minute)
		}
	}
	const bob = "bob@acme.example"
	for i := range 6 {
		tell(450, fmt.Sprintf("v%d@acme.example", i), 60)
	}
	tell(450, bob, 12)
	if x := r.Explain(contain.Subject{Tenant: "acme"}); x.Level != contain.Normal || x.Day.Unknown != 0 || x.Day.Answered != 0 {
		t.Errorf("put off: %v, %+v", x.Level, x.Day)
	}
	tell(550, bob, 12)
	if x := r.Explain(ofAcme(bob)); x.Day.Unknown != 12 {
		t.Errorf("refused for good at the retry: %+v", x.Day)
	}
	tell(450, "", 10)
	if asked, dead := r.Callouts("acme"); asked != 10 || dead != 0 {
		t.Errorf("%d callouts, %d to nobody", asked, dead)
	}
}

// Verifying a tenant's own inbound mail is no backscatter; a bounce, whose DATA an MX gets to see, is.
func TestCalloutsAreNoBounces(t *testing.T) {
	for _, data := range []bool{false, true} {
		r := newRig(t, settingsWith(), nil)
		for i := range 260 {
			v, _ := r.enter("10.0.1.1", []netip.AddrPort{mx, other}[i%2])
			v.ask(session.Question{Step: event.StepMail})
			v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
			v.ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("b%d@example.net", i)})
			v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid, Text: []byte("550 5.1.1 no such user"), SendingIP: ours})
			if data {
				v.Tell(session.News{Step: event.StepData, Code: 503, Class: event.SystemError, Text: []byte("503 no recipients"), SendingIP: ours})
			}
			v.Close()
			r.Pass(time.Second)
		}
		x := r.Explain(contain.Subject{Tenant: "acme", Account: contain.NullSender})
		asked, dead := r.Callouts("acme")
		if contained := x.Level > contain.Normal; contained != data || (asked == 260 && dead == 260) == data {
			t.Errorf("DATA %t: %v, %d callouts, %d to nobody", data, x.Level, asked, dead)
		}
	}
}

// Some MSAs verify by a sender of their own, at the tenant's domain: Postfix by double-bounce. A person's account does not, nor one of another
// domain, and who asks for hundreds that do not exist looks which addresses there are.
func TestCalloutsByAProgramsSender(t *testing.T) {
	own := settingsWith()
	own.Accounts = func(string) *Accounts { return &Accounts{Senders: mailbox.Domains{"acme.example"}} }
	for _, c := range []struct {
		settings Settings
		sender   string
		asked    int
		contains bool
	}{
		{settingsWith(), "double-bounce@mail.acme.example", 260, false},
		{own, "double-bounce@acme.example", 260, false},
		{own, "Postmaster@acme.example", 260, false},
		{own, "MAILER-DAEMON@acme.example", 260, false},
		{own, "double-bounce@other.example", 260, true},
		{own, "bob@acme.example", 260, true},
		{own, "double-bounce@acme.example", 600, true},
		{own, "", 600, true},
	} {
		r := newRig(t, besides(c.settings), nil)
		for i := range c.asked {
			v, _ := r.enter("10.0.1.1", []netip.AddrPort{google, docomo, hisOwn}[i%3])
			v.ask(session.Question{Step: event.StepMail, Sender: c.sender})
			v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
			v.ask(session.Question{Step: event.StepRecipient, Recipient: fmt.Sprintf("b%d@example.net", i)})
			v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid, Text: []byte("550 5.1.1 no such user"), SendingIP: ours})
			if i%2 == 0 {
				v.Tell(session.News{Step: event.StepOver}) // RSET
			}
			v.Close()
			r.Pass(time.Second)
		}
		account := cmp.Or(mailbox.Form([]byte(c.sender)), contain.NullSender)
		if x := r.Explain(ofAcme(account)); (x.Level > contain.Normal) != c.contains {
			t.Errorf("%d by %q: %v, %+v", c.asked, account, x.Level, x.Day)
		}
	}
}

// A recipient is known again by the envelope's sender, whoever a header names: the header comes behind it.
func TestRetriesWhereAHeaderNamesTheAccount(t *testing.T) {
	set := settingsWith(perHour(100))
	set.Accounts = func(string) *Accounts { return &Accounts{Header: "X-Auth-User"} }
	r := newRig(t, set, nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	news := contain.Subject{Tenant: "acme", Account: "news@acme.example"}
	send := func(rcpt, dot int) {
		v.ask(session.Question{Step: event.StepMail, Sender: news.Account})
		v.ask(session.Question{Step: event.StepLeave, SendingIP: ours})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
		v.Tell(session.News{Step: event.StepRecipient, Code: rcpt, Class: event.Greylisted, SendingIP: ours})
		if dot > 0 {
			v.ask(session.Question{Step: event.StepAccount, Fields: []smtp.HeaderField{{Text: "bob@acme.example"}}})
			v.Tell(session.News{Step: event.StepMessage, Code: dot, Class: event.Greylisted, Recipients: 1, SendingIP: ours})
		}
		v.Tell(session.News{Step: event.StepOver})
	}
	for i, step := range []struct{ rcpt, dot, counted int }{
		{450, 0, 1}, {250, 451, 1}, {250, 250, 1}, // one mail
		{250, 250, 2}, // another
	} {
		if send(step.rcpt, step.dot); r.used(news, "hour") != int64(step.counted) {
			t.Errorf("step %d: %d recipients counted, want %d", i, r.used(news, "hour"), step.counted)
		}
	}
}

// Where more tenants are configured than there is room for by default, there is room for all of them.
func TestRetriesHaveRoomForTheConfiguredTenants(t *testing.T) {
	now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	s := settingsWith()
	for i := range 2 * mostTables {
		s.Tenants = append(s.Tenants, fmt.Sprint("t", i))
	}
	r := newRig(t, settingsWith(), nil)
	if err := r.Configure(s); err != nil { // by a reload
		t.Fatal(err)
	}
	for _, name := range s.Tenants {
		r.retries.note(name, 1<<20, now)
	}
	for _, name := range s.Tenants {
		if !r.retries.known(name, 1<<20, at(now)) {
			t.Fatalf("nothing is known of what %s was put off, one of %d", name, len(s.Tenants))
		}
	}
}
