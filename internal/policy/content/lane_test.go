package content

import (
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

func settings(change ...func(*Settings)) *Settings {
	s := &Settings{
		Enforce: true, Sample: 10, Hold: 1 << 20, Verdict: 16 * time.Second, Dot: 2 * time.Minute, Pool: "risk",
		Scanners: map[string]*Scanner{"rspamd": {Largest: 20 << 20}, "clamd": {Largest: 10 << 20}},
		Tenants:  map[string]*Tenant{"acme": tenantOf(Sample), "all": tenantOf(All)},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func tenantOf(mode Mode) *Tenant {
	return &Tenant{Mode: mode, OnVirus: event.HandleRefuse, OnReject: event.HandleRefuse, OnSoftReject: event.HandleDefer, OnSpam: event.HandleDivert}
}

func TestLanes(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	for _, c := range []struct {
		name         string
		mode         Mode
		mail         Mail
		sampled      func() bool
		observed     bool
		lane, wanted event.Lane
		why          string // a part of it
	}{
		{name: "off", mode: Off, mail: Mail{Suspicion: 0.9, New: true}, sampled: yes},
		{name: "ordinary, not sampled", mode: Sample, sampled: no},
		{name: "ordinary, sampled", mode: Sample, sampled: yes, lane: event.LaneBehind, why: "sampled"},
		{name: "all", mode: All, sampled: no, lane: event.LaneBehind},
		{name: "doubtful", mode: Sample, mail: Mail{Suspicion: 0.3}, sampled: no, lane: event.LaneHold, why: "suspicion 0.30"},
		{name: "nearly doubtful", mode: Sample, mail: Mail{Suspicion: 0.299}, sampled: no},
		{name: "new", mode: Sample, mail: Mail{New: true}, sampled: no, lane: event.LaneHold, why: "a new account"},
		{name: "contained", mode: Sample, mail: Mail{Contained: true}, sampled: no, lane: event.LaneHold, why: "contained"},
		{name: "allowed", mode: Sample, mail: Mail{Suspicion: 0.9, New: true, Contained: true, Allowed: true}, sampled: no},
		{name: "as large as may be", mode: Sample, mail: Mail{New: true, Size: 1 << 20}, sampled: no, lane: event.LaneHold},
		{name: "larger", mode: Sample, mail: Mail{New: true, Size: 1<<20 + 1}, sampled: no, lane: event.LaneTee, wanted: event.LaneHold, why: "too large to be held"},
		{name: "slow MX", mode: Sample, mail: Mail{New: true, Replied: 11 * time.Second}, sampled: no, lane: event.LaneTee, wanted: event.LaneHold, why: "a slow MX"},
		{name: "not slow", mode: Sample, mail: Mail{New: true, Replied: 10 * time.Second}, sampled: no, lane: event.LaneHold},
		{name: "it took too long before", mode: Sample, mail: Mail{New: true, WasSlow: true}, sampled: no, lane: event.LaneTee, wanted: event.LaneHold},
		{name: "observed", mode: Sample, mail: Mail{New: true}, sampled: no, observed: true, lane: event.LaneBehind, wanted: event.LaneHold},
		{name: "observed, large", mode: Sample, mail: Mail{New: true, Size: 5 << 20}, sampled: no, observed: true, lane: event.LaneBehind, wanted: event.LaneTee},
		{name: "observed, sampled", mode: Sample, sampled: yes, observed: true, lane: event.LaneBehind},
	} {
		s := settings(func(s *Settings) { s.Enforce = !c.observed })
		got := s.choose(tenantOf(c.mode), &c.mail, c.sampled)
		if got.lane != c.lane || got.wanted != c.wanted || !strings.Contains(got.why, c.why) {
			t.Errorf("%s: %v, wanted %v, because %q; want %v, %v, %q", c.name, got.lane, got.wanted, got.why, c.lane, c.wanted, c.why)
		}
	}
}

func TestOneOfTenIsSampledAndNobodyCanKnowWhich(t *testing.T) {
	one, other := NewMemory(), NewMemory()
	n, same := 0, 0
	const mails = 20_000
	for i := range uint64(mails) {
		m := &Mail{Tenant: "acme", Account: "bob@acme.example", Number: i}
		a, b := one.sampled(m, 10), other.sampled(m, 10)
		if a {
			n++
		}
		if a && b {
			same++
		}
	}
	if n < mails/10-400 || n > mails/10+400 {
		t.Errorf("%d of %d, want a tenth", n, mails)
	}
	if same > mails/100+150 {
		t.Errorf("another process takes %d of the same mails", same)
	}
	if m := (&Mail{}); one.sampled(m, 0) || !one.sampled(m, 100) {
		t.Error("none of all, or all of none")
	}
}

func TestSlowMXsAreRememberedForADay(t *testing.T) {
	m, now := NewMemory(), time.Now()
	m.tookTooLong(theMX, 40_000, "acme", now)
	for _, c := range []struct {
		size  int64
		after time.Duration
		want  bool
	}{{40_000, 0, true}, {50_000, 23 * time.Hour, true}, {4_000, 0, false}, {4_000_000, 0, false}, {40_000, 24 * time.Hour, false}} {
		if got := m.wasSlow(theMX, c.size, "acme", now.Add(c.after)); got != c.want {
			t.Errorf("%d octets, %v later: %v", c.size, c.after, got)
		}
	}
	if m.wasSlow(theMX.Next(), 40_000, "acme", now) {
		t.Error("another MX is slow, too")
	}
	if m.wasSlow(theMX, 40_000, "blue", now) {
		t.Error("another tenant's mail is not held because of this one's")
	}
}
