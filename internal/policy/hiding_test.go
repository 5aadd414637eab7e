package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/policy/limit"
	"kanmon/internal/session"
)

// A spammer is who sends 400 mails an hour for a day, nine in ten of which four providers refuse for what they are.
type spammer struct {
	from   string
	people int             // that it writes to, one after the other
	class  string          // of the refusals
	octets func(int) int64 // of each mail
}

// day sends it all, and returns how many mails passed MAIL, and how many of those within the first hour.
func (s *spammer) day(r *rig) (passed, early int) {
	for i := range 24 * 400 {
		class := s.class
		if i%10 == 9 {
			class = ""
		}
		if r.letter(s.from, fmt.Sprintf("p%d@example.net", i%s.people), class, i, s.octets(i)) {
			passed++
			if i < 400 {
				early++
			}
		}
		if r.Pass(9 * time.Second); i%7 == 0 {
			r.detector.Tick()
		}
	}
	return passed, early
}

// named has the four MXs of rig.letter be providers that everybody knows: strangers slow, and no more.
func named(s Settings) Settings {
	s.Provider = func(mx netip.Addr) string {
		return [...]string{"google", "microsoft", "yahoo", "docomo"}[(mx.As4()[3]-1)%4]
	}
	return s
}

func growing(i int) int64 { return int64(2000 + i) }

func always(int) int64 { return 3000 }

// audit-A1: spam without a sender is contained as that of anybody is, but never stopped, and counts for its tenant.
func TestSpamWithoutASenderIsContained(t *testing.T) {
	for from, want := range map[string]contain.Level{"": contain.Divert, "eve@acme.example": contain.Stop} {
		r := newRig(t, enforcing(named(settingsWith())), nil)
		spam := spammer{from: from, people: 9600, class: "content_rejected", octets: growing}
		passed, early := spam.day(r)
		t.Logf("from <%s>: %d of 9600 passed, %d in the first hour", from, passed, early)
		account := from
		if from == "" {
			account = contain.NullSender
		}
		if x := r.Explain(ofAcme(account)); x.Level != want {
			t.Errorf("<%s> is %v, want %v", from, x.Level, want)
		}
		if passed > 24*61+100 || early > 150 {
			t.Errorf("from <%s>: %d of 9600 passed, %d in the first hour", from, passed, early)
		}
		if x := r.Explain(contain.Subject{Tenant: "acme"}); x.Level != contain.Normal {
			t.Errorf("one account has contained its tenant: %v", x.Level)
		}
	}
}

// audit-A4: a new message to the same people is no retry, whether it is refused for good or put off: spam to twenty people is contained
// as that to forty, and that to thousands. Where all of it has one length and is put off, so that each mail may be a retry, what
// comes oftener than a queue tries counts.
func TestSpamToTheSamePeopleIsContained(t *testing.T) {
	for _, c := range []struct {
		name   string
		class  string
		octets func(int) int64
		early  int // of the first 400
		most   int
	}{
		{"refused for good", "content_rejected", always, 150, 150},
		{"put off, each of its own length", "now content_rejected", growing, 150, 150},
		{"put off, of one length", "now content_rejected", always, 300, 3000},
	} {
		for _, people := range []int{1, 5, 20, 40, 9600} {
			r := newRig(t, enforcing(named(settingsWith())), nil)
			spam := spammer{from: "eve@acme.example", people: people, class: c.class, octets: c.octets}
			passed, early := spam.day(r)
			t.Logf("%s, %d people: %d of 9600 passed, %d of the first 400", c.name, people, passed, early)
			if passed > c.most || early > c.early {
				t.Errorf("want at most %d and %d", c.most, c.early)
			}
		}
	}
}

// What a queue tries again for days is one outcome a mail, whatever the mails are.
func TestAQueueOfMailIsNoSpam(t *testing.T) {
	r := newRig(t, enforcing(named(settingsWith())), nil)
	wait := 5 * time.Minute
	for range 100 {
		for i := range 20 {
			r.letter("news@acme.example", fmt.Sprintf("p%d@example.net", i), "now content_rejected", i, growing(i))
		}
		for waited := time.Duration(0); waited < wait; waited += 5 * time.Minute {
			r.Pass(5 * time.Minute)
			r.detector.Tick()
		}
		wait = min(2*wait, 4000*time.Second)
		if x := r.Explain(ofAcme("news@acme.example")); x.Level != contain.Normal || x.Day.Content > 20 {
			t.Fatalf("%v, %d outcomes of 20 mails", x.Level, x.Day.Content)
		}
	}
}

// audit-A4: a recipient who was put off takes room again with another mail.
func TestAnotherMailToWhoWasPutOffTakesRoom(t *testing.T) {
	r := newRig(t, settingsWith(perHour(200)), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	rcpt := func(size int64) {
		v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example", Size: size})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		v.ask(session.Question{Step: event.StepRecipient, Recipient: "b@example.net"})
		v.Tell(news(event.StepRecipient, "now greylisted"))
		v.Tell(session.News{Step: event.StepOver})
	}
	for i, want := range []int64{1, 1, 2, 2, 3} {
		rcpt(1000 + 500*int64(i/2))
		if n := r.used(ofAcme("a@acme.example"), "hour"); n != want {
			t.Errorf("mail %d: %d counted, want %d", i, n, want)
		}
	}
}

// What a recipient who is refused has taken of limits that only tell, or divert, or bound attempts, is nothing, and one that is asked about
// again behind a delay takes once.
func TestARefusedRecipientCountsNowhere(t *testing.T) {
	recipients := func(r *limit.Rule) { r.Measure = limit.Recipients }
	slowly := func(r *limit.Rule) { r.Per = 30 * 24 * time.Hour } // so that time gives nothing back
	told, away := rule("told", limit.PerTenant, 1000, recipients, slowly), rule("away", limit.PerTenant, 1000, recipients, slowly)
	told.Enforce, away.Action, away.Pool = false, limit.Divert, "quarantine"
	slow := rule("slow", limit.PerAccount, 360, recipients, func(r *limit.Rule) { r.Burst = 10 })
	for _, action := range []limit.Action{limit.Defer, limit.Delay} {
		slow.Action = action
		r := newRig(t, settingsWith(told, away, slow), nil)
		v, _ := r.enter("10.0.1.1", mx)
		passed := v.send("a@acme.example", many(40), nil).rcpts
		if want := 10; action == limit.Defer && passed != want || action == limit.Delay && passed <= want {
			t.Errorf("action %d: %d recipients passed", action, passed)
		}
		acme := contain.Subject{Tenant: "acme"}
		if a, b := r.used(acme, "told"), r.used(acme, "away"); a != int64(passed) || b != int64(passed) {
			t.Errorf("action %d: %d and %d counted of %d recipients that passed", action, a, b, passed)
		}
		bound := r.Gate().set.attemptsOf(slow.Limit)
		tried := r.limiter.Explain([]limit.Want{{Limit: bound, Subject: limit.Subject{Of: "a@acme.example", To: "acme"}, N: 1}})[0]
		if waited := r.Now().Sub(time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)); waited < 2*time.Second && tried.Used != int64(passed) {
			t.Errorf("action %d: %d attempts counted of %d recipients that passed", action, tried.Used, passed)
		}
		v.Close()
	}
}

// Where the bound of attempts is what refuses a recipient, it has taken nothing of the limit itself.
func TestABoundOfAttemptsTakesNothingElse(t *testing.T) {
	r := newRig(t, settingsWith(perHour(10)), nil)
	v, _ := r.enter("10.0.1.1", mx)
	defer v.Close()
	refused := 0
	for i := range 60 {
		v.ask(session.Question{Step: event.StepMail, Sender: "eve@acme.example"})
		v.Tell(session.News{Step: event.StepMail, Code: 250, SendingIP: ours})
		name := "b@example.net"
		if i >= 50 {
			name = fmt.Sprintf("other%d@example.net", i)
		}
		if d := v.ask(session.Question{Step: event.StepRecipient, Recipient: name}); d.Refuse != session.RefuseNot {
			refused++
		} else {
			v.Tell(news(event.StepRecipient, "now greylisted"))
		}
		if n := r.used(ofAcme("eve@acme.example"), "hour"); n != 1 {
			t.Fatalf("mail %d: %d counted, want 1", i, n)
		}
		v.Tell(session.News{Step: event.StepOver})
	}
	if refused != 10 {
		t.Errorf("%d refused, want 10", refused)
	}
}
