package shape

import (
	"net/netip"
	"testing"
	"time"
)

// slowly has the times speak against a sending IP.
func slowly(t *testing.T, m *Memory, of *Takes, from netip.Addr, worst, want bool) Tightening {
	t.Helper()
	tight, done := m.TightenByTime(of, from, worst)
	if done != want {
		t.Errorf("tightened %v, want %v", done, want)
	}
	return tight
}

// What the times speak against has half of all that is counted for all connections together, once, and half of that where it is worse; one connection, and
// one message, has what it had.
func TestTheTimesHalveWhatAllConnectionsHaveTogether(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 20}, Limit{Count: Messages, Amount: 60, Per: time.Minute}, Limit{Count: MessagesPerConnection, Amount: 20}, Limit{Count: RecipientsPerMessage, Amount: 100})
	has := func(connections, messages int64) {
		t.Helper()
		for count, want := range map[Count]int64{Connections: connections, Messages: messages, MessagesPerConnection: 20, RecipientsPerMessage: 100, NewConnections: 0} {
			if got := m.Amount(of, count, ip); got != want {
				t.Errorf("%d %s, want %d", got, unitOf(count), want)
			}
		}
	}
	has(20, 60)
	slowly(t, m, of, ip, false, true)
	has(10, 30)
	for range 12 { // it stands for two hours
		c.now = c.now.Add(TightenEvery)
		slowly(t, m, of, ip, false, false)
		has(10, 30)
	}
	slowly(t, m, of, ip, true, true)
	has(5, 15)
	c.now = c.now.Add(TightenEvery - time.Second)
	slowly(t, m, of, ip, true, false)
	if got := m.Amount(of, Connections, other); got != 20 {
		t.Errorf("another sending IP has %d", got)
	}
	if left := m.ByTime(of, ip); len(left) != 2 || left[0].String() != "5 connections at once" || left[1].String() != "15 messages in 1m0s" {
		t.Errorf("left is %v", left)
	}
	for range 5 {
		if _, full := m.Connect(of, ip, "", false, false); full.Is() {
			t.Fatalf("no room: %s", &full)
		}
	}
	_, full := m.Connect(of, ip, "", false, false)
	wantFull(t, full, Connections)
	if !full.ByTime || full.String() != "5 of 5 connections at once, tightened by timing" {
		t.Errorf("full: %s", &full)
	}
}

// What stands no more is let go by a tenth an hour.
func TestWhatTheTimesHaveTakenIsLetGo(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 20})
	slowly(t, m, of, ip, false, true)
	for hour, want := range []int64{10, 12, 14, 16, 18, 20} {
		if got := m.Amount(of, Connections, ip); got != want {
			t.Errorf("%d behind %d hours, want %d", got, hour, want)
		}
		c.now = c.now.Add(time.Hour)
	}
	if len(m.Tightenings()) != 0 || m.ByTime(of, ip) != nil {
		t.Error("still held")
	}
}

// Of what a reply and the times have left the lower holds; each is let go for itself, and what the times have taken is given back at once when they
// are asked no more.
func TestOfRepliesAndTimesTheLowerHolds(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 20})
	has := func(want int64, byTime bool) {
		t.Helper()
		shown := m.Show(of, ip)
		if len(shown) != 1 || shown[0].Now != want || shown[0].ByTime != byTime {
			t.Errorf("%+v, want %d, by time %v", shown, want, byTime)
		}
	}
	slowly(t, m, of, ip, false, true)
	has(10, true)
	c.now = c.now.Add(TightenEvery)
	m.Tighten(of, ip, Connections, nil)
	c.now = c.now.Add(TightenEvery)
	m.Tighten(of, ip, Connections, nil)
	has(5, false)
	slowly(t, m, of, ip, true, true)
	c.now = c.now.Add(time.Hour)
	has(7, false)
	m.ForgetTimes()
	has(7, false)
	if n := len(m.Tightenings()); n != 1 {
		t.Errorf("%d are held", n)
	}
}

// Where nobody knows how much a provider takes, nothing is half of it: what only MTAs' configurations say, what a reply has taught, and what one connection
// may have are no such amount.
func TestWhereNobodyKnowsAnAmountTheTimesTakeNothing(t *testing.T) {
	shown, err := Compile("google", []Limit{{Count: Connections, Amount: 5, Source: "an MTA's configuration"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]*Takes{
		"nothing": takes(t), "only shown": shown, "of one connection": takes(t, Limit{Count: MessagesPerConnection, Amount: 20}),
	} {
		m, _ := newMemory()
		if of.KeepsTogether() {
			t.Errorf("%s: is an amount", name)
		}
		slowly(t, m, of, ip, true, false)
		for range 8 {
			connect(t, m, of, other)
		}
		m.Tighten(of, other, Connections, nil)
		slowly(t, m, of, other, true, false)
		if got := m.Amount(of, Connections, other); got < 4 {
			t.Errorf("%s: %d are left", name, got)
		}
	}
}

// Nothing is ever below one, and what was long ago held is whole again as soon as it was at one.
func TestTheTimesLeaveOne(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 2})
	for range 3 {
		slowly(t, m, of, ip, true, true)
		if got := m.Amount(of, Connections, ip); got != 1 {
			t.Errorf("%d left", got)
		}
		c.now = c.now.Add(6 * time.Hour)
		if got := m.Amount(of, Connections, ip); got != 2 {
			t.Errorf("%d six hours later", got)
		}
	}
}

// It outlives the process as it was.
func TestWhatTheTimesHaveTakenOutlivesARestart(t *testing.T) {
	m, c := newMemory()
	of := takes(t, Limit{Count: Connections, Amount: 20})
	var kept Tightening
	m.changed = func(t Tightening) { kept = t }
	slowly(t, m, of, ip, false, true)
	c.now = c.now.Add(50 * time.Minute)
	slowly(t, m, of, ip, false, false)
	c.now = c.now.Add(50 * time.Minute)
	next := New(Options{Clock: c.read})
	next.Restore(kept)
	slowly(t, next, of, ip, false, false)
	if got := next.Amount(of, Connections, ip); got != 10 || !kept.ByTime() {
		t.Errorf("%d behind the restart, of %+v", got, kept)
	}
}
