package timing_test

import (
	"math"
	"testing"
	"time"

	"kanmon/internal/event/timing"
)

const history = 4 * 24 * time.Hour // until every key has one

// restrictions are what one provider does to one IP.
var restrictions = []struct {
	name   string
	by     func(w *world, n int, o *timing.Observation)
	within int // of the IP's mails there
}{
	{"every reply dripped", func(_ *world, _ int, o *timing.Observation) {
		o.Dripped = 1<<timing.Mail | 1<<timing.Rcpt | 1<<timing.Dot
	}, 3},
	{"RCPT 5 s later", func(_ *world, _ int, o *timing.Observation) { add(o, timing.Rcpt, 5) }, 15},
	{"greeting 20 s later", func(_ *world, _ int, o *timing.Observation) { add(o, timing.Banner, 20) }, 20},
	{"dot three times as long", func(_ *world, _ int, o *timing.Observation) { o.Took[timing.Dot] *= 3 }, 30},
	{"everything 2 s later", func(_ *world, _ int, o *timing.Observation) {
		for f := timing.Banner; f <= timing.Dot; f++ {
			if f != timing.Write {
				add(o, f, 2)
			}
		}
	}, 20},
	{"RCPT a quarter of a second later with each mail", func(_ *world, n int, o *timing.Observation) {
		add(o, timing.Rcpt, min(10, .25*float64(n)))
	}, 25},
	{"a third of the mail 15 s later", func(w *world, _ int, o *timing.Observation) {
		if w.r.IntN(3) == 0 {
			add(o, timing.Rcpt, 15)
		}
	}, 45},
	{"bodies at 20 KB/s", func(_ *world, _ int, o *timing.Observation) {
		o.Took[timing.Dot] += float64(min(o.Size, 64<<10)) / 20e3
		o.Took[timing.Write] = max(0, float64(o.Size-64<<10)) / 20e3
	}, 30},
	{"a third of connections refused", func(w *world, _ int, o *timing.Observation) {
		if o.New && w.r.IntN(3) == 0 {
			refuse(o)
		}
	}, 45},
}

func TestARestrictionOfOneIPAtOneProviderIsFound(t *testing.T) {
	for _, c := range restrictions {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := newWorld(t, seed+10, 4)
				if told := here(w.run(history)); len(told) > 0 {
					t.Errorf("seed %d: before anything was restricted: %+v", seed, told)
				}
				n := 0
				w.trouble = func(o *timing.Observation) {
					if key(o) {
						n++
						c.by(w, n, o)
					}
				}
				var told []timing.Finding
				for len(told) == 0 && n < c.within {
					from := len(w.told)
					w.send()
					told = here(w.told[from:])
				}
				if len(told) != 1 || told[0].IP != ip(1) || told[0].Provider != provider(2) {
					t.Errorf("seed %d: after %d mails %+v, it has to be %s at %s", seed, n, told, ip(1), provider(2))
				}
			}
		})
	}
}

// imitations are slow for somebody, and no restriction of an IP at a provider.
var imitations = []struct {
	name string
	by   func(w *world, o *timing.Observation)
	wide timing.Scope // what has to be told besides
}{
	{"a provider is slow for all", func(_ *world, o *timing.Observation) {
		if o.Provider == provider(2) {
			add(o, timing.Rcpt, 5)
			add(o, timing.Dot, 5)
		}
	}, 0},
	{"a third of a provider's replies wait for DNS", func(w *world, o *timing.Observation) {
		if o.Provider == provider(2) && w.r.IntN(3) == 0 {
			add(o, timing.Rcpt, 5)
		}
	}, 0},
	{"a host is slow for all", func(_ *world, o *timing.Observation) {
		if o.Host == "mx1.provider2" {
			o.Took[timing.Dot] *= 6
		}
	}, 0},
	{"a host is down", func(_ *world, o *timing.Observation) {
		if o.Host == "mx1.provider2" && o.New {
			refuse(o)
		}
	}, 0},
	{"a tenant's recipients are slow", func(_ *world, o *timing.Observation) {
		if o.Tenant == "tenant3" && o.Provider == provider(2) {
			add(o, timing.Rcpt, 5)
		}
	}, 0},
	{"a tenant with one IP has slow content", func(_ *world, o *timing.Observation) {
		if o.Tenant == "tenant3" {
			o.IP = ip(1)
			if o.Provider == provider(2) {
				o.Took[timing.Dot] *= 5
			}
		}
	}, 0},
	{"our uplink is full", func(w *world, o *timing.Observation) {
		for f := range timing.Phases {
			add(o, f, math.Exp(.5*w.r.NormFloat64()))
		}
	}, timing.Everything},
	{"an IP's PTR is slow to look up", func(_ *world, o *timing.Observation) {
		if o.IP == ip(1) {
			add(o, timing.Banner, 8)
		}
	}, timing.ThisIPEverywhere},
}

func TestWhatIsSlowForOthersTooIsNotARestriction(t *testing.T) {
	for _, c := range imitations {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := newWorld(t, seed+20, 4)
				w.run(history)
				w.trouble = func(o *timing.Observation) { c.by(w, o) }
				told := w.run(8 * time.Hour)
				w.trouble = nil
				told = append(told, w.run(24*time.Hour)...)
				wide := false
				for _, f := range told {
					if f.Scope == timing.ThisIPHere && f.Change == timing.Begun {
						t.Errorf("seed %d: %+v", seed, f)
					}
					wide = wide || f.Scope == c.wide && f.Change == timing.Begun
				}
				if c.wide != 0 && !wide {
					t.Errorf("seed %d: not told as %q", seed, c.wide)
				}
			}
		})
	}
}

// What is slow widely is told as that after five minutes, however much mail there is: of a busy gateway the newest mails are of the last seconds.
func TestWhatIsSlowWidelyIsToldOfABusyGateway(t *testing.T) {
	for _, c := range imitations {
		if c.wide == 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := newWorld(t, seed+50, 4)
				w.run(history)
				w.apart = time.Second / 2
				w.run(10 * time.Minute)
				w.trouble = func(o *timing.Observation) { c.by(w, o) }
				if told := w.run(5 * time.Minute); len(told) > 0 {
					t.Errorf("seed %d: within five minutes %+v", seed, told)
				}
				told := w.run(5 * time.Minute)
				if len(told) != 1 || told[0].Scope != c.wide {
					t.Errorf("seed %d: within ten minutes %+v, it has to be %q", seed, told, c.wide)
				}
			}
		})
	}
}

func TestOrdinaryMailIsNoFinding(t *testing.T) {
	told := 0
	for seed := range uint64(4) {
		w := newWorld(t, seed+30, 4)
		told += len(here(w.run(14 * 24 * time.Hour)))
	}
	if told > 1 { // 7.5 IP-months
		t.Errorf("%d findings of this IP here", told)
	}
}
