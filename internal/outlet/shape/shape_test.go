package shape

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

var ip, other = netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")

// A clock is turned by hand.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func newMemory() (*Memory, *clock) {
	c := &clock{time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	return New(Options{Clock: c.read}), c
}

func takes(t testing.TB, limits ...Limit) *Takes {
	t.Helper()
	for i := range limits {
		limits[i].Keep = true
	}
	all, err := Compile("orange", limits, false)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// connect is Connect that must find room.
func connect(t testing.TB, m *Memory, of *Takes, from netip.Addr) *Lane {
	t.Helper()
	l, full := m.Connect(of, from, "", true, false)
	if full.Is() {
		t.Fatalf("no room: %s", &full)
	}
	return l
}

func wantFull(t testing.TB, full Full, count Count) {
	t.Helper()
	if full.Count != count {
		t.Errorf("full of %q (%s), want %q", full.Count, &full, count)
	}
}

func TestConnectionsAtOnceAreThoseThatAreNotOver(t *testing.T) {
	m, _ := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 2})
	a := connect(t, m, of, ip)
	connect(t, m, of, ip)
	_, full := m.Connect(of, ip, "", true, false)
	wantFull(t, full, Connections)
	if !full.Guess || full.Used != 2 || full.Max != 2 || full.String() != "2 of 2 connections at once" {
		t.Errorf("%+v: %s", full, &full)
	}
	connect(t, m, of, other) // each sending IP has its own
	a.Close()
	connect(t, m, of, ip)
	a.Close() // twice is once
	_, full = m.Connect(of, ip, "", true, false)
	wantFull(t, full, Connections)
}

func TestAConnectionInPlaceOfAnotherHasItsPlace(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 1}, Limit{Count: NewConnections, Amount: 8, Per: time.Minute}, Limit{Count: MessagesPerConnection, Amount: 2})
	l := connect(t, m, of, ip)
	wantFull(t, l.Mail(false), None)
	wantFull(t, l.Mail(false), MessagesPerConnection)
	wantFull(t, l.Again(true), None)
	if _, full := m.Connect(of, ip, "", false, false); !full.Is() {
		t.Error("somebody else has the place")
	}
	wantFull(t, l.Mail(false), None)
	wantFull(t, l.Mail(false), MessagesPerConnection)
	wantFull(t, l.Again(true), NewConnections)
	c.now = c.now.Add(time.Minute)
	connect(t, m, of, ip) // what could not follow has given its place up
}

func TestRecipientsAreThoseOfAMessageAndOfAConnection(t *testing.T) {
	m, _ := newMemory()
	l := connect(t, m, takes(t, Limit{Count: RecipientsPerMessage, Amount: 2}, Limit{Count: RecipientsPerConnection, Amount: 3}), ip)
	for range 2 {
		wantFull(t, l.Recipient(false), None)
	}
	wantFull(t, l.Recipient(false), RecipientsPerMessage)
	wantFull(t, l.Mail(false), RecipientsPerConnection)
}

// A message that may have more recipients than the connection has left begins on another one: MSAs do not come back at once with those that are
// refused.
func TestAMessageBeginsWhereThereIsRoomForItsRecipients(t *testing.T) {
	m, _ := newMemory()
	of := takes(t, Limit{Count: RecipientsPerConnection, Amount: 10})
	l := connect(t, m, of, ip)
	add := func(n int, want Count) {
		t.Helper()
		for i := range n {
			if full := l.Recipient(false); full.Is() != (want != None && i == n-1) {
				t.Errorf("recipient %d: %s", i+1, &full)
			}
		}
	}
	add(4, None)
	wantFull(t, l.Mail(false), None) // half of it is left
	add(2, None)
	wantFull(t, l.Mail(false), RecipientsPerConnection)
	wantFull(t, l.Again(true), None)
	add(11, RecipientsPerConnection) // nothing helps one that has more
	wantFull(t, l.Again(true), None)
	add(1, None)
	wantFull(t, l.Mail(false), RecipientsPerConnection) // there was one with ten
}

func TestMessagesInATimeSayWhenThereIsRoom(t *testing.T) {
	m, c := newMemory()
	l := connect(t, m, takes(t, Limit{Count: Messages, Amount: 8, Per: time.Minute}), ip)
	wantFull(t, l.Mail(false), None) // a quarter may come at once
	full := l.Mail(false)
	wantFull(t, full, Messages)
	if full.Guess || full.Wait != 10*time.Second || full.String() != "8 messages in 1m0s" {
		t.Errorf("wait %s: %s", full.Wait, &full)
	}
	c.now = c.now.Add(full.Wait)
	wantFull(t, l.Mail(false), None)
}

// Whoever only observes is told, and counts what there is.
func TestObservingRefusesNothing(t *testing.T) {
	m, _ := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 1}, Limit{Count: MessagesPerConnection, Amount: 1})
	l, full := m.Connect(of, ip, "", true, true)
	wantFull(t, full, None)
	second, full := m.Connect(of, ip, "", true, true)
	wantFull(t, full, Connections)
	wantFull(t, second.Mail(true), MessagesPerConnection)
	second.Close()
	_, full = m.Connect(of, ip, "", true, true)
	wantFull(t, full, Connections)
	l.Close()
	_, full = m.Connect(of, ip, "", true, true)
	wantFull(t, full, None)
}

func TestWhatIsOnlyShownBoundsNothing(t *testing.T) {
	m, _ := newMemory()
	of, err := Compile("google", []Limit{{Count: Connections, Amount: 1, Source: "an MTA's configuration"}, {Count: MessagesPerConnection, Amount: 1}}, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		l := connect(t, m, of, ip)
		wantFull(t, l.Mail(false), None)
	}
	shown := m.Show(of, ip)
	if len(shown) != 2 || shown[0].Keep || shown[0].Amount != 1 || shown[0].Source == "" {
		t.Errorf("shown: %+v", shown)
	}
}

func TestAReplyHalvesAtMostEveryTenMinutesAndNeverBelowOne(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 10})
	has := func(want int64) {
		t.Helper()
		if got := m.Amount(of, Connections, ip); got != want {
			t.Errorf("%d connections at once, want %d", got, want)
		}
	}
	for _, want := range []int64{5, 2, 1, 1, 1} {
		if _, done := m.Tighten(of, ip, Connections, nil); !done {
			t.Error("not tightened")
		}
		has(want)
		c.now = c.now.Add(TightenEvery - time.Second)
		if _, done := m.Tighten(of, ip, Connections, nil); done {
			t.Error("tightened within ten minutes")
		}
		has(want)
		c.now = c.now.Add(time.Second)
	}
	if m.Amount(of, Connections, other) != 10 {
		t.Error("another sending IP is tightened, too")
	}
	connect(t, m, of, ip)
	_, full := m.Connect(of, ip, "", false, false)
	wantFull(t, full, Connections)
}

func TestACleanHourGivesATenthBack(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: MessagesPerConnection, Amount: 20})
	m.Tighten(of, ip, MessagesPerConnection, nil)
	var got []int64
	for range 6 {
		got = append(got, m.Amount(of, MessagesPerConnection, ip))
		c.now = c.now.Add(time.Hour)
	}
	if want := []int64{10, 12, 14, 16, 18, 20}; !slices.Equal(got, want) {
		t.Errorf("by the hour %v, want %v", got, want)
	}
	if all := m.Tightenings(); len(all) != 0 || m.tightened.Load() != 0 {
		t.Errorf("still held: %v", all)
	}
	m.Tighten(of, ip, MessagesPerConnection, nil)
	c.now = c.now.Add(50 * time.Minute)
	m.Tighten(of, ip, MessagesPerConnection, nil) // that hour is not clean
	c.now = c.now.Add(59 * time.Minute)
	if got := m.Amount(of, MessagesPerConnection, ip); got != 5 {
		t.Errorf("%d within the hour behind the second reply, want 5", got)
	}
}

func TestWhereNobodyKnowsAnAmountHalfOfWhatWasInUseIsLeft(t *testing.T) {
	m, c := newMemory()
	of := takes(t)
	var lanes []*Lane
	for range 8 {
		lanes = append(lanes, connect(t, m, of, ip))
	}
	if _, done := m.Tighten(of, ip, Connections, lanes[7]); !done {
		t.Fatal("not tightened")
	}
	if _, done := m.Tighten(of, ip, Messages, lanes[7]); done {
		t.Error("nobody knows how many messages there were")
	}
	for _, l := range lanes[4:] {
		l.Close()
	}
	_, full := m.Connect(of, ip, "", true, false)
	wantFull(t, full, Connections)
	lanes[0].Close()
	connect(t, m, of, ip)
	c.now = c.now.Add(6 * time.Hour)
	for range 20 {
		connect(t, m, of, ip)
	}
}

// What one sending IP has lost is in nobody's way where another one is told the same.
func TestTwoIPsAreTightenedWhereNobodyKnowsAnAmount(t *testing.T) {
	m, _ := newMemory()
	of := takes(t)
	for _, from := range []netip.Addr{ip, other} {
		for range 4 {
			connect(t, m, of, from)
		}
	}
	done := make(chan bool)
	go func() {
		for _, from := range []netip.Addr{ip, other} {
			_, tightened := m.Tighten(of, from, Connections, nil)
			done <- tightened
		}
	}()
	for range 2 {
		select {
		case tightened := <-done:
			if !tightened {
				t.Error("not tightened")
			}
		case <-time.After(time.Minute):
			t.Fatal("it waits for itself")
		}
	}
	for _, from := range []netip.Addr{ip, other} {
		if got := m.Amount(of, Connections, from); got != 2 {
			t.Errorf("%d connections at once from %s, want 2", got, from)
		}
	}
}

func TestATighteningOutlivesARestart(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 10})
	var kept []Tightening
	m.changed = func(t Tightening) { kept = append(kept, t) }
	m.Tighten(of, ip, Connections, nil)
	c.now = c.now.Add(time.Hour)
	next := New(Options{Clock: c.read})
	for _, tight := range kept {
		next.Restore(tight)
	}
	if got := next.Amount(of, Connections, ip); got != 6 {
		t.Errorf("%d connections behind the restart, want 6", got)
	}
	c.now = c.now.Add(9 * time.Hour)
	late := New(Options{Clock: c.read})
	for _, tight := range kept {
		late.Restore(tight)
	}
	if len(late.Tightenings()) != 0 {
		t.Error("what is over has come back")
	}
}

// Where tenants share what a provider takes, none of them has all of it.
func TestOneTenantLeavesAPlaceForAnother(t *testing.T) {
	m, _ := newMemory()
	of, err := Compile("comcast", []Limit{{Count: Connections, Amount: 25, Keep: true}}, true)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]int{}
	for range 30 {
		if _, full := m.Connect(of, ip, "greedy", true, false); !full.Is() {
			has["greedy"]++
		}
	}
	if _, full := m.Connect(of, ip, "late", true, false); full.Is() || has["greedy"] < 20 {
		t.Errorf("one tenant has %d of 25, and the next: %s", has["greedy"], &full)
	}
}

func BenchmarkLane(b *testing.B) {
	m := New(Options{})
	of := takes(b, Limit{Count: Connections, Amount: 2}, Limit{Count: Messages, Amount: Most, Per: time.Second}, Limit{Count: MessagesPerConnection, Amount: Most})
	l := connect(b, m, of, ip)
	b.Run("a message and its recipient", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Mail(true)
			l.Recipient(true)
		}
	})
	l.Close()
	b.Run("a connection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l, _ := m.Connect(of, ip, "", true, true)
			l.Close()
		}
	})
}
