package session

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"kanmon/internal/event"
)

// failingAt is a failure of the MX at a step that began at a time.
func failingAt(phase event.Phase, begun time.Time) *tlsFailure {
	return &tlsFailure{phase: phase, cause: errors.New("no"), begun: begun}
}

func numbered(prefix string, n int) netip.Addr {
	a := netip.MustParseAddr(prefix)
	raw := a.AsSlice()
	at := raw[len(raw)-4:]
	binary.BigEndian.PutUint32(at, binary.BigEndian.Uint32(at)+uint32(n))
	addr, _ := netip.AddrFromSlice(raw)
	return addr
}

// The memory is bounded, and who has a network of MXs can push out of it his own only.
func TestTLSMemoryIsBounded(t *testing.T) {
	var m tlsMemory
	now := time.Now()
	victim := netip.MustParseAddr("192.0.2.25")
	m.failed(victim, 0, failingAt(event.PhaseHandshake, now), now)
	for n := range 20_000 {
		m.failed(numbered("2001:db8:1::", n), 0, failingAt(event.PhaseHandshake, now), now)
		m.failed(numbered("203.0.113.0", n%256), 0, failingAt(event.PhaseHandshake, now), now)
	}
	if m.known[victim] == nil {
		t.Error("forgotten for MXs of two networks")
	}
	if n := len(m.known); n != 1+2*maxRememberedPerNetwork || m.used.Len() != n {
		t.Errorf("%d MXs of three networks are remembered, want %d", n, 1+2*maxRememberedPerNetwork)
	}
	for n := range 20_000 {
		m.failed(numbered("10.0.0.1", n<<8), 0, failingAt(event.PhaseHandshake, now), now)
		m.choose(victim, 1, now, false) // in use
	}
	networks := 0
	for _, near := range m.networks {
		networks += near.Len()
	}
	if len(m.known) != maxRememberedMXs || m.used.Len() != maxRememberedMXs || networks != maxRememberedMXs {
		t.Errorf("%d MXs, %d in order, %d in networks, want %d of each", len(m.known), m.used.Len(), networks, maxRememberedMXs)
	}
	if m.known[victim] == nil {
		t.Error("an MX in use is forgotten before others")
	}
}

// Three failures mean plain text, if each comes a minute or more behind the one before it, and no success comes between.
func TestStrikes(t *testing.T) {
	mx := netip.MustParseAddr("192.0.2.25")
	type outcome struct {
		after  time.Duration
		worked bool
	}
	fail := func(after time.Duration) outcome { return outcome{after, false} }
	works := func(after time.Duration) outcome { return outcome{after, true} }
	for name, c := range map[string]struct {
		events []outcome
		plain  bool
	}{
		"three":                  {[]outcome{fail(0), fail(time.Minute), fail(time.Minute)}, true},
		"three at once":          {[]outcome{fail(0), fail(time.Second), fail(time.Second)}, false},
		"a burst counts once":    {[]outcome{fail(0), fail(59 * time.Second), fail(2 * time.Second), fail(30 * time.Second)}, false},
		"two":                    {[]outcome{fail(0), fail(time.Hour)}, false},
		"a success between":      {[]outcome{fail(0), fail(time.Hour), works(time.Second), fail(time.Hour)}, false},
		"too long ago":           {[]outcome{fail(0), fail(time.Hour), fail(25 * time.Hour)}, false},
		"a success behind three": {[]outcome{fail(0), fail(time.Hour), fail(time.Hour), works(time.Hour)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var m tlsMemory
			now := time.Now()
			for _, e := range c.events {
				now = now.Add(e.after)
				if e.worked {
					m.worked(mx, 0, true, now)
				} else {
					m.failed(mx, 0, failingAt(event.PhaseStartTLS, now.Add(-time.Millisecond)), now)
				}
			}
			if way, _ := m.choose(mx, 1, now.Add(time.Second), false); way&wayPlain != 0 != c.plain {
				t.Errorf("plain text %t, want %t", !c.plain, c.plain)
			}
			if way, _ := m.choose(mx, 1, now.Add(time.Second), true); way&wayPlain != 0 {
				t.Error("plain text where TLS must be")
			}
		})
	}
}

// A failure that began before another session's success is older news than that.
func TestLateFailureDoesNotCount(t *testing.T) {
	var m tlsMemory
	mx, now := netip.MustParseAddr("192.0.2.25"), time.Now()
	for range 5 {
		now = now.Add(2 * time.Minute)
		begun := now.Add(-time.Minute)
		m.worked(mx, wayClassical, false, now.Add(-time.Second))
		late := failingAt(event.PhaseStartTLS, begun)
		late.hung = true
		m.failed(mx, wayClassical, late, now)
	}
	if k := m.known[mx]; k.Strikes > 0 || !k.Hung.IsZero() {
		t.Errorf("%d strikes, hung at %s", k.Strikes, k.Hung)
	}
}

// The time for plain text doubles with each test that fails, up to a day, and begins anew behind a success.
func TestPlainTextLastsLonger(t *testing.T) {
	var m tlsMemory
	mx, now := netip.MustParseAddr("192.0.2.25"), time.Now()
	fail := func() time.Time { return m.failed(mx, 0, failingAt(event.PhaseStartTLS, now), now) }
	struckOut := func() time.Duration {
		for range strikesOut - 1 {
			fail()
			now = now.Add(time.Hour)
		}
		return fail().Sub(now)
	}
	if got := struckOut(); got != plainFor {
		t.Errorf("plain for %s, want %s", got, plainFor)
	}
	for _, want := range []time.Duration{2 * plainFor, 4 * plainFor, plainForMost} {
		now = now.Add(plainForMost)
		if way, _ := m.choose(mx, 1, now, false); way&wayPlain != 0 {
			t.Fatal("not tested")
		}
		if got := fail().Sub(now); got != want {
			t.Errorf("plain for %s, want %s", got, want)
		}
	}
	m.worked(mx, 0, true, now)
	now = now.Add(time.Second)
	if got := struckOut(); got != plainFor {
		t.Errorf("plain for %s behind a success, want %s", got, plainFor)
	}
}
