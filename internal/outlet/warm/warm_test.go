package warm

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

var ip = netip.MustParseAddr("203.0.113.30")

// A rig is a book with one warming IP, whose time a test sets.
type rig struct {
	*Book
	t      *testing.T
	now    time.Time
	shares map[netip.Addr]float64
}

var first = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)

func plan() *Plan {
	return &Plan{Name: "test", Steps: []Step{{0.01, 30, 60}, {0.05, 60, 120}, {0.2, 120, 240}}}
}

func newRig(t *testing.T, store Store) *rig {
	t.Helper()
	r := &rig{t: t, now: first}
	r.open(store)
	return r
}

// open begins anew, as a process does.
func (r *rig) open(store Store) {
	r.t.Helper()
	b, err := New(Options{
		Store: store, Clock: func() time.Time { return r.now }, Shares: func(s map[netip.Addr]float64) { r.shares = s },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Book = b
	r.t.Cleanup(func() {
		if err := b.Close(); err != nil {
			r.t.Error(err)
		}
	})
	b.Configure([]Member{{IP: ip, Start: DayOf(first), Plan: plan()}})
}

// day lets mail leave and goes to the next day: so many accepted and refused of each class.
func (r *rig) day(class string, accepted, refused int) {
	r.t.Helper()
	for i := range accepted + refused {
		ticket, _, ok := r.Take(ip, class, false)
		switch {
		case !ok:
			r.t.Fatalf("mail %d of %d to %q has no room", i+1, accepted+refused, class)
		case i < accepted:
			ticket.Accepted()
		default:
			ticket.Refused(Voice{})
		}
	}
	r.next(1)
}

func (r *rig) next(days int) {
	r.now = r.now.AddDate(0, 0, days)
	r.Tick()
}

func (r *rig) is(step int, share float64) {
	r.t.Helper()
	e, _ := r.Get(ip)
	if e.Step != step || e.share(e.Plan) != share || e.Done {
		r.t.Fatalf("step %d, share %v, done %v; want step %d, share %v", e.Step, e.share(e.Plan), e.Done, step, share)
	}
	if r.shares[ip] != share {
		r.t.Fatalf("told share %v, want %v", r.shares[ip], share)
	}
}

func TestADayThatWentWellLeadsToTheNextStepAndTheLastToTheEnd(t *testing.T) {
	r := newRig(t, nil)
	r.is(1, 0.01)
	r.day("google", 20, 0)
	r.is(2, 0.05)
	r.day("google", 28, 2)
	r.is(3, 0.2)
	r.day(Others, 100, 0)
	e, _ := r.Get(ip)
	if !e.Done || r.shares != nil || r.Room(ip, "google") != Free {
		t.Fatalf("after the last step: %+v, shares %v", e, r.shares)
	}
}

func TestAStepIsRepeatedWhereTheGateIsShut(t *testing.T) {
	for name, c := range map[string]struct {
		accepted, refused int
		finding           bool
		share             float64
		why               string
	}{
		"too few mails: the share grows": {19, 0, false, 0.02, "19 mails in the step"},
		"too few accepted":               {17, 3, false, 0.01, "17 of 20 mails were accepted"},
		"a finding about the IP":         {25, 0, true, 0.01, "listed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			if c.finding {
				r.Found(ip, "google", Voice{}, true, "listed")
			}
			r.day("google", c.accepted, c.refused)
			r.is(1, c.share)
			if e, _ := r.Get(ip); !strings.Contains(e.Why, c.why) || e.Repeats != 1 {
				t.Errorf("why %q, repeats %d", e.Why, e.Repeats)
			}
		})
	}
}

func TestMailsOfSeveralDaysMakeAStepWhereThereAreFew(t *testing.T) {
	r := newRig(t, nil)
	r.day("google", 8, 0)
	r.day("google", 8, 0)
	r.is(1, 0.04)
	r.day("google", 8, 0)
	r.is(2, 0.2) // still four times the plan's
}

func TestAFindingAtOneProviderHoldsThatOneAlone(t *testing.T) {
	r := newRig(t, nil)
	r.Found(ip, "yahoo", Voice{}, false, "slowed")
	r.day("google", 25, 0)
	r.is(2, 0.05)
	for _, c := range []struct {
		class  string
		amount int
	}{{"google", 60}, {"yahoo", 30}, {Others, 120}} {
		if got := r.fill(c.class); got != c.amount {
			t.Errorf("%q takes %d mails, want %d", c.class, got, c.amount)
		}
	}
	r.next(1)
	e, _ := r.Get(ip)
	if e.Step != 3 || e.Classes["yahoo"].Behind != 1 {
		t.Fatalf("step %d, yahoo %+v", e.Step, e.Classes["yahoo"])
	}
	r.day("google", 25, 0)
	if e, _ = r.Get(ip); e.Done || r.shares != nil {
		t.Fatalf("done with yahoo a step behind: %+v, shares %v", e, r.shares)
	}
	if got := r.Room(ip, "google"); got != Free {
		t.Errorf("google has %v, and is through", got)
	}
	r.day("yahoo", 25, 0) // its last step, which is over all the same
	if e, _ = r.Get(ip); !e.Done {
		t.Fatalf("not done: %+v", e)
	}
}

// fill takes all that there is, and gives it its tickets' ends as accepted.
func (r *rig) fill(class string) (taken int) {
	for {
		ticket, _, ok := r.Take(ip, class, false)
		if !ok {
			return taken
		}
		ticket.Accepted()
		taken++
	}
}

func TestTheAmountIsExactAndWhatIsGivenBackCanBeTakenAgain(t *testing.T) {
	r := newRig(t, nil)
	var last Ticket
	for range 30 {
		last, _, _ = r.Take(ip, "google", false)
	}
	if room := r.Room(ip, "google"); room != Full {
		t.Fatalf("room %v behind the amount", room)
	}
	if _, _, ok := r.Take(ip, "google", false); ok {
		t.Fatal("taken beyond the amount")
	}
	last.Back()
	if _, _, ok := r.Take(ip, "google", false); !ok {
		t.Fatal("what was given back cannot be taken")
	}
	if _, room, ok := r.Take(ip, "google", true); !ok || room != Full {
		t.Fatalf("over the amount: %v, %v", room, ok)
	}
	e, _ := r.Get(ip)
	if c := e.Classes["google"]; c.Taken != 31 || c.Over != 1 || c.Tried != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestAnIPThatWasIdleForThirtyDaysWarmsAgain(t *testing.T) {
	r := newRig(t, nil)
	if err := r.GoTo(ip, 99, "asked"); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := r.Take(ip, "google", false); !ok {
		t.Fatal("a warm IP takes no mail")
	}
	r.next(29)
	if e, _ := r.Get(ip); !e.Done {
		t.Fatal("warms again after 29 days")
	}
	r.next(1)
	r.is(1, 0.01)
}

func TestALostStateIsNoIdleness(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		days, step int
		done       bool
	}{{1, 2, false}, {2, 3, false}, {3, 4, true}, {300, 301, true}} {
		r.now = first.AddDate(0, 0, c.days)
		r.open(nil)
		r.Tick()
		if e, _ := r.Get(ip); e.Step != c.step || e.Done != c.done {
			t.Errorf("%d days behind the start, nothing known: step %d, done %v", c.days, e.Step, e.Done)
		}
	}
}

func TestAnIPBeforeItsFirstDayHasNoRoom(t *testing.T) {
	r := newRig(t, nil)
	r.Configure([]Member{{IP: ip, Start: DayOf(first) + 2, Plan: plan()}})
	r.is(0, 0)
	if room := r.Room(ip, "google"); room != Early {
		t.Fatalf("room %v", room)
	}
	r.next(2)
	r.is(1, 0.01)
}

func TestAnotherStartBeginsAnewAndTheSameGoesOn(t *testing.T) {
	r := newRig(t, nil)
	r.day("google", 25, 0)
	r.Configure(nil)
	if r.Room(ip, "google") != Free {
		t.Fatal("without a plan it has no limit")
	}
	r.Configure([]Member{{IP: ip, Start: DayOf(first), Plan: plan()}})
	r.is(2, 0.05)
	r.next(40)
	r.is(2, 0.1) // nobody knows whether it was idle, and it had no mail
	r.Configure([]Member{{IP: ip, Start: DayOf(r.now), Plan: plan()}})
	r.is(1, 0.01)
}

func TestAClockThatIsSetBackGivesNoAmountTwiceAndStopsNothing(t *testing.T) {
	r := newRig(t, nil)
	r.next(400)
	r.fill("google")
	r.next(-400)
	if got := r.fill("google"); got != 0 {
		t.Fatalf("%d mails more on a day that comes again", got)
	}
	r.next(1)
	if e, _ := r.Get(ip); e.Day != DayOf(r.now) || r.Room(ip, "google") != Some {
		t.Fatalf("the next day: %+v", e.State)
	}
}

func TestAMailAcrossMidnightCountsForTheDayThatItEndsOn(t *testing.T) {
	r := newRig(t, nil)
	ticket, _, _ := r.Take(ip, "google", false)
	r.next(1)
	ticket.Back()
	if e, _ := r.Get(ip); e.Classes["google"].Taken != 0 {
		t.Fatalf("taken %d on a new day", e.Classes["google"].Taken)
	}
	ticket.Accepted()
	if e, _ := r.Get(ip); e.Classes["google"].Accepted != 1 {
		t.Fatal("not counted")
	}
}

func TestAnIPWithoutAPlanCostsNothing(t *testing.T) {
	r := newRig(t, nil)
	other := netip.MustParseAddr("203.0.113.31")
	if n := testing.AllocsPerRun(100, func() {
		if ticket, _, ok := r.Take(other, "google", false); ok {
			ticket.Accepted()
		}
		r.Room(other, "google")
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if _, found := r.Get(other); found {
		t.Error("it is kept")
	}
}

func TestAPlanThatHasBecomeShorterThanTheStepIsOver(t *testing.T) {
	r := newRig(t, nil)
	r.day("google", 25, 0)
	r.Found(ip, "yahoo", Voice{}, false, "slowed")
	r.day("google", 25, 0)
	r.is(3, 0.2)
	shorter := func(steps int) {
		p := plan()
		p.Steps = p.Steps[:steps]
		r.Configure([]Member{{IP: ip, Start: DayOf(first), Plan: p}})
	}
	shorter(2)
	if e, _ := r.Get(ip); e.Done || r.Room(ip, "google") != Free || r.Room(ip, "yahoo") != Some || r.shares != nil {
		t.Fatalf("yahoo is a step behind, and has one left: %+v, shares %v", e.State, r.shares)
	}
	shorter(1)
	if e, _ := r.Get(ip); !e.Done || r.Room(ip, "yahoo") != Free {
		t.Fatalf("no class has a step left: %+v", e.State)
	}
	shorter(3)
	if e, _ := r.Get(ip); !e.Done {
		t.Fatalf("it was warm: %+v", e.State)
	}
}

func TestAClockThatWasWrongAtBootIsNoIdleness(t *testing.T) {
	r := newRig(t, nil)
	r.day("google", 25, 0)
	r.day(Others, 25, 0)
	before, right := 3, r.now
	r.now = time.Date(1980, 1, 1, 0, 0, 7, 0, time.UTC)
	r.Tick()
	r.Take(ip, "google", true) // mail leaves at once
	r.now = right
	r.Tick()
	if e, _ := r.Get(ip); e.Step != before {
		t.Fatalf("at step %d, want %d", e.Step, before)
	}
	r.now = right
	if ticket, _, ok := r.Take(ip, "google", false); ok {
		ticket.Accepted()
	}
	r.next(29)
	if e, _ := r.Get(ip); e.Step != before {
		t.Fatalf("29 days behind the last mail at step %d, want %d", e.Step, before)
	}
}
