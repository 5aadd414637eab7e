package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

func TestAWaitCountsBeforeItEndsAndOnce(t *testing.T) {
	w := newWorld(t, 1, 4)
	w.run(history)
	// Mail of the key hangs at RCPT: every one is looked at while it waits, and none ends.
	var waits []timing.Observation
	for len(waits) < 12 {
		o := w.next()
		if key(&o) {
			o.Took[timing.Data], o.Took[timing.Write], o.Took[timing.Dot] = timing.Absent, timing.Absent, timing.Absent
			o.Took[timing.Rcpt], o.Waits = 15, true
			waits = append(waits, o)
		}
		w.observe(&o)
	}
	told := here(w.told)
	if len(told) != 1 || told[0].Phase != timing.Rcpt {
		t.Fatalf("%+v, it has to be found while all wait", told)
	}
}

func TestWhatSaysNothingOfTheIPIsNotCounted(t *testing.T) {
	for name, spoil := range map[string]func(o *timing.Observation){
		"kanmon stood still":      func(o *timing.Observation) { o.Stalled = true },
		"a recipient was refused": func(o *timing.Observation) { o.BadRecipient = true },
	} {
		w := newWorld(t, 2, 4)
		w.run(history)
		w.trouble = func(o *timing.Observation) {
			if key(o) {
				add(o, timing.Rcpt, 5)
				spoil(o)
			}
		}
		if told := w.run(24 * time.Hour); len(told) > 0 {
			t.Errorf("%s: %+v", name, told)
		}
	}
}

func TestTimeThatGoesBackIsNow(t *testing.T) {
	w := newWorld(t, 3, 4)
	w.run(history)
	o := w.next()
	o.At = o.At.Add(-48 * time.Hour)
	w.observe(&o)
	if told := w.run(24 * time.Hour); len(told) > 0 {
		t.Errorf("%+v", told)
	}
}

func TestSuspiciousMailIsSplitAndItsControlDecides(t *testing.T) {
	w := newWorld(t, 4, 4)
	only := func(o *timing.Observation) {
		if o.Tenant == "tenant1" {
			o.IP = ip(1)
		} else if o.IP == ip(1) {
			o.IP = ip(0)
		}
	}
	w.trouble = only // one tenant is all of the IP's mail
	w.run(2 * history)
	split, moved := 0, 0
	w.trouble = func(o *timing.Observation) {
		only(o)
		if !key(o) {
			return
		}
		if w.d.Split(o.IP, o.Provider) {
			o.SplitFrom, o.IP = o.IP, ip(2)
			split++
			return
		}
		moved++
		add(o, timing.Rcpt, 5)
	}
	told := w.run(48 * time.Hour)
	if split == 0 || split > moved {
		t.Errorf("%d split, %d not: about half of what is suspicious", split, moved)
	}
	if found := here(told); len(found) != 1 {
		t.Errorf("%+v, fast mail of the tenant from elsewhere has to make it the IP", told)
	}

	alone := newWorld(t, 4, 4)
	alone.trouble = only
	alone.run(2 * history)
	alone.trouble = func(o *timing.Observation) {
		only(o)
		if key(o) {
			add(o, timing.Rcpt, 5)
		}
	}
	told = alone.run(48 * time.Hour)
	if len(here(told)) > 0 || len(told) == 0 || told[0].Scope != timing.OneTenant || told[0].Tenant != "tenant1" {
		t.Errorf("%+v, without control it has to be the tenant's", told)
	}
}

func TestAWaitAndTheEndOfItsMailAreOnePieceOfEvidence(t *testing.T) {
	w := newWorld(t, 5, 4)
	w.run(history)
	w.trouble = func(o *timing.Observation) {
		if key(o) {
			o.IP = ip(0)
		}
	}
	for range 2 {
		o := w.next()
		for !key(&o) || !o.New {
			o = w.next()
		}
		o.Took[timing.Rcpt] = 400
		ended := o
		o.Took[timing.Data], o.Took[timing.Write], o.Took[timing.Dot] = timing.Absent, timing.Absent, timing.Absent
		o.Waits = true
		for range 4 { // looked at four times while it waits
			w.run(4 * time.Minute)
			o.At = w.now
			w.observe(&o)
		}
		w.run(4 * time.Minute)
		ended.At = w.now
		w.observe(&ended)
	}
	w.run(2 * time.Hour)
	if told := here(w.told); len(told) > 0 {
		t.Errorf("two mails, looked at ten times, were taken for many: %+v", told)
	}
}
