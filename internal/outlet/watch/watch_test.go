package watch

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kanmon/internal/event"
)

// A sending IP that is found on a list is told once, and once when the list has let it go; what was fine from the beginning is no news.
func TestAListingBeginsAndEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.watch(out10, out11, six)
		r.round()
		r.want()
		for _, own := range []Own{out10, out11, six} {
			if s := r.state(own.IP, "bl"); s.State != event.SightClear {
				t.Errorf("%s: %+v", own.IP, s)
			}
			if s := r.state(own.IP, ""); s.State != event.SightNamed {
				t.Errorf("%s: %+v", own.IP, s)
			}
		}
		r.dns.Set(t, world, listed10+"A 127.0.0.4\n"+listed10+"A 127.0.0.10")
		r.round()
		r.want("203.0.113.10 at bl: listed, was clear; 127.0.0.10 127.0.0.4")
		r.wait(5 * every)
		r.want()
		if s := r.state(out10.IP, "bl"); time.Since(s.Since) < 4*every || time.Since(s.Asked) > 2*every {
			t.Errorf("%+v", s)
		}
		r.dns.Set(t, world)
		r.round()
		r.want("203.0.113.10 at bl: clear, was listed")
		if n := r.Counts(); n[Answered{"bl", "yes"}] == 0 || n[Answered{"bl", "no"}] == 0 || len(n) != 2 {
			t.Errorf("%v", n)
		}
	})
}

// A list that refuses, answers for everybody, for nobody or for a parked domain is told not to be believed, at once; what it said before
// holds, and it is asked less and less.
func TestAListThatCannotBeBelievedIsTold(t *testing.T) {
	for name, c := range map[string]struct{ records, why string }{
		"refuses":         {always4 + "A 127.255.255.254", "the list refuses to answer this resolver"},
		"has everybody":   {never4 + "A 127.0.0.2", "the list has everybody: it is out of service"},
		"has nobody":      {always4 + "A none", "the list lacks the address that every list has (RFC 5782): it has none of this family, or it is no list, or the resolver says no to everything"},
		"is for sale":     {always4 + "A 192.0.2.80", "the answer is not that of a block list"},
		"lies about ours": {listed10 + "A 192.0.2.80", "the answer is not that of a block list"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.dns.Set(t, world, listed10+"A 127.0.0.2")
				r.watch(out10)
				r.round()
				r.want("203.0.113.10 at bl: listed, was unknown; 127.0.0.2")
				r.dns.Set(t, world, c.records)
				r.round()
				r.want("bl: not_believed, was believed; " + c.why)
				if s := r.state(out10.IP, "bl"); s.State != event.SightListed || s.Fails != c.why {
					t.Errorf("%+v", s)
				}
				before := r.dns.Asked(strings.TrimSpace(always4))
				r.wait(20 * every)
				if n := r.dns.Asked(strings.TrimSpace(always4)) - before; n < 2 || n > 4 {
					t.Errorf("asked %d times in 20 intervals, want less and less", n)
				}
				r.wait(15 * every)
				r.want("203.0.113.10 at bl: unknown, was listed; there has been no answer for a day: " + c.why)
				r.dns.Set(t, world)
				r.wait(30 * every)
				r.want("bl: believed, was not_believed")
			})
		})
	}
}

// A list that does not answer is asked again soon, and believed for a while; another list is asked meanwhile.
func TestASilentListHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.patience = 100 * time.Millisecond
		r.dns.Set(t, world, always4+"SILENT", "10.113.0.203.other.example. A 127.0.0.2")
		r.Configure(Settings{IPs: []Own{out10}, Lists: []List{{"bl", "bl.example"}, {"other", "other.example"}}, Every: every})
		r.wait(time.Minute)
		r.want("203.0.113.10 at other: listed, was unknown; 127.0.0.2")
		r.wait(10 * time.Minute)
		r.want()
		r.wait(10 * time.Minute)
		r.want("bl: not_believed, was unknown; no answer: " + r.why("bl"))
		r.dns.Set(t, world)
		r.wait(2 * every)
		r.want("bl: believed, was not_believed", "203.0.113.10 at other: clear, was listed")
	})
}

// why is what comes behind "no answer: " of what is said of a list: the text is the system's.
func (r *rig) why(list string) string {
	_, text, _ := strings.Cut(r.state(netip.Addr{}, list).Why, "no answer: ")
	return text
}

// One of two families without a list is no reason not to believe what it says of the other.
func TestAListWithoutIPv6IsBelievedOfIPv4(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.dns.Set(t, world, "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example. A none\n"+listed10+"A 127.0.0.2")
		r.watch(six, out10)
		r.round()
		r.want("203.0.113.10 at bl: listed, was unknown; 127.0.0.2")
		if s := r.state(six.IP, "bl"); s.State != event.SightUnknown || !strings.Contains(s.Fails, "none of this family") {
			t.Errorf("%+v", s)
		}
	})
}

// Names that do not agree any more are told, once it was asked twice; a change that is right is told as well, and the end.
func TestNamesDrift(t *testing.T) {
	ptr := "10.113.0.203.in-addr.arpa. PTR "
	for name, c := range map[string]struct{ records, bad string }{
		"no PTR":        {ptr + "none", "no_ptr, was named; out10.example.jp; 203.0.113.10 has no PTR"},
		"elsewhere":     {"out10.example.jp. A 203.0.113.99", "ptr_elsewhere, was named; the PTR of 203.0.113.10 is out10.example.jp, which does not lead back to it"},
		"another name":  {ptr + "mail.example.jp.\nmail.example.jp. A 203.0.113.10", "other_name, was named; out10.example.jp; kanmon says EHLO out10.example.jp, and the PTR of 203.0.113.10 is mail.example.jp"},
		"EHLO is gone":  {ptr + "out10.example.jp.\n" + ptr + "mail.example.jp.\nmail.example.jp. A 203.0.113.10\nout10.example.jp. A none", "ehlo_not_resolved, was named; out10.example.jp; out10.example.jp does not lead to 203.0.113.10"},
		"a second name": {ptr + "out10.example.jp.\n" + ptr + "mail.example.jp.\nmail.example.jp. A 203.0.113.10", "named, was named; out10.example.jp"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.watch(out10)
				r.round()
				r.dns.Set(t, world, c.records)
				r.round()
				r.want("203.0.113.10: " + c.bad)
				r.wait(3 * every)
				r.want()
				before := r.state(out10.IP, "")
				r.dns.Set(t, world)
				r.round()
				r.mu.Lock()
				defer r.mu.Unlock()
				if len(r.told) != 1 || r.told[0].State != event.SightNamed || r.told[0].Was != before.State {
					t.Errorf("%+v", r.told)
				}
			})
		})
	}
}

// A zone that is just being written has no PTR for a moment: nobody is told.
func TestAMomentWithoutNamesIsNoNews(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.watch(out10)
		r.round()
		asked := r.dns.Asked("10.113.0.203.in-addr.arpa.")
		r.dns.Set(t, world, "10.113.0.203.in-addr.arpa. PTR none")
		for r.dns.Asked("10.113.0.203.in-addr.arpa.") == asked {
			r.wait(time.Second)
		}
		r.dns.Set(t, world)
		r.wait(2 * every)
		r.want()
	})
}

// A server that fails says neither yes nor no of names. What was known holds for a day, and its end is told.
func TestNoAnswerAboutNamesIsNoDrift(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.dns.Set(t, world, "10.113.0.203.in-addr.arpa. PTR none")
		r.watch(out10)
		r.round()
		r.want("203.0.113.10: no_ptr, was unknown; 203.0.113.10 has no PTR")
		r.dns.Set(t, world, "10.113.0.203.in-addr.arpa. SERVFAIL")
		r.wait(20 * every)
		r.want()
		if s := r.state(out10.IP, ""); s.State != event.SightNoPTR || !strings.Contains(s.Fails, "SERVFAIL") {
			t.Errorf("%+v", s)
		}
		r.wait(8 * every)
		if s := r.state(out10.IP, ""); s.State != event.SightUnknown {
			t.Errorf("%+v", s)
		}
	})
}

// What was seen outlives the process: a restart tells nothing twice, and what has ended meanwhile once.
func TestARestartTellsNothingTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.dns.Set(t, world, listed10+"A 127.0.0.2", "11.113.0.203.in-addr.arpa. PTR none")
		r.watch(out10, out11)
		r.round()
		r.want("203.0.113.10 at bl: listed, was unknown; 127.0.0.2", "203.0.113.11: no_ptr, was unknown; 203.0.113.11 has no PTR")
		since := r.state(out10.IP, "bl").Since
		_ = r.Close()
		r.begin()
		if s := r.state(out10.IP, "bl"); s.State != event.SightListed || !s.Since.Equal(since) {
			t.Errorf("%+v", s)
		}
		r.watch(out10, out11)
		r.round()
		r.want()
		_ = r.Close()
		r.dns.Set(t, world)
		r.begin()
		r.watch(out10, out11)
		r.round()
		r.want("203.0.113.10 at bl: clear, was listed", "203.0.113.11: named, was no_ptr")
	})
}

// What is watched no more has an end, too, and is forgotten; so is what a run before has left behind.
func TestWhatIsNotWatchedAnyMoreEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.dns.Set(t, world, listed10+"A 127.0.0.2")
		r.watch(out10)
		r.round()
		r.want("203.0.113.10 at bl: listed, was unknown; 127.0.0.2")
		_ = r.Close()
		r.begin()
		r.Configure(Settings{})
		r.want("203.0.113.10 at bl: unknown, was listed; nobody asks any more")
		if all := r.Seen(); len(all) != 0 || len(r.store.all) != 0 {
			t.Errorf("%v, %v", all, r.store.all)
		}
		asked := r.dns.Asked(strings.TrimSpace(listed10))
		r.wait(10 * every)
		if r.dns.Asked(strings.TrimSpace(listed10)) != asked {
			t.Error("it is asked about nevertheless")
		}
	})
}

// Questions are spread over the interval: of twenty IPs no two are asked about within a minute, behind the first time.
func TestQuestionsAreSpread(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		var ips []Own
		for i := range 20 {
			ips = append(ips, Own{netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i)}), "out.example.jp"})
		}
		r.Configure(Settings{IPs: ips, Lists: []List{{"bl", "bl.example"}}, Every: every})
		r.wait(30 * time.Second)
		if n := r.Counts()[Answered{"bl", "no"}]; n != 20 {
			t.Errorf("%d of 20 were asked about in half a minute: whoever switches it on waits", n)
		}
		r.wait(every)
		for range 30 {
			before := r.Counts()[Answered{"bl", "no"}]
			r.wait(time.Minute)
			if n := r.Counts()[Answered{"bl", "no"}] - before; n > 1 {
				t.Fatalf("%d questions in a minute", n)
			}
		}
	})
}

// An address that others do not see is asked about by nobody.
func TestPrivateAddressesAreNotAskedAbout(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.watch(Own{netip.MustParseAddr("10.0.0.1"), "a.example"}, Own{netip.MustParseAddr("100.64.0.1"), "a.example"}, Own{netip.MustParseAddr("fd00::1"), "a.example"})
		r.wait(3 * every)
		if n := r.dns.Asked(strings.TrimSpace(always4)); n != 0 || len(r.Seen()) != 0 {
			t.Errorf("asked %d times, seen %v", n, r.Seen())
		}
		r.want()
	})
}

// A disk that is full costs nothing but the memory of it; rows that make no sense are left out.
func TestAStoreThatFailsStopsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.err = errors.New("disk full")
		r.dns.Set(t, world, listed10+"A 127.0.0.2")
		r.watch(out10)
		r.round()
		r.want("203.0.113.10 at bl: listed, was unknown; 127.0.0.2")
		_ = r.Close()
		for key, row := range r.store.all {
			row.Value = `{"state":"flying"}`
			r.store.all[key] = row
		}
		r.begin()
		if len(r.Seen()) != 0 {
			t.Errorf("%v", r.Seen())
		}
	})
}

// What a key in a zone's name opens stands in nothing that is told.
func TestTheZonesNameIsNotTold(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.Configure(Settings{IPs: []Own{out10}, Lists: []List{{"bl", "secretkey.bl.example"}}, Every: every})
		r.wait(3 * every)
		r.dns.Set(t, "2.0.0.127.secretkey.bl.example. SERVFAIL")
		r.wait(3 * every)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.told {
			if strings.Contains(s.Why+s.List, "secretkey") {
				t.Errorf("%+v", s)
			}
		}
		for _, s := range r.Seen() {
			if strings.Contains(s.Why+s.Fails, "secretkey") {
				t.Errorf("%+v", s)
			}
		}
	})
}
