package policy

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/policy/contain"
	"kanmon/internal/session"
	"kanmon/internal/who/mailbox"
	"kanmon/test/handclock"
)

func suspicious() Settings {
	s := settingsWith()
	s.Suspicion = true
	return s
}

// post plays a mail that the MX takes, but for recipients whose local part begins with "gone". It gives what spoke against it in the end.
func (r *rig) post(source, sender string, to ...string) *event.Suspicion {
	v, _ := r.enter(source, mx)
	defer v.Close()
	s := v.ask(session.Question{Step: event.StepMail, Sender: sender}).Suspicion
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	if first := v.ask(session.Question{Step: event.StepFirst, Recipient: mailbox.Form([]byte(to[0]))}).Suspicion; first != nil {
		s = first
	}
	taken := 0
	for _, one := range to {
		v.ask(session.Question{Step: event.StepRecipient, Recipient: mailbox.Form([]byte(one))})
	}
	for _, one := range to {
		if strings.HasPrefix(one, "gone") {
			v.Tell(session.News{Step: event.StepRecipient, Code: 550, Class: event.RecipientInvalid})
			continue
		}
		taken++
		v.Tell(session.News{Step: event.StepRecipient, Code: 250})
	}
	if taken > 0 {
		v.Tell(session.News{Step: event.StepMessage, Code: 250, Octets: 2000, Recipients: taken})
	}
	return s
}

// A habit is what an account sends in an hour, and gives the highest suspicion of it.
type habit func(r *rig, now time.Time) float64

func mostOf(all ...*event.Suspicion) (most float64) {
	for _, s := range all {
		if s != nil {
			most = max(most, s.Score)
		}
	}
	return most
}

// office writes some mails in each hour of the working day, most to people it knows.
func office(sender string, random *rand.Rand) habit {
	return func(r *rig, now time.Time) (most float64) {
		if h := now.Hour(); h < 8 || h > 18 || now.Weekday() == time.Saturday || now.Weekday() == time.Sunday {
			return 0
		}
		for range 1 + random.IntN(4) {
			to := fmt.Sprintf("p%d@firm%d.example", random.IntN(60), random.IntN(20))
			if random.IntN(10) == 0 {
				to = fmt.Sprintf("new%d@firm%d.example", random.IntN(1_000_000), random.IntN(1000))
			}
			if random.IntN(100) == 0 {
				to = "gone" + to
			}
			most = max(most, mostOf(r.post("10.0.1.1", sender, to)))
		}
		return most
	}
}

// newsletter writes to its subscribers on Tuesdays at nine, unmarked: one mail each, 2 % of them gone and 2 % new each week.
func newsletter(sender string, subscribers int) habit {
	week := 0
	return func(r *rig, now time.Time) (most float64) {
		if now.Weekday() != time.Tuesday || now.Hour() != 9 {
			return 0
		}
		week++
		for i := range subscribers {
			who := i + week*subscribers/50
			name := fmt.Sprintf("s%d@mail%d.example", who, who%40)
			if i%50 == 0 {
				name = "gone" + name
			}
			most = max(most, mostOf(r.post("10.0.1.1", sender, name)))
		}
		return most
	}
}

// robot sends order mails day and night, each to a customer that it has never written to.
func robot(sender string, random *rand.Rand) habit {
	return func(r *rig, _ time.Time) (most float64) {
		for range 20 + random.IntN(20) {
			to := fmt.Sprintf("c%d@mail%d.example", random.IntN(1_000_000_000), random.IntN(50))
			most = max(most, mostOf(r.post("10.0.1.1", sender, to)))
		}
		return most
	}
}

// live has some accounts live for so many days, and gives the highest suspicion of each of them behind the first ones.
func (r *rig) live(days, first int, all map[string]habit) map[string]float64 {
	most := map[string]float64{}
	for hour := range 24 * days {
		for name, of := range all {
			if s := of(r, r.Now()); hour >= 24*first {
				most[name] = max(most[name], s)
			}
		}
		r.Pass(time.Hour)
		r.detector.Tick()
	}
	return most
}

// Those who do as ever are not suspected; a stolen account is looked at closely within a few mails, and its neighbours are not.
func TestWhoIsSuspected(t *testing.T) {
	r := newRigAt(t, suspicious(), nil, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	random := rand.New(rand.NewPCG(7, 8))
	all := map[string]habit{
		"office": office("a@acme.example", random), "another office": office("b@acme.example", random), "robot": robot("shop@acme.example", random),
		"newsletter": newsletter("news@acme.example", 300),
	}
	most := r.live(35, 21, all)
	for name, score := range most {
		t.Logf("as ever, the highest of two weeks: %-15s %.3f", name, score)
		if score >= 0.3 {
			t.Errorf("%s is suspected: %.3f", name, score)
		}
	}
	r.Pass(3 * time.Hour) // a Monday, at three
	r.stolen(t, "a@acme.example", 25)
	if s := r.post("10.0.1.1", "b@acme.example", "p1@firm1.example"); s.Score >= 0.3 {
		t.Errorf("its neighbour: %s", s.Says())
	}
}

// stolen sends to bought addresses, a tenth of which are gone, one in each mail, and wants the account suspected within so many mails.
func (r *rig) stolen(t *testing.T, sender string, within int) {
	t.Helper()
	at := 0
	for i := range 400 {
		to := fmt.Sprintf("x%d@bought%d.example", i, i%150)
		if i%10 == 3 {
			to = "gone" + to
		}
		s := r.post("10.0.1.1", sender, to)
		if s.Score >= 0.3 && at == 0 {
			at = i + 1
			t.Logf("stolen, behind %d mails: %s", at, s.Says())
		}
		if i == 49 || i == 199 || i == 399 {
			t.Logf("stolen, mail %d: %s", i+1, s.Says())
		}
		r.Pass(2 * time.Second)
	}
	if at == 0 || at > within {
		t.Errorf("suspected behind %d mails, want %d at most", at, within)
	}
}

// What scanners say of an account makes its next mail suspect, and no other account's.
func TestScoresAreHeard(t *testing.T) {
	r := newRig(t, suspicious(), nil)
	for range 6 {
		r.Scored("acme", "a@acme.example", 1)
	}
	if s := r.post("10.0.1.1", "a@acme.example", "r@x.example"); s.Score < 0.7 {
		t.Errorf("behind six: %s", s.Says())
	}
	if s := r.post("10.0.1.1", "b@acme.example", "r@x.example"); s.Score > 0 {
		t.Errorf("another one: %s", s.Says())
	}
	if s := r.Suspicion(contain.Subject{Tenant: "acme", Account: "a@acme.example"}); s.Score < 0.7 {
		t.Errorf("as it is shown: %s", s.Says())
	}
}

// The first recipient can make a mail more suspect than its MAIL was, and never less.
func TestFirstRecipientRaises(t *testing.T) {
	r := newRig(t, suspicious(), nil)
	v, _ := r.enter("10.0.1.1", mx)
	before := v.ask(session.Question{Step: event.StepMail, Sender: "a@acme.example"}).Suspicion
	v.Tell(session.News{Step: event.StepMail, Code: 250})
	for range 30 { // another session's recipients meanwhile
		r.post("10.0.1.1", "a@acme.example", "gone@x.example")
	}
	raised := v.ask(session.Question{Step: event.StepFirst, Recipient: "r@x.example"}).Suspicion
	if before.Score != 0 || raised.Score < 0.3 {
		t.Errorf("%s, then %s", before.Says(), raised.Says())
	}
	for range 300 {
		r.post("10.0.1.1", "a@acme.example", "r@x.example")
	}
	if again := v.ask(session.Question{Step: event.StepFirst, Recipient: "r@x.example"}).Suspicion; again.Score < raised.Score {
		t.Errorf("it has become less: %s", again.Says())
	}
	v.Close()
}

// Containment is a part of it as far as it goes, enforced or not, unless a person has exempted the sender.
func TestContainmentIsAPart(t *testing.T) {
	r := newRig(t, suspicious(), nil)
	const sender = "a@acme.example"
	for range 400 {
		r.post("10.0.1.1", sender, "gone@x.example")
		r.Pass(time.Second)
	}
	level := r.Explain(contain.Subject{Tenant: "acme", Account: sender}).Level
	s := r.Suspicion(contain.Subject{Tenant: "acme", Account: sender})
	if level < contain.Slow || len(s.Parts) == 0 || s.Parts[0].Ground != event.GroundContained && s.Parts[0].Ground != event.GroundUnknown {
		t.Fatalf("at %s: %s", level, s.Says())
	}
	if err := r.Exempt(contain.Subject{Tenant: "acme", Account: sender}, time.Time{}, "test", "it is known"); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Suspicion(contain.Subject{Tenant: "acme", Account: sender}).Parts {
		if p.Ground == event.GroundContained {
			t.Errorf("of who is exempt: %g", p.P)
		}
	}
}

// Over a restart age, habits and scores of an account stay, and nobody becomes suspect by one.
func TestSuspicionOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "senders.db")
	open := func(at time.Time) *rig {
		store, err := OpenStore(path)
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, Clock: handclock.At(at)}
		if r.Policy, err = New(Options{Settings: suspicious(), Clock: r.Now, Store: store}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	random := rand.New(rand.NewPCG(9, 10))
	r.live(30, 0, map[string]habit{"office": office("a@acme.example", random)})
	for range 6 {
		r.Scored("acme", "a@acme.example", 1)
	}
	r.post("10.0.1.1", "a@acme.example", "p1@firm1.example")
	now := r.Now()
	subject := contain.Subject{Tenant: "acme", Account: "a@acme.example"}
	before := r.Suspicion(subject)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(now.Add(time.Minute))
	after := next.Suspicion(subject)
	if before.Score < 0.7 || after.Score < before.Score-0.02 || after.Score > before.Score {
		t.Errorf("%s\nbehind the restart %s", before.Says(), after.Says())
	}
	defer next.Close()
	if b := next.detector.Bearing("acme", "a@acme.example"); b.Age < 29*24*time.Hour {
		t.Errorf("the account has become %s old", b.Age)
	}
}

// Where nobody wants to know, nothing is said and nothing is kept, also not by a reload.
func TestSuspicionIsOff(t *testing.T) {
	r := newRig(t, settingsWith(), nil)
	r.Scored("acme", "a@acme.example", 1)
	if s := r.post("10.0.1.1", "a@acme.example", "r@x.example"); s != nil || r.suspects.Load() != nil || r.Suspicion(contain.Subject{Tenant: "acme", Account: "a@acme.example"}) != nil {
		t.Errorf("%+v", s)
	}
	if err := r.Configure(suspicious()); err != nil {
		t.Fatal(err)
	}
	if s := r.post("10.0.1.1", "a@acme.example", "r@x.example"); s == nil {
		t.Error("switched on, nothing is said")
	}
	if err := r.Configure(settingsWith()); err != nil {
		t.Fatal(err)
	}
	if r.suspects.Load() != nil {
		t.Error("switched off, what was known is kept")
	}
}
