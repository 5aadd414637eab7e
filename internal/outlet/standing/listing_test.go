package standing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kanmon/internal/event"
)

// A zone is what the fake lists have.
type zones struct {
	mu     sync.Mutex
	listed map[string]bool // "ip zone"
	err    error
	asked  int
}

func (z *zones) Listed(_ context.Context, ip netip.Addr, zone string) (bool, error) {
	time.Sleep(time.Microsecond) // in virtual time: no answer comes before whoever has asked goes on
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	return z.listed[ip.String()+" "+zone], z.err
}

func (z *zones) set(ip netip.Addr, zone string, listed bool, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.listed, z.err = map[string]bool{ip.String() + " " + zone: listed}, err
}

func (z *zones) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

// inBubble runs a test in virtual time, with a Book that lives in it.
func inBubble(t *testing.T, o Options, z *zones, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Clock = time.Now
		o.Check = z
		r := newRig(t, o)
		test(t, r)
	})
}

// soon lets the goroutines of the Book do what they have to do.
func soon() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func TestConfirmedListingJudgesEveryProvider(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	exempt := DefaultNumbers()
	exempt.IgnoreLists = true
	settings := Settings{Providers: map[string]*Numbers{"google": exempt}}
	inBubble(t, Options{Settings: settings}, z, func(t *testing.T, r *rig) {
		r.Observe(doubt("orange", "acme", "orange.fr")) // a key that is known already
		r.Observe(naming(listing("yahoo"), sbl))
		r.wantMay(key("orange"), Yes) // until the list itself has said so
		soon()
		for _, provider := range []string{"yahoo", "orange", "mx:new.example"} {
			if p := r.wantMay(key(provider), No); p.State != Suspended {
				t.Errorf("%s: %+v", provider, p)
			}
		}
		r.wantMay(key("google"), Yes) // does not use lists
		r.wantMay(Key{beside, "yahoo"}, Yes)
		whole, _ := r.Show(key(Every))
		if whole.State != Suspended || whole.By != ByCheck || len(whole.Lists) != 1 || !whole.Lists[0].Confirmed {
			t.Errorf("the whole IP: %+v", whole)
		}

		// A provider that accepts although the IP is listed does not use the list, and is not judged again.
		time.Sleep(2 * time.Hour)
		r.wantMay(key("orange"), Probe)
		r.Succeeded(key("orange"), "acme")
		for range 3 {
			time.Sleep(6 * time.Hour)
			r.wantMay(key("orange"), Yes)
		}
		if s, _ := r.Show(key("orange")); s.State != Active {
			t.Errorf("orange: %+v", s)
		}
		time.Sleep(48 * time.Hour)
		r.wantMay(key("mx:other.example"), No) // the list says so still
	})
}

func TestDelistingProbesEarly(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		r.wantMay(key("orange"), No)
		z.set(ours, sbl.Zone, false, nil)
		time.Sleep(29 * time.Minute)
		r.wantMay(key("yahoo"), No)
		time.Sleep(3 * time.Minute)
		r.wantMay(key("yahoo"), Probe)
		r.wantMay(key("orange"), Probe)
		r.wantMay(key("mx:new.example"), Yes)
		if all := r.List(); len(all) != 2 {
			t.Errorf("list: %+v", all)
		}
		r.Observe(naming(listing("yahoo"), sbl)) // its copy of the list is older
		if s, _ := r.Show(key("yahoo")); s.State != Suspended || s.Length != 4*time.Hour {
			t.Errorf("yahoo: %+v", s)
		}
	})
}

func TestDelistingTakesNothingBack(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		r.wantMay(key("orange"), No)
		if err := r.Stop(key("gmx"), "", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		r.wantMay(key("orange"), Probe)
		r.Succeeded(key("orange"), "acme")
		r.wantMay(key("yahoo"), Probe)
		z.set(ours, sbl.Zone, false, nil)
		time.Sleep(40 * time.Minute)
		if s, _ := r.Show(key(Every)); s.State != Active {
			t.Fatalf("listed still: %v", s)
		}
		for provider, want := range map[string]State{"orange": Slowed, "yahoo": Probing, "gmx": Stopped} {
			if s, _ := r.Show(key(provider)); s.State != want {
				t.Errorf("%s: %v", provider, s)
			}
		}
	})
}

func TestListingStandsAsLongAsTheListSaysSo(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		if err := r.Resume(key("yahoo"), "alice"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		r.wantMay(key("mx:other.example"), No)
		r.wantMay(key("yahoo"), Yes)
	})
}

// The word of a reply alone, against that of the list.
func TestPoisonedReplyHarmsItsOwnProviderOnly(t *testing.T) {
	for name, c := range map[string]struct {
		list   List
		listed bool
		err    error
		asked  bool
	}{
		"not listed":          {sbl, false, nil, true},
		"no answer":           {sbl, true, errors.New("timeout"), true},
		"weak list, listed":   {List{"tiny", "tiny.example", event.WeightWeak, false}, true, nil, true},
		"closed list, listed": {List{"gone", "gone.example", event.WeightClosed, false}, true, nil, false},
		"range, listed":       {List{"range", "range.example", event.WeightRange, false}, true, nil, true},
		"no zone":             {List{"theirs", "", event.WeightStrong, false}, true, nil, false},
		"zone is no name":     {List{"odd", "a b.example", event.WeightStrong, false}, true, nil, false},
		"zone of one label":   {List{"odd", "com", event.WeightStrong, false}, true, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			z := &zones{}
			z.set(ours, c.list.Zone, c.listed, c.err)
			inBubble(t, Options{Settings: Settings{Neighbours: []netip.Addr{ours, beside}}}, z, func(t *testing.T, r *rig) {
				for i := range 1000 {
					ev := naming(listing("mx:evil.example"), c.list)
					ev.Tenant, ev.Destination = fmt.Sprint("t", i%7), fmt.Sprintf("d%d.example", i)
					r.Observe(ev)
					soon()
				}
				time.Sleep(20 * time.Minute)
				if asked := z.count(); asked > 5 || c.asked != (asked > 0) {
					t.Errorf("asked %d times", asked)
				}
				for _, provider := range []string{"google", "yahoo", "mx:other.example"} {
					r.wantMay(key(provider), Yes)
				}
				r.wantMay(Key{beside, "mx:evil.example"}, Yes)
				if all := r.List(); len(all) > 1 {
					t.Errorf("list: %+v", all)
				}
			})
		})
	}
}

// A "not listed" does not make a suspension shorter that it did not cause: refuse, check, probe would go round.
func TestUnconfirmedListingKeepsItsTime(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, false, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		time.Sleep(2*time.Hour - time.Second)
		r.wantMay(key("yahoo"), No)
		time.Sleep(time.Second)
		r.wantMay(key("yahoo"), Probe)
	})
}

func TestListingWithoutAnyAnswerFades(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		z.set(ours, sbl.Zone, false, errors.New("no route"))
		time.Sleep(24*time.Hour - time.Second)
		r.wantMay(key("mx:late.example"), No)
		time.Sleep(2 * time.Second)
		r.wantMay(key("mx:later.example"), Yes)
	})
}

func TestOperatorOverrulesAListing(t *testing.T) {
	z := &zones{}
	z.set(ours, sbl.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		r.Observe(naming(listing("yahoo"), sbl))
		soon()
		r.wantMay(key("orange"), No)
		for _, provider := range []string{"orange", "mx:fresh.example"} {
			if err := r.Resume(key(provider), "alice"); err != nil {
				t.Fatal(err)
			}
			r.wantMay(key(provider), Yes)
		}
		time.Sleep(3 * time.Hour)
		r.wantMay(key("orange"), Yes)
		r.wantMay(key("gmx"), No)

		// The whole IP: what followed from the listing is lifted, the reply's own provider is not.
		if err := r.Suspend(key("yahoo"), time.Now().Add(time.Hour), "", ""); err != nil {
			t.Fatal(err)
		}
		if err := r.Resume(key(Every), "alice"); err != nil {
			t.Fatal(err)
		}
		r.wantMay(key("gmx"), Yes)
		r.wantMay(key("mx:new.example"), Yes)
		r.wantMay(key("yahoo"), No)

		// By hand over a listing: the listing is there when the operator's time is over.
		r.Observe(naming(listing("gmx"), sbl))
		soon()
		if err := r.Suspend(key(Every), time.Now().Add(time.Hour), "", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if s, _ := r.Show(key(Every)); s.State != Suspended || s.By != ByCheck {
			t.Errorf("the whole IP: %+v", s)
		}
	})
}

// law: I14
//
// A resolver that hangs holds up neither a call nor, for long, the end.
func TestHangingResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{Clock: time.Now, Check: hangs{}})
		begin := time.Now()
		for i := range 100 {
			r.Observe(naming(listing(fmt.Sprint("mx:", i)), List{"list", fmt.Sprintf("z%d.example", i), event.WeightStrong, false}))
			r.wantMay(key("google"), Yes)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("calls waited %v", took)
		}
		time.Sleep(time.Minute)
		begin = time.Now()
		if err := r.Close(); err != nil || time.Since(begin) != 0 {
			t.Errorf("close: %v after %v", err, time.Since(begin))
		}
	})
}

type hangs struct{}

func (hangs) Listed(ctx context.Context, _ netip.Addr, _ string) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// Changes are told in order, by a goroutine that may hang.
func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan Standing, 16)
		r := newRig(t, Options{Clock: time.Now, Changed: func(s Change) { told <- s.Standing }})
		r.Observe(listing("google"))
		time.Sleep(2 * time.Hour)
		r.wantMay(key("google"), Probe)
		r.Succeeded(key("google"), "acme")
		soon()
		for _, want := range []State{Suspended, Probing, Slowed} {
			if s := <-told; s.State != want {
				t.Errorf("told %v, want %v", s.State, want)
			}
		}
	})
}

// A change says whose mail has led to it; what a person orders, and what comes with time, says nothing of the kind.
func TestChangesNameTheirCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan Change, 16)
		r := newRig(t, Options{Clock: time.Now, Changed: func(s Change) { told <- s }})
		ev := listing("mx:192.0.2.1")
		ev.Session, ev.Tenant = 7, "acme"
		r.Observe(ev)
		if err := r.Stop(key("docomo"), "by hand", "root"); err != nil {
			t.Fatal(err)
		}
		soon()
		for _, want := range []Change{{Session: 7, Tenant: "acme"}, {}} {
			if got := <-told; got.Session != want.Session || got.Tenant != want.Tenant {
				t.Errorf("told of %v: session %d of %q, want %d of %q", got.Key, got.Session, got.Tenant, want.Session, want.Tenant)
			}
		}
	})
}

// law: I14
//
// A listener, or a log, that hangs holds up no call; what it missed is counted.
func TestHangingListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		free := make(chan struct{})
		told := 0
		r := newRig(t, Options{
			Clock: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Changed: func(Change) { <-free; told++ },
		})
		for i := range 3000 {
			r.Observe(listing(fmt.Sprint("mx:", i)))
		}
		r.wantMay(key("mx:2999"), No)
		close(free)
		soon()
		missed := 0
		for _, line := range strings.Split(log.text(), "not logged\" count=")[1:] {
			n := 0
			if _, err := fmt.Sscanf(line, "%d", &n); err != nil {
				t.Error(err)
			}
			missed += n
		}
		if missed == 0 || told+missed != 3000 {
			t.Errorf("told %d, missed %d", told, missed)
		}
	})
}

// What we have found on a list ourselves is said of an IP as long as the answer holds, whatever has become of the reply that named the list.
func TestAnAnswerOfAListOutlivesTheReplyThatNamedIt(t *testing.T) {
	z, tiny := &zones{}, List{"tiny", "tiny.example", event.WeightWeak, false}
	z.set(ours, tiny.Zone, true, nil)
	inBubble(t, Options{}, z, func(t *testing.T, r *rig) {
		ev := naming(listing("google"), tiny)
		ev.Message = 1
		r.Observe(ev)
		r.Doubt(key("google"), 1) // before the list has answered
		soon()
		if s, _ := r.Show(key("google")); s.State != Active || !r.Listed(ours) || r.Listed(beside) {
			t.Errorf("%v; listed: %v, the other %v", s.State, r.Listed(ours), r.Listed(beside))
		}
		z.set(ours, tiny.Zone, false, nil)
		if time.Sleep(checkAgain); r.Listed(ours) {
			t.Error("the answer is out of date")
		}
	})
}

// What another part of kanmon has found on a list suspends the whole IP once; a person who resumes it has the last word, until the list has let
// go of it. It runs out if nothing more is heard of it.
func TestWhatOthersHaveFoundSuspendsOnce(t *testing.T) {
	listed := List{Name: "spamhaus-zen", Weight: event.WeightStrong}
	inBubble(t, Options{}, &zones{}, func(t *testing.T, r *rig) {
		r.Found(ours, listed, true, true)
		r.wantMay(key("google"), No)
		r.wantMay(Key{beside, "google"}, Yes)
		for range 5 { // it is heard again, and so does not run out
			time.Sleep(20 * time.Hour)
			r.Found(ours, listed, true, false)
		}
		if s, _ := r.Show(key(Every)); s.State != Suspended {
			t.Errorf("%+v", s)
		}
		if err := r.Resume(key(Every), "alice"); err != nil {
			t.Fatal(err)
		}
		r.Found(ours, listed, true, false)
		r.wantMay(key("google"), Yes)
		r.Found(ours, listed, false, true)
		r.Found(ours, listed, true, true)
		r.wantMay(key("google"), No)
		r.Found(ours, listed, false, true)
		if s, _ := r.Show(key(Every)); s.State != Active {
			t.Errorf("the list has let it go, and it is %+v", s)
		}
		r.Found(ours, List{Name: "small", Weight: event.WeightWeak}, true, true)
		r.wantMay(key("yahoo"), Yes)
		r.Found(ours, listed, true, true)
		time.Sleep(25 * time.Hour)
		if s, _ := r.Show(key(Every)); s.State != Active {
			t.Errorf("unheard of for a day, it is %+v", s)
		}
	})
}
