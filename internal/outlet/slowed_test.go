package outlet

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/event/timing"
	"kanmon/internal/outlet/shape"
	"kanmon/internal/outlet/slow"
	"kanmon/internal/outlet/standing"
)

// speaksAtGoogle is a finding of a sending IP there, and what is done about it.
func speaksAtGoogle(ip netip.Addr, did slow.Deed) *slow.Found {
	f := &slow.Found{Key: slow.Key{IP: ip, Provider: "google"}, Did: did, Told: true}
	f.Scope = timing.ThisIPHere
	return f
}

// byTime has what the times say tighten it.
func byTime(s Shaping) Shaping {
	s.ByTime = true
	return s
}

// leads has the outlet's shaping be that of the newest configuration, on the counters of the state.
func (w *roomy) leads(s Shaping) {
	w.shaping = s.begin(w.state.rooms)
	w.state.Lead(w.Outlet)
}

// A finding that something follows from halves what the provider takes from the sending IP, told as what it is; mail goes from another one that has room,
// and where there is none the record says what has tightened it.
func TestAFindingTightensWhatAProviderTakes(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), Shaping{})
		w.leads(byTime(shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 2})))
		var told []Tightened
		w.state.tightened = func(t Tightened) { told = append(told, t) }
		probe := w.session(1, "")
		if full := probe.dial(t); full != nil {
			t.Fatal(full)
		}
		own := probe.out.SendingIP
		probe.Close()
		for range 3 {
			w.state.TimesSpeak(speaksAtGoogle(own, slow.Slowed), "slow at google: rcpt")
		}
		if len(told) != 1 || !told[0].ByTime() || told[0].IP != own || told[0].Left != "1 connections at once" || told[0].Observed {
			t.Fatalf("told %+v", told)
		}
		from := map[netip.Addr]int{}
		for i := range 3 {
			s := w.session(event.ID(i+2), "")
			if full := s.dial(t); full != nil {
				t.Fatal(full)
			}
			from[s.out.SendingIP]++
		}
		if from[own] != 1 {
			t.Errorf("connections: %v, of which %v may have one", from, own)
		}
		full := w.session(9, "").dial(t)
		if full == nil || !strings.Contains(full.Note.Why, "of 2 connections at once") && !strings.Contains(full.Note.Why, "tightened by timing") {
			t.Errorf("a fourth: %+v", full)
		}
		if got := w.Spared(slow.Key{IP: own, Provider: "google"}); got != "1 connections at once are left" {
			t.Errorf("said is %q", got)
		}
		shown := w.Shaped(own)
		if i := slices.IndexFunc(shown, func(s Shaped) bool { return s.Count == shape.Connections }); i < 0 || !shown[i].ByTime || shown[i].Now != 1 || shown[i].Amount != 2 {
			t.Errorf("shown is %+v", shown)
		}
	})(t)
}

// Nothing is tightened where nothing follows from the times, where the IP warms up, at a provider that nobody knows an amount of.
func TestWhereNothingIsTightenedByTime(t *testing.T) {
	four := shape.Limit{Count: shape.Connections, Amount: 4}
	for name, test := range map[string]struct {
		shaping func(*testing.T) Shaping
		found   func(netip.Addr) *slow.Found
		says    string // about it
	}{
		"told":             {func(t *testing.T) Shaping { return byTime(shaped(t, shape.On, four)) }, func(ip netip.Addr) *slow.Found { return speaksAtGoogle(ip, slow.Told) }, ""},
		"only suspected":   {func(t *testing.T) Shaping { return byTime(shaped(t, shape.On, four)) }, func(ip netip.Addr) *slow.Found { return speaksAtGoogle(ip, slow.Split) }, ""},
		"act is tell":      {func(t *testing.T) Shaping { return shaped(t, shape.On, four) }, func(ip netip.Addr) *slow.Found { return speaksAtGoogle(ip, slow.Slowed) }, ""},
		"shaping is off":   {func(t *testing.T) Shaping { return byTime(shaped(t, shape.Off, four)) }, func(ip netip.Addr) *slow.Found { return speaksAtGoogle(ip, slow.Slowed) }, ""},
		"nothing is known": {func(t *testing.T) Shaping { return byTime(shaped(t, shape.On)) }, func(ip netip.Addr) *slow.Found { return speaksAtGoogle(ip, slow.Moved) }, "nobody knows"},
		"a stranger's MX": {func(t *testing.T) Shaping { return byTime(shaped(t, shape.On, four)) }, func(ip netip.Addr) *slow.Found {
			f := speaksAtGoogle(ip, slow.Moved)
			f.Key.Provider = "mx:198.51.100.1"
			return f
		}, "nobody knows"},
	} {
		t.Run(name, roomTest(func(t *testing.T) {
			w := newRoomy(t, sending("203.0.113.10", "203.0.113.11"), Shaping{})
			w.leads(test.shaping(t))
			w.state.tightened = func(t_ Tightened) { t.Errorf("told: %+v", t_) }
			f := test.found(first)
			w.state.TimesSpeak(f, "slow")
			if got := w.state.rooms.Tightenings(); len(got) > 0 {
				t.Errorf("tightened: %+v", got)
			}
			if got := w.Spared(f.Key); !strings.HasPrefix(got, test.says) || test.says == "" && got != "" {
				t.Errorf("said is %q", got)
			}
		}))
	}
}

// A sending IP that warms up has a plan that says what it takes.
//
// law: I11
func TestTheTimesTightenNothingOfAWarmingIP(t *testing.T) {
	r := newRamp(t, sending("203.0.113.10", "203.0.113.11"), amounts(1000, 1000), second)
	s := byTime(shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 4}))
	r.shaping = s.begin(r.state.rooms)
	r.state.Lead(r.Outlet)
	for _, ip := range []netip.Addr{first, second} {
		r.state.TimesSpeak(speaksAtGoogle(ip, slow.Slowed), "slow at google: rcpt")
		if got := len(r.state.rooms.ByTime(r.shaping.takes["google"], ip)); (got == 1) != (ip == first) {
			t.Errorf("%v is tightened in %d counts", ip, got)
		}
	}
}

// While shaping only observes, it is shown and told, and nothing is held back. What the times have taken is given back at once when nothing is to follow
// from them any more.
func TestTighteningByTimeIsObservedAndUndone(t *testing.T) {
	roomTest(func(t *testing.T) {
		w := newRoomy(t, sending("203.0.113.10"), Shaping{})
		limit := shape.Limit{Count: shape.Connections, Amount: 2}
		w.leads(byTime(shaped(t, shape.Observe, limit)))
		var told []Tightened
		w.state.tightened = func(t Tightened) { told = append(told, t) }
		w.state.TimesSpeak(speaksAtGoogle(first, slow.Slowed), "slow at google: rcpt")
		if len(told) != 1 || !told[0].Observed {
			t.Fatalf("told %+v", told)
		}
		var notes int
		for i := range 2 {
			s := w.session(event.ID(i+2), "")
			if full := s.dial(t); full != nil {
				t.Fatalf("held back: %+v", full)
			}
			for _, n := range s.out.Notes {
				if strings.HasPrefix(n.Did, "would_") && strings.HasSuffix(n.Why, "tightened by timing") {
					notes++
				}
			}
		}
		if notes != 1 || !strings.HasSuffix(w.Spared(slow.Key{IP: first, Provider: "google"}), "observed and not enforced") {
			t.Errorf("%d notes; said is %q", notes, w.Spared(slow.Key{IP: first, Provider: "google"}))
		}
		w.leads(shaped(t, shape.Observe, limit))
		if got := w.state.rooms.Tightenings(); len(got) > 0 || w.learnt.timed.Len() > 0 {
			t.Errorf("left behind: %+v, %d kept", got, w.learnt.timed.Len())
		}
		w.state.TimesSpeak(speaksAtGoogle(first, slow.Slowed), "slow at google: rcpt") // it was under way
		if got := w.state.rooms.Tightenings(); len(got) > 0 {
			t.Errorf("tightened behind that: %+v", got)
		}
	})(t)
}

// What the times have left is known to the next process, and told by it no more.
func TestWhatTheTimesHaveLeftOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "standing.db")
		for i := range 2 {
			store, err := standing.OpenSQLite(path)
			if err != nil {
				t.Fatal(err)
			}
			o, state, end := sending("203.0.113.10").begin(t, part{store: store})
			told := 0
			state.tightened = func(Tightened) { told++ }
			s := byTime(shaped(t, shape.On, shape.Limit{Count: shape.Connections, Amount: 4}))
			o.shaping = s.begin(state.rooms)
			state.Lead(o.Outlet)
			if got := len(state.rooms.Tightenings()); got != i {
				t.Errorf("process %d: %d are held", i, got)
			}
			state.TimesSpeak(speaksAtGoogle(first, slow.Slowed), "slow at google: rcpt")
			if got := state.rooms.Amount(s.Takes[0], shape.Connections, first); got != 2 || told != 1-i {
				t.Errorf("process %d: %d connections, told %d times", i, got, told)
			}
			time.Sleep(20 * time.Minute)
			for _, err := range append(end(), store.Close()) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
}
