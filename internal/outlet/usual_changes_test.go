package outlet

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
	"kanmon/internal/outlet/provider"
	"kanmon/internal/outlet/standing"
)

// Each thing that an answer is made from is noticed when it changes: by itself, or by the time that it holds.
//
// law: I11
func TestARememberedAnswerIsForgottenWithItsReason(t *testing.T) {
	google := provider.MX{Host: "aspmx.l.google.com"}
	mx := mxAddr.Addr()
	stop := func(w *memoryWorld, name string) {
		for _, ip := range []string{"203.0.113.10", "203.0.113.11"} {
			if err := w.book.Stop(standing.Key{IP: netip.MustParseAddr(ip), Provider: name}, "asked", "me"); err != nil {
				panic(err)
			}
		}
	}
	for name, test := range map[string]struct {
		before, change func(*memoryWorld)
	}{
		"a sending IP is suspended":               {nil, func(w *memoryWorld) { stop(w, "mx:192.0.2.25") }},
		"it is suspended everywhere":              {nil, func(w *memoryWorld) { stop(w, standing.Every) }},
		"it is suspended at a part":               {nil, func(w *memoryWorld) { stop(w, "mx:192.0.2.25/own.example") }},
		"it is absent":                            {nil, func(w *memoryWorld) { w.absences.missing.Set([]netip.Addr{first, second}) }},
		"it is learnt whose the MX is":            {nil, func(w *memoryWorld) { w.learnt.addresses.PutOf(mx, google, "") }},
		"a mail is to come back from another one": {nil, pinAll},
		"it may have been refused for what it is": {nil, func(w *memoryWorld) {
			w.rescues.remember("~10.20.1.5", w.key(first, mx))
			w.rescues.remember("10.20.1.5", w.key(first, mx))
		}},
		"it is forgotten whose the MX is":          {func(w *memoryWorld) { w.learnt.addresses.PutOf(mx, google, "") }, func(*memoryWorld) { time.Sleep(provider.KnownFor) }},
		"it is learnt whose the recipient's MX is": {func(w *memoryWorld) { stop(w, "google"); w.dns.MXs = nil }, func(w *memoryWorld) { w.learnt.mxs.PutOf("own.example", google, "") }},
		"the recipient's domain has moved": {func(w *memoryWorld) { stop(w, "google") }, func(w *memoryWorld) {
			w.dns.MXs["own.example."] = google.Host
			time.Sleep(61 * time.Minute)
			w.learn("own.example", "")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMemoryWorld(t, sending("203.0.113.10", "203.0.113.11", "203.0.113.12").pool("default", "203.0.113.10", "203.0.113.11", "203.0.113.12"), false)
				if test.before != nil {
					test.before(w)
				}
				w.learn("own.example", "")
				answers()
				var mails []request
				for i := range 20 {
					req := request{Session: event.ID(1 + i), Source: msa, Destination: mxAddr}
					req.Sender, req.SenderKnown, req.Recipient = fmt.Sprintf("a@d%d.example", i), true, "x@own.example"
					own := choiceFor(t, w.rig, req).IP.Address
					way := w.wayOf(req)
					way.mails = 2
					answers()
					if !w.MayStay(req, own) {
						continue // it has none
					}
					if way.usual == nil || way.usual.changes != w.changes() {
						t.Fatal("nothing is remembered: the test shows nothing")
					}
					mails = append(mails, req)
				}
				answers()
				test.change(w)
				answers()
				others := 0
				for _, req := range mails {
					way := w.wayOf(req)
					ip := way.usual.sendingIP
					anew := !w.enter(originOf(req)).MayStay(req.DialRequest, ip).Moves
					if got := !way.MayStay(req.DialRequest, ip).Moves; got != anew {
						t.Errorf("%s from %s: may stay %t, found anew %t", req.Sender, ip, got, anew)
					}
					if !anew {
						others++
					}
					answers()
				}
				if others == 0 {
					t.Errorf("all of %d mails stay: the test shows nothing", len(mails))
				}
				for _, err := range w.end() {
					if err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func pinAll(w *memoryWorld) {
	for i := range 20 {
		byDomain, _ := keysFor("", msa, fmt.Sprintf("a@d%d.example", i), "x@own.example", mxAddr.Addr())
		w.pins.Put(byDomain, other12)
	}
}

var other12 = netip.MustParseAddr("203.0.113.12")

// What other decisions go by is told of a mail again when it has forgotten: whose recipients an MX has, each day; whose MXs a domain has, as
// often as that is looked up.
func TestARememberedAnswerLeavesNothingUnlearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMemoryWorld(t, sending("203.0.113.10"), false)
		lookups := 0
		w.dns.Asked = func(string) { lookups++ }
		req := request{Session: 1, Source: msa, Destination: mxAddr}
		req.Sender, req.SenderKnown = "a@b.example", true
		for mail := range 24 * 60 {
			for _, recipient := range []string{"", "x@own.example"} {
				if req.Recipient = recipient; !w.MayStay(req, first) {
					t.Fatal("it is sent away")
				}
				synctest.Wait()
			}
			if w.wayOf(req).usual == nil && mail > 1 {
				t.Fatal("nothing is remembered: the test shows nothing")
			}
			time.Sleep(time.Minute + time.Second)
		}
		if lookups < 20 {
			t.Errorf("%d lookups in a day", lookups)
		}
		w.MayStay(req, first) // found anew, and remembered
		w.sites.oneDestination("mx:192.0.2.25", 0)
		w.MayStay(req, first)
		if len(w.sites.heard) == 0 {
			t.Error("a day has begun, and nobody has heard of the recipient")
		}
		for _, err := range w.end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// An answer that has grown old, and is found to be the same, is remembered anew.
func TestARememberedAnswerIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMemoryWorld(t, sending("203.0.113.10"), false)
		req := request{Session: 1, Source: msa, Destination: mxAddr}
		req.Sender, req.SenderKnown = "a@b.example", true
		own := w.wayOf(req)
		for minute := range 3 {
			for range 3 {
				w.MayStay(req, first)
			}
			if !own.holds(&req.DialRequest, first) {
				t.Errorf("after %d minutes the same is found anew for each mail", 2*minute)
			}
			time.Sleep(2 * usualFor)
		}
		for _, err := range w.end() {
			if err != nil {
				t.Error(err)
			}
		}
	})
}
