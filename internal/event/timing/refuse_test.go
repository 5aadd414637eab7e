package timing_test

import (
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

// connect observes a new connection of an IP to a host of provider 2, refused or not.
func (w *world) connect(i int, host string, refused bool) {
	o := w.next()
	o.New, o.IP, o.Provider, o.Host = true, ip(i), provider(2), host
	if refused {
		refuse(&o)
	} else if o.Took[timing.Dial] < 0 {
		o.Took[timing.Dial], o.Took[timing.Banner], o.Took[timing.Hello] = .05, .1, .2
	}
	w.observe(&o)
}

func TestRefusalsOfOneIPCountWhenTheProviderLetsAnybodyIn(t *testing.T) {
	w := newWorld(t, 41, 4)
	w.run(history)
	for n := range 4 { // its own hosts are not visited by others meanwhile
		w.connect(1, "mx"+string(rune('a'+n)), true)
		w.connect(0, "mxz", false)
		w.run(20 * time.Minute)
	}
	if told := here(w.told); len(told) != 1 || told[0].Phase != timing.Refused || told[0].IP != ip(1) {
		t.Errorf("%+v, it has to be one of connections refused", told)
	}
}

func TestAHostThatIsDownIsNobodysRestriction(t *testing.T) {
	w := newWorld(t, 42, 4)
	w.run(history)
	for range 20 { // one IP asks the host that is down again and again, and others are let in by another one
		w.connect(1, "down", true)
		w.connect(0, "up", false)
		w.connect(2, "up", false)
	}
	if told := here(w.told); len(told) > 0 {
		t.Errorf("refusals by one host in a row were taken for many: %+v", told)
	}
}

func TestARefusalIsTakenBackWhenItsHostRefusesOthers(t *testing.T) {
	w := newWorld(t, 43, 4)
	w.run(history)
	for range 2 {
		for _, host := range []string{"mxa", "mxb", "mxc", "mxd"} {
			w.connect(1, host, true)
			w.connect(0, host, true)
		}
		w.connect(2, "mxe", false)
	}
	w.run(time.Hour)
	if told := here(w.told); len(told) > 0 {
		t.Errorf("hosts that refuse two IPs: %+v", told)
	}
}

func TestTheEndOfARestrictionIsNotTheBeginningOfAnothers(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed+50, 4)
		w.run(history)
		w.trouble = func(o *timing.Observation) {
			if key(o) {
				add(o, timing.Banner, 20)
			}
		}
		w.run(4 * 24 * time.Hour)
		w.trouble = nil
		w.run(4 * 24 * time.Hour)
		for _, f := range here(w.told) {
			if f.IP != ip(1) || f.Provider != provider(2) {
				t.Errorf("seed %d: beside a restricted IP %+v", seed, f)
			}
		}
	}
}
