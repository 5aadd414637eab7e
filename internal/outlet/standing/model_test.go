package standing

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kanmon/internal/event"
)

// A world is random use of a Book by sessions, MXs, operators and a bad clock, and what must hold of it.
type world struct {
	*rig
	store   *memory
	probes  map[Key]time.Time // granted and not ended
	numbers map[Key]uint64    // of the last ones
	named   map[Key]bool      // keys that a reply, a neighbour's netblock or an operator may have changed
}

func (w *world) key(t *rapid.T) Key {
	ips := []netip.Addr{ours, beside, elsewhere}
	return Key{rapid.SampledFrom(ips).Draw(t, "ip"), rapid.SampledFrom([]string{"google", "yahoo", "mx:a.example"}).Draw(t, "provider")}
}

func (w *world) observe(t *rapid.T) {
	k := w.key(t)
	ev := Evidence{
		IP: k.IP, Provider: k.Provider, Tenant: fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "tenant")),
		Destination: fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "destination")),
		Class:       rapid.SampledFrom([]event.Class{event.IPBlocklisted, event.Throttled, event.IPReputation, event.ContentRejected}).Draw(t, "class"),
		Scope:       rapid.SampledFrom([]event.Scope{event.ScopeIP, event.ScopeNetblock, event.ScopeConnections, event.ScopeSender, event.ScopeRecipient}).Draw(t, "scope"),
		Suspend:     rapid.SampledFrom([]event.Suspend{event.SuspendYes, event.SuspendMay, event.SuspendNo}).Draw(t, "suspend"),
		Own:         rapid.IntRange(0, 9).Draw(t, "own") == 0,
	}
	before, _ := w.Show(k)
	changed := w.Observe(ev)
	counts := !ev.Own && ev.Scope != event.ScopeSender && ev.Scope != event.ScopeRecipient
	if !counts && len(changed) > 0 {
		t.Fatalf("%+v changed %+v", ev, changed)
	}
	for _, s := range changed {
		w.named[s.Key] = true
		if s.Provider != k.Provider || s.IP != k.IP && (ev.Scope != event.ScopeNetblock || s.State != Slowed) {
			t.Fatalf("%+v changed %+v", ev, s)
		}
	}
	after, _ := w.Show(k)
	if before.State == Stopped && after.State != Stopped {
		t.Fatalf("evidence undid a stop: %+v", after)
	}
	if before.State == Suspended && after.State == Suspended && after.Until.Before(before.Until) {
		t.Fatalf("evidence made a suspension shorter: %+v, %+v", before, after)
	}
	if after.State != Probing {
		delete(w.probes, k)
	}
}

func (w *world) may(t *rapid.T) {
	k := w.key(t)
	before, _ := w.Show(k)
	p := w.May(k)
	now := w.Now()
	switch {
	case p.Answer == Probe:
		if until, ok := w.probes[k]; ok && now.Before(until) {
			t.Fatalf("a second probe of %v", k)
		}
		w.probes[k] = now.Add(30 * time.Minute)
		w.numbers[k] = p.Probe
	case p.Answer == Yes && before.State != Active && before.State != Slowed:
		t.Fatalf("%v is %v, and let in", k, before.State)
	case p.Answer == No && !p.Until.IsZero() && !p.Until.After(now):
		t.Fatalf("to ask again in the past: %+v", p)
	}
	if !w.named[k] && p != permitted {
		t.Fatalf("nothing was said of %v: %+v", k, p)
	}
}

func (w *world) tell(t *rapid.T) {
	k := w.key(t)
	before, _ := w.Show(k)
	if rapid.Bool().Draw(t, "success") {
		w.Succeeded(k, "acme")
	} else {
		w.Abandon(k, w.numbers[k])
	}
	after, _ := w.Show(k)
	if (before.State == Suspended || before.State == Stopped) && after.State != before.State {
		t.Fatalf("a session's end undid %+v: %+v", before, after)
	}
	if after.State != Probing {
		delete(w.probes, k)
	}
}

func (w *world) operate(t *rapid.T) {
	k := w.key(t)
	w.named[k] = true
	delete(w.probes, k)
	var err error
	switch rapid.IntRange(0, 4).Draw(t, "hand") {
	case 0:
		err = w.Stop(k, "", "alice")
	case 1:
		err = w.Suspend(k, w.Now().Add(time.Hour), "", "alice")
	default:
		err = w.Resume(k, "alice")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// turn moves the clock. A set-back gives running probes their time again, and no more.
func (w *world) turn(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		time.Second, time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 30 * time.Hour, -time.Hour, -year, 10 * year,
	}).Draw(t, "turn")
	w.Pass(d)
	clear(w.probes)
	for _, s := range w.List() {
		if s.State == Probing && s.Until.After(w.Now()) {
			w.probes[s.Key] = s.Until
		}
	}
}

// restart goes on with what the store has, after a clean end or a kill.
func (w *world) restart(t *rapid.T) {
	before := w.List()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again := newRigAt(w.t, Options{Store: w.store, Settings: w.settings}, w.Now())
	w.rig = again
	after := map[Key]Standing{}
	for _, s := range w.List() {
		after[s.Key] = s
	}
	for _, b := range before {
		a := after[b.Key]
		if b.State == Probing {
			b.State, b.Since, b.Until = Suspended, a.Since, a.Until
			delete(w.probes, b.Key)
		}
		if a.State != b.State || a.Share != b.Share || a.Strikes != b.Strikes || a.Length != b.Length || !a.Until.Equal(b.Until) {
			t.Fatalf("restart made %+v of %+v", a, b)
		}
	}
}

// recover: whatever has happened, patience and accepted mail make every key active that no operator has stopped.
func (w *world) recover(t *rapid.T) {
	for _, s := range w.List() {
		if s.State == Stopped {
			continue
		}
		for step := 0; ; step++ {
			now, _ := w.Show(s.Key)
			if now.State == Active {
				break
			}
			if step == 10 {
				t.Fatalf("does not recover: %+v", now)
			}
			if wait := now.Until.Sub(w.Now()); wait > 0 {
				w.Pass(wait)
			}
			w.May(s.Key)
			for range 5 {
				w.Succeeded(s.Key, "acme")
			}
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		settings := Settings{Neighbours: []netip.Addr{ours, beside, elsewhere}}
		store := &memory{}
		w := &world{store: store, probes: map[Key]time.Time{}, numbers: map[Key]uint64{}, named: map[Key]bool{}}
		w.rig = newRig(t, Options{Store: store, Settings: settings})
		defer func() { w.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"observe": w.observe, "observe again": w.observe, "may": w.may, "tell": w.tell, "operate": w.operate, "turn": w.turn,
			"restart": w.restart, "": func(*rapid.T) { coherent(t, w.Book) },
		})
		w.recover(rt)
	})
}
