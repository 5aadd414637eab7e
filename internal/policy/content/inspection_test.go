package content

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/internal/event"
	"kanmon/internal/policy/inspect"
	"kanmon/internal/session"
)

var theMX = netip.MustParseAddr("192.0.2.25")

// A rig has scanners that say what the test lets them say.
type rig struct {
	*Judge
	budget *inspect.Budget
	says   func(ctx context.Context, m *inspect.Mail) []event.Scan

	unlisted int // recipients of messages of which nothing is known any more

	mu    sync.Mutex
	heard []*Outcome
	asked []inspect.Mail
}

func newRig(t testing.TB, s *Settings) *rig {
	r := &rig{budget: inspect.NewBudget(4 << 20), says: func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("no action", 1)} }}
	r.Judge = New(Options{Settings: *s, Scanners: r, Budget: r.budget, Memory: NewMemory(), Heard: func(o *Outcome) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.heard = append(r.heard, o)
	}})
	t.Cleanup(func() {
		r.Close()
		if octets, _, waiting := r.budget.Taken(); octets+int64(waiting) != 0 {
			t.Errorf("%d octets and %d who wait are left", octets, waiting)
		}
	})
	return r
}

func (r *rig) Inspect(ctx context.Context, m inspect.Mail) []event.Scan {
	r.mu.Lock()
	r.asked = append(r.asked, m)
	says := r.says
	r.mu.Unlock()
	return says(ctx, &m)
}

func (r *rig) Forget(string, string) {}

func (r *rig) outcomes() []*Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// play has a message judged as a session does, and gives what came of it. Where its end is not reached the opinion is nil.
func (r *rig) play(m Mail, text string) (start session.Start, o *session.Opinion) {
	i := r.Begin(m, theMX)
	if i == nil {
		return session.Start{}, nil
	}
	if ready := i.Room(1, 0); ready != nil {
		<-ready
	}
	start = i.Start()
	if start.Refuse != session.RefuseNot || start.Lane == event.LaneOff {
		i.Close(session.Came{})
		return start, nil
	}
	if !i.Grow(len(text)) {
		start = i.Full()
		i.Close(session.Came{})
		return start, nil
	}
	whole := message(text)
	if whole.Unlisted = r.unlisted; r.unlisted > 0 {
		whole.Recipients = nil
	}
	i.Judge(whole)
	if start.Lane == event.LaneBehind {
		i.Close(session.Came{Done: event.HandleAccept, Code: 250})
		<-i.Done()
		return start, nil
	}
	<-i.Done()
	said := i.Verdict()
	i.Close(session.Came{Done: said.Handle})
	return start, &said
}

func message(text string) session.Message {
	return session.Message{
		Session: 7, Number: 1, Sender: "bob@acme.example", Recipients: []string{"eve@example.net"}, Octets: int64(len(text)),
		Open: func() io.Reader { return strings.NewReader(text) },
	}
}

func TestAHeldMessageIsJudged(t *testing.T) {
	r := newRig(t, settings(func(s *Settings) { s.Tenants["acme"].Fields = []byte("Feedback-ID: acme\r\n") }))
	doubtful := Mail{Tenant: "acme", Account: "bob@acme.example", Suspicion: 0.5}
	start, o := r.play(doubtful, "Subject: x\r\n\r\nhello\r\n")
	if start.Lane != event.LaneHold || start.Dot != 2*time.Minute || o.Handle != event.HandleAccept || string(o.Fields) != "Feedback-ID: acme\r\n" {
		t.Errorf("%+v, %+v", start, o)
	}
	if m := r.asked[0]; m.Tenant != "acme" || m.Account != "bob@acme.example" || m.Octets != 21 || m.Sender != "bob@acme.example" {
		t.Errorf("asked about %+v", m)
	}
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("reject", 20)} }
	_, o = r.play(doubtful, "x")
	text := o.Say.String()
	if o.Handle != event.HandleRefuse || !strings.HasPrefix(text, "this message was judged to be spam; reference "+o.Told.Reference+"") || o.Told.Done != event.HandleRefuse {
		t.Errorf("%q, %+v", text, o.Told)
	}
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("add header", 7)} }
	if _, o = r.play(doubtful, "x"); o.Handle != event.HandleDivert || o.Pool != "risk" {
		t.Errorf("%+v", o)
	}
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{virus} }
	if _, o = r.play(doubtful, "x"); !strings.HasPrefix(o.Say.String(), "this message contains Test.EICAR; reference ") {
		t.Errorf("%q", o.Say)
	}
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{silent(event.LackUnfit)} }
	if _, o = r.play(doubtful, "x"); o.Handle != event.HandleDefer || o.Say.Code() != 451 {
		t.Errorf("%+v", o)
	}
	all := r.outcomes()
	if len(all) != 4 || all[0].P >= Doubtful || all[1].P != 1 || all[2].P < markedAt || !all[3].Virus || all[0].Content != nil {
		t.Errorf("heard of %d", len(all))
	}
}

// Of whom nobody knows all recipients no scanner is asked, and that is no way around them.
func TestAMessageWhoseRecipientsAreNotKnownWaits(t *testing.T) {
	r := newRig(t, settings(func(s *Settings) {
		for _, one := range s.Scanners {
			one.Lacks = Lacks{Unavailable: AcceptAll, TooLarge: AcceptAll, Busy: AcceptAll}
		}
	}))
	r.unlisted = 900
	if _, o := r.play(Mail{Tenant: "acme", Account: "bob", Suspicion: 0.5}, "x"); o.Handle != event.HandleDefer || len(o.Told.Scans) != 2 || o.Told.Scans[0].Lack != event.LackUnfit {
		t.Errorf("%+v", o)
	}
	if len(r.asked) != 0 {
		t.Error("a scanner is asked about another envelope")
	}
	if r.play(Mail{Tenant: "all", Account: "bob"}, "x"); len(r.asked) != 1 {
		t.Error("behind the reply nothing is gained by not asking")
	}
}

func TestBehindNobodyWaitsAndTheNextMailFeelsIt(t *testing.T) {
	r := newRig(t, settings())
	hold := make(chan struct{})
	r.says = func(context.Context, *inspect.Mail) []event.Scan {
		<-hold
		return []event.Scan{spoke("reject", 20)}
	}
	i := r.Begin(Mail{Tenant: "all", Account: "bob"}, theMX)
	if i.Room(1, 0) != nil || i.Start().Lane != event.LaneBehind || !i.Grow(100) {
		t.Fatal("it waits")
	}
	i.Judge(message("x"))
	i.Close(session.Came{Done: event.HandleAccept, Code: 250}) // nothing of it is given up
	if octets, _, _ := r.budget.Taken(); octets == 0 {
		t.Error("its room is given back while it is scanned")
	}
	close(hold)
	<-i.Done()
	r.Close()
	o := r.outcomes()[0]
	if o.Content == nil || o.Content.Verdict != event.HandleRefuse || o.Content.Done != event.HandleAccept || o.P != 1 || o.Content.Reference == "" {
		t.Errorf("%+v", o)
	}
}

func TestWithoutRoom(t *testing.T) {
	r := newRig(t, settings())
	full := r.budget.Ask("acme", 1<<20) // the tenant's part
	if !full.Granted() {
		t.Fatal("no room for the test")
	}
	defer full.Give()
	ordinary := r.Begin(Mail{Tenant: "acme", Account: "bob", Number: sampledNumber(r.o.Memory, "acme", "bob")}, theMX)
	if ready := ordinary.Room(1, 0); ready != nil {
		t.Error("an ordinary mail waits for room")
	}
	if s := ordinary.Start(); s.Lane != event.LaneOff || s.Refuse != session.RefuseNot || s.Told.Scans[0].Lack != event.LackBusy || s.Told.Wanted != event.LaneBehind {
		t.Errorf("ordinary: %+v %+v", s, s.Told)
	}
	ordinary.Close(session.Came{})
	start, _ := r.play(Mail{Tenant: "acme", Account: "bob", Suspicion: 0.4}, "x") // for five seconds
	if start.Refuse != session.RefuseNow || !strings.HasPrefix(start.Say.String(), "too many messages") || start.Told.Scans[0].State != event.ScanSkipped {
		t.Errorf("doubtful: %+v", start)
	}
}

func sampledNumber(m *Memory, tenant, account string) uint64 {
	for n := uint64(0); ; n++ {
		if m.sampled(&Mail{Tenant: tenant, Account: account, Number: n}, 10) {
			return n
		}
	}
}

func TestTooLarge(t *testing.T) {
	r := newRig(t, settings(func(s *Settings) {
		s.Hold = 128 << 10
		s.Scanners["rspamd"].Largest, s.Scanners["clamd"].Largest = 256<<10, 512<<10
	}))
	start, _ := r.play(Mail{Tenant: "acme", Account: "bob", Suspicion: 0.4, Size: 1 << 20}, "x")
	if start.Refuse != session.RefuseNow || start.Say.Code() != 451 || start.Told.Scans[1].Lack != event.LackTooLarge {
		t.Errorf("announced: %+v", start)
	}
	long := strings.Repeat("x", 200<<10)
	tooLong := strings.Repeat("x", 600<<10)
	if start, _ = r.play(Mail{Tenant: "acme", Account: "bob", New: true, Size: 1 << 20}, tooLong); start.Refuse != session.RefuseNot || start.Lane != event.LaneOff {
		t.Errorf("announced, of the known: %+v", start)
	}
	if len(r.asked) != 0 {
		t.Errorf("asked about %d", len(r.asked))
	}
	if start, _ = r.play(Mail{Tenant: "acme", Account: "bob", Suspicion: 0.4}, long); start.Refuse != session.RefuseNow {
		t.Errorf("not announced: %+v", start)
	}
	if start, o := r.play(Mail{Tenant: "acme", Account: "bob", Suspicion: 0.4}, long); start.Lane != event.LaneTee || o == nil {
		t.Errorf("its next try: %+v", start) // is not held
	}
}

// A sender who announces more than any scanner takes, and sends little, is judged like one who does not.
func TestAnAnnouncedSizeIsNoWayAround(t *testing.T) {
	r := newRig(t, settings())
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("reject", 20)} }
	for name, m := range map[string]Mail{
		"of the known": {Tenant: "all", Account: "bob", Size: 1 << 30},
		"of the new":   {Tenant: "all", Account: "bob", Size: 1 << 30, New: true},
	} {
		start, o := r.play(m, "x")
		if start.Lane == event.LaneOff || m.New && (o == nil || o.Handle != event.HandleRefuse) {
			t.Errorf("%s: %+v, %+v", name, start, o)
		}
	}
	if len(r.asked) != 2 {
		t.Errorf("asked about %d, want 2", len(r.asked))
	}
}

// What one tenant's messages have come to moves no other tenant's out of a hold.
func TestOnesTenantsLongMessagesAreNoOthers(t *testing.T) {
	r := newRig(t, settings(func(s *Settings) { s.Hold = 64 << 10 }))
	r.play(Mail{Tenant: "acme", Account: "bob", New: true}, strings.Repeat("x", 100<<10))
	if start, _ := r.play(Mail{Tenant: "all", Account: "eve", New: true}, "x"); start.Lane != event.LaneHold {
		t.Errorf("another tenant's mail: %+v", start)
	}
	if start, _ := r.play(Mail{Tenant: "acme", Account: "bob", New: true}, "x"); start.Lane != event.LaneTee {
		t.Errorf("its own: %+v", start)
	}
}

func TestADivertedTeeStaysWhereItIs(t *testing.T) {
	r := newRig(t, settings())
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("add header", 7)} }
	start, o := r.play(Mail{Tenant: "acme", Account: "bob", New: true, Replied: 11 * time.Second}, "x")
	if start.Lane != event.LaneTee || o.Handle != event.HandleAccept || o.Told.Verdict != event.HandleDivert || o.Told.Done != event.HandleAccept || o.Fields != nil ||
		!strings.HasSuffix(o.Told.Why, "; not diverted: its MX has the beginning already") {
		t.Errorf("%+v, %+v", start, o)
	}
}

func TestAnMSAThatGoesGivesTheScanUp(t *testing.T) {
	r := newRig(t, settings())
	ended := make(chan error, 1)
	r.says = func(ctx context.Context, _ *inspect.Mail) []event.Scan {
		<-ctx.Done()
		ended <- ctx.Err()
		return []event.Scan{silent(event.LackUnavailable)}
	}
	i := r.Begin(Mail{Tenant: "acme", Account: "bob", New: true}, theMX)
	i.Room(1, 0)
	i.Start()
	i.Grow(100)
	i.Judge(message("x"))
	i.Close(session.Came{})
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhoeverIsAllowedIsNotRefused(t *testing.T) {
	r := newRig(t, settings())
	r.says = func(context.Context, *inspect.Mail) []event.Scan { return []event.Scan{spoke("reject", 20)} }
	i := r.Begin(Mail{Tenant: "acme", Account: "bob", New: true}, theMX)
	i.Named(Mail{Tenant: "acme", Account: "carol", Allowed: true})
	i.Room(1, 0)
	i.Start()
	i.Judge(message("x"))
	<-i.Done()
	o := i.Verdict()
	i.Close(session.Came{})
	if o.Handle != event.HandleAccept || !strings.HasSuffix(o.Told.Why, "allowed by hand") || r.asked[0].Account != "carol" || !r.outcomes()[0].Allowed {
		t.Errorf("%+v", o.Told)
	}
}

// A virus stays one, and what cannot be put to a scanner stays unseen, also where another scanner's word alone is the stricter one.
func TestWhoeverIsAllowedIsNotLetAVirusPass(t *testing.T) {
	unfit := event.Scan{Scanner: "clamd", State: event.ScanFailed, Lack: event.LackUnfit, Why: "why"}
	for _, c := range []struct {
		say  []event.Scan
		want event.Handling
		rule string
	}{
		{[]event.Scan{spoke("reject", 20), virus}, event.HandleRefuse, "on_virus"},
		{[]event.Scan{virus, spoke("reject", 20)}, event.HandleRefuse, "on_virus"},
		{[]event.Scan{spoke("reject", 20), unfit}, event.HandleDefer, "unfit"},
		{[]event.Scan{spoke("reject", 20), silent(event.LackUnavailable)}, event.HandleAccept, "on_reject"},
	} {
		r := newRig(t, settings())
		r.says = func(context.Context, *inspect.Mail) []event.Scan { return c.say }
		i := r.Begin(Mail{Tenant: "acme", Account: "bob", New: true}, theMX)
		i.Named(Mail{Tenant: "acme", Account: "carol", Allowed: true})
		i.Room(1, 0)
		i.Start()
		i.Judge(message("x"))
		<-i.Done()
		o := i.Verdict()
		i.Close(session.Came{})
		if o.Handle != c.want || o.Told.Rule != c.rule {
			t.Errorf("%+v: %v by %q", c.say, o.Handle, o.Told.Rule)
		}
	}
}

// law: I25
func TestAllRoomIsGivenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings(func(s *Settings) { s.Enforce = rapid.Bool().Draw(t, "enforce") })
		budget := inspect.NewBudget(1 << 20)
		r := &rig{budget: budget}
		r.says = func(ctx context.Context, _ *inspect.Mail) []event.Scan {
			if ctx.Err() != nil {
				return []event.Scan{silent(event.LackUnavailable)}
			}
			return []event.Scan{spoke("no action", 0)}
		}
		r.Judge = New(Options{Settings: *s, Scanners: r, Budget: budget, Memory: NewMemory()})
		var open []session.Inspection
		for range rapid.IntRange(1, 8).Draw(t, "mails") {
			i := r.Begin(Mail{Tenant: "all", Account: "bob", New: rapid.Bool().Draw(t, "new"), Size: rapid.Int64Range(0, 60_000).Draw(t, "size")}, theMX)
			open = append(open, i)
			if rapid.Bool().Draw(t, "given up at once") {
				continue
			}
			if i.Room(1, 0) != nil {
				continue // it would wait
			}
			if start := i.Start(); start.Refuse != session.RefuseNot || start.Lane == event.LaneOff {
				continue
			}
			for range rapid.IntRange(0, 4).Draw(t, "pieces") {
				if !i.Grow(rapid.IntRange(1, 40_000).Draw(t, "octets")) {
					i.Full()
					break
				}
			}
			if rapid.Bool().Draw(t, "whole") {
				i.Judge(message("x"))
				if rapid.Bool().Draw(t, "waited for") {
					<-i.Done()
					i.Verdict()
				}
			}
		}
		for _, i := range open {
			i.Close(session.Came{})
		}
		r.Close()
		if octets, tenants, waiting := budget.Taken(); octets+int64(tenants)+int64(waiting) != 0 {
			t.Fatalf("%d octets of %d tenants, and %d who wait, are left", octets, tenants, waiting)
		}
	})
}
