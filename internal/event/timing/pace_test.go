package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// ofOne lets nine in ten mails of the key be one tenant's.
func (w *world) ofOne(o *timing.Observation) {
	if key(o) && w.r.IntN(10) > 0 {
		o.Tenant = "tenant0"
	}
}

func TestALimitOfAnIPsRateIsFoundThoughMostOfItsMailIsOneTenants(t *testing.T) {
	found := 0
	for seed := range uint64(6) {
		w := newWorld(t, seed+60, 4)
		w.trouble = w.ofOne
		w.run(history)
		last, n := w.now, 0
		w.trouble = func(o *timing.Observation) {
			w.ofOne(o)
			if !key(o) {
				return
			}
			n++
			if o.At.Sub(last) < 450*time.Second { // the key has a mail in 640 s on average
				add(o, timing.Rcpt, 30)
			}
			last = o.At
		}
		told := len(w.told)
		for n < 40 && len(here(w.told[told:])) == 0 {
			w.send()
		}
		if n <= 25 {
			found++
		}
		for _, f := range here(w.told[told:]) {
			if f.IP != ip(1) || f.Provider != provider(2) {
				t.Errorf("seed %d: %+v", seed, f)
			}
		}
	}
	if found < 4 {
		t.Errorf("found within 25 mails in %d worlds of 6, it has to be 4", found)
	}
}

func TestANewsletterToSlowRecipientsIsNoLimitOfTheIPsRate(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed+70, 4)
		w.trouble = w.ofOne
		w.run(history)
		for range 3 {
			for end := w.now.Add(2 * time.Hour); w.now.Before(end); {
				o := w.next()
				w.ofOne(&o)
				if w.r.IntN(3) == 0 { // every two minutes, between the others' mail
					o.IP, o.Provider, o.Tenant, o.Host = ip(1), provider(2), "tenant0", "mx0.provider2"
					add(&o, timing.Rcpt, 20)
				}
				w.observe(&o)
			}
			w.run(6 * time.Hour)
		}
		if told := here(w.told); len(told) > 0 {
			t.Errorf("seed %d: %+v", seed, told)
		}
	}
}
