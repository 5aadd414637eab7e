package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/who/witness"
	"kanmon/test/netlab"
)

// good is what has to come of a restriction and of an imitation.
func good() []*outcome {
	return []*outcome{
		{
			scene: scene{name: "restrictions"}, mails: 100, told: []string{"begun"},
			found: []foundRestriction{{
				restriction: restriction{third, 1, "is slow"}, finding: &event.Entry{Phase: "banner"}, after: 12 * time.Second, of: 5, ofAll: 40,
				acts: []string{"slowed", "moved"}, stayed: 2, moved: 30, before: delays{n: 5, median: time.Minute, longest: time.Minute}, since: delays{n: 32, deferred: 1},
			}},
		},
		{scene: scene{name: "all", what: "an MX is slow", slow: func(*mail) bool { return true }}, mails: 50, slowed: delays{n: 20, median: 4 * time.Second}},
	}
}

// Each thing that must not be fails the run, and only that.
func TestVerdict(t *testing.T) {
	text, wrong := report(good())
	if len(wrong) > 0 || !strings.Contains(text, "Verdict: passed.") || !strings.Contains(text, "| 203.0.113.12 at MX 1 | is slow | 12 s | 5, 40 |") || !strings.Contains(text, "slowed, then moved | 2, 30 |") {
		t.Fatalf("what is good: %q\n%s", wrong, text)
	}
	for _, c := range []struct {
		want  string
		spoil func(o []*outcome)
	}{
		{"restrictions: no mail", func(o []*outcome) { o[0].mails = 0 }},
		{"restrictions: 1 mails are lost", func(o []*outcome) { o[0].lost = 1 }},
		{"all: 2 mails arrived twice", func(o []*outcome) { o[1].twice = 2 }},
		{"all: 1 tries bounced", func(o []*outcome) { o[1].bounced = 1 }},
		{"all: told, and not true: an IP", func(o []*outcome) { o[1].untrue = []string{"an IP"} }},
		{"not told: 203.0.113.12 at MX 1", func(o []*outcome) { o[0].found[0].finding = nil }},
		{"nothing is moved from 203.0.113.12", func(o []*outcome) { o[0].found[0].moved = 0 }},
		{"imitates nothing", func(o []*outcome) { o[1].slowed.median = time.Second }},
	} {
		outcomes := good()
		c.spoil(outcomes)
		if text, wrong := report(outcomes); len(wrong) != 1 || !strings.Contains(wrong[0], c.want) || !strings.Contains(text, "Verdict: FAILED: ") {
			t.Errorf("%q, want %q", wrong, c.want)
		}
	}
}

// A finding is true of the IP and the MX that it is of, if it is of that IP alone; an imitation may be told as what it is.
func TestWhatIsTrue(t *testing.T) {
	of := func(ip netip.Addr, mx int, scope, tenant string) *event.Entry {
		return &event.Entry{SendingIP: ip, Provider: witness.Stranger(netlab.MXAddr(mx, false)), Scope: scope, Tenant: tenant}
	}
	here := of(third, 3, ipHere, "")
	all := []*event.Entry{here, of(third, 2, ipHere, ""), of(first, 3, ipHere, ""), of(third, 3, "this IP everywhere", ""), of(third, 1, oneTenant, "tenant1"), of(third, 1, oneTenant, "tenant2")}
	for name, untrue := range map[string][]*event.Entry{"restrictions": all[1:], "tenant": {all[0], all[1], all[2], all[3], all[5]}, "all": all} {
		for _, sc := range scenes(false) {
			s := &stage{scene: sc}
			if got := s.untrue(view{findings: all}); sc.name == name && len(got) != len(untrue) {
				t.Errorf("%s: %d are not true, want %d", name, len(got), len(untrue))
			}
		}
	}
}

// A throttle lets its IP have one mail in a time, others wait for their turn, and nobody for too long. Other IPs do not wait.
func TestThrottle(t *testing.T) {
	th, now := &throttle{ip: "192.0.2.1"}, time.Now()
	var got []time.Duration
	for range 5 {
		got = append(got, th.wait("192.0.2.1", now))
	}
	want := []time.Duration{0, oneIn, 2 * oneIn, 3 * oneIn, waitsMost}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("waits are %v, want %v", got, want)
		}
	}
	if w := th.wait("192.0.2.2", now); w != 0 {
		t.Errorf("another IP waits %v", w)
	}
	if w := th.wait("192.0.2.1", now.Add(time.Hour)); w != 0 {
		t.Errorf("an hour later it waits %v", w)
	}
}
